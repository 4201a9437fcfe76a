//! The items that a loop still has to visit are references.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(prices: Vec<u64>) -> u64 {
    let mut sum = 0;
    for price in prices.iter().filter(|price| **price > 0) {
        charge(*price).await;
        sum += *price;
    }
    sum
}

fn main() {}
