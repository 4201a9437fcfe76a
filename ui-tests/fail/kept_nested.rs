//! The type is stored, what it holds is not.

use std::collections::HashMap;

use workflow_runtime::prelude::*;

struct Basket {
    cents: u64,
}

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(cents: u64) -> u64 {
    let mut baskets = HashMap::new();
    baskets.insert(1_u32, Basket { cents });
    charge(500).await;
    baskets[&1].cents
}

fn main() {}
