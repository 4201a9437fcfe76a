//! Tasks and workflows are free functions.

use workflow_runtime::prelude::*;

struct Shop;

impl Shop {
    #[workflow]
    async fn order(&self, item: u64) -> u64 {
        item
    }

    #[task]
    async fn price(self, item: u64) -> u64 {
        item
    }
}

fn main() {}
