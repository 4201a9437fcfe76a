//! What the loop runs over is no iterator.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(count: u64) {
    for price in count {
        charge(price).await;
    }
}

fn main() {}
