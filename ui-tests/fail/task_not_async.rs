//! A task is an async function, unless it blocks.

use workflow_runtime::prelude::*;

#[task]
fn price(item: u64) -> u64 {
    item
}

fn main() {}
