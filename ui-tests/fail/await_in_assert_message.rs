//! The message of an assertion is evaluated only when it fails.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[workflow]
async fn order(item: u64) {
    assert!(item > 0, "the price is {}", price(item).await);
}

fn main() {}
