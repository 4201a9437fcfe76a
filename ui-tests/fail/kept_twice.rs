//! Two variables cannot be stored: each is told once, however often it is kept.

use workflow_runtime::prelude::*;

struct Basket {
    cents: u64,
}

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[task]
async fn ship(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(customer: String) -> String {
    let name = customer.trim();
    let basket = Basket { cents: 500 };
    charge(basket.cents).await;
    ship(basket.cents).await;
    ship(basket.cents + 1).await;
    format!("{name}: {}", basket.cents)
}

fn main() {}
