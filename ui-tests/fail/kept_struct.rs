//! A value whose type has no serde implementation lives across an await.

use workflow_runtime::prelude::*;

struct Basket {
    cents: u64,
}

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(cents: u64) -> u64 {
    let basket = Basket { cents };
    charge(500).await;
    basket.cents
}

fn main() {}
