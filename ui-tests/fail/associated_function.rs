//! A function without `self` in an `impl` block is not a free function either.

use workflow_runtime::prelude::*;

struct Shop;

impl Shop {
    #[workflow]
    async fn order(item: u64) -> u64 {
        item
    }
}

fn main() {}
