//! A guard may run several times.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[workflow]
async fn order(item: Option<u64>) -> u64 {
    match item {
        Some(item) if price(item).await > 100 => item,
        _ => 0,
    }
}

fn main() {}
