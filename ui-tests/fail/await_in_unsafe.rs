//! What an unsafe block promises does not survive a restart.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[workflow]
async fn order(item: u64) -> u64 {
    unsafe { price(item).await }
}

fn main() {}
