//! A call that waits for its await while another one is awaited.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> u64 {
    cents
}

#[workflow]
async fn order() -> u64 {
    let second = charge(2);
    let first = charge(1).await;
    first + second.await
}

fn main() {}
