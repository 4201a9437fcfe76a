//! A where clause needs something generic.

use workflow_runtime::prelude::*;

#[workflow]
async fn order(item: u64) -> u64
where
    u64: Copy,
{
    item
}

fn main() {}
