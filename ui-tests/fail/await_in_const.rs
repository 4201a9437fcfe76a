//! Constants are evaluated by the compiler.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[workflow]
async fn order() -> u64 {
    const { price(1).await }
}

fn main() {}
