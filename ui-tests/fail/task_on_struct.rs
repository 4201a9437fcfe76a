//! The attribute stands on the function, not on its data.

use workflow_runtime::prelude::*;

#[task]
struct Price {
    item: u64,
}

#[workflow]
impl Price {}

fn main() {
    let _ = Price { item: 1 };
}
