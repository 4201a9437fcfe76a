//! A closure's future is not part of the workflow.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(prices: Vec<u64>) -> usize {
    prices.iter().filter(|price| charge(**price).await).count()
}

fn main() {}
