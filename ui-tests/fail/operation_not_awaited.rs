//! A task that is called and not awaited does nothing.

#![deny(unused_must_use)]

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> u64 {
    cents
}

#[workflow]
async fn order(cents: u64) -> u64 {
    charge(cents);
    charge(cents).await
}

async fn start() {
    order(500);
}

fn main() {
    let _ = start;
}
