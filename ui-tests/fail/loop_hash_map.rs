//! The order of a hash map differs from process to process.

use std::collections::HashMap;

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(prices: HashMap<String, u64>) {
    for (_, price) in &prices {
        charge(*price).await;
    }
}

fn main() {}
