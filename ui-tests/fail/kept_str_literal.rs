//! Even a reference to a literal points into this process.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order() -> String {
    let currency = "EUR";
    let paid = charge(500).await;
    format!("{currency}: {paid}")
}

fn main() {}
