//! The input of a workflow is stored.

use workflow_runtime::prelude::*;

struct Basket {
    cents: u64,
}

#[workflow]
async fn order(basket: Basket) -> u64 {
    basket.cents
}

fn main() {}
