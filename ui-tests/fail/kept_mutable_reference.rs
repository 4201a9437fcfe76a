//! A mutable reference lives across an await.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(mut total: u64) -> u64 {
    let sum = &mut total;
    charge(500).await;
    *sum += 500;
    total
}

fn main() {}
