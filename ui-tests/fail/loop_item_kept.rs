//! The item of a loop over a borrowed collection lives across an await.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(prices: Vec<u64>) -> u64 {
    let mut sum = 0;
    for price in &prices {
        charge(*price).await;
        sum += *price;
    }
    sum
}

fn main() {}
