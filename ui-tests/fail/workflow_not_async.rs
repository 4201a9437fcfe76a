//! A workflow is an async function.

use workflow_runtime::prelude::*;

#[workflow]
fn order(item: u64) -> u64 {
    item
}

fn main() {}
