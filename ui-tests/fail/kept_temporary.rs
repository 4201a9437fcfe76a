//! A part of the expression that was evaluated before the await is needed after it.

use workflow_runtime::prelude::*;

struct Cents(u64);

fn add(left: Cents, paid: bool) -> u64 {
    left.0 + u64::from(paid)
}

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order() -> u64 {
    add(Cents(1), charge(500).await)
}

fn main() {}
