//! The input of a task is stored.

use workflow_runtime::prelude::*;

struct Basket {
    cents: u64,
}

#[task]
async fn charge(basket: Basket) -> bool {
    basket.cents > 0
}

#[task]
async fn weigh(basket: &Basket) -> bool {
    basket.cents > 0
}

fn main() {}
