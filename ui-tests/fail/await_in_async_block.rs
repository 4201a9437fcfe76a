//! Async blocks and async closures are futures of their own.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(cents: u64) -> bool {
    let later = async { charge(cents).await };
    let other = async |cents: u64| charge(cents).await;
    drop((later, other));
    true
}

fn main() {}
