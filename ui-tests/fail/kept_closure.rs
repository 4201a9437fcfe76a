//! A closure lives across an await.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(rate: u64) -> u64 {
    let tax = |cents: u64| cents * 19 / 100;
    charge(500).await;
    tax(500) + rate
}

fn main() {}
