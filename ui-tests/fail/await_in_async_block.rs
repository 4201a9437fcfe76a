//! An async closure gives blocks, but not when its output type is written down.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(cents: u64) -> bool {
    let other = async |cents: u64| -> bool { charge(cents).await };
    drop(other);
    cents > 1
}

fn main() {}
