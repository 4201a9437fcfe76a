//! An iterator lives across an await.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(prices: Vec<u64>) -> u64 {
    let mut rest = prices.into_iter();
    let mut sum = 0;
    while let Some(price) = rest.next() {
        charge(price).await;
        sum += price;
    }
    sum
}

fn main() {}
