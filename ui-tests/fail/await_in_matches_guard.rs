//! The guard in `matches!` is a guard as well.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[workflow]
async fn order(item: Option<u64>) -> bool {
    matches!(item, Some(item) if price(item).await > 100)
}

fn main() {}
