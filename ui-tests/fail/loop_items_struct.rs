//! The items that a loop still has to visit have no serde implementation.

use workflow_runtime::prelude::*;

struct Basket {
    cents: u64,
}

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(prices: Vec<u64>) {
    for basket in prices.into_iter().map(|cents| Basket { cents }) {
        charge(basket.cents).await;
    }
}

fn main() {}
