//! An `async` block is a branch, but not where another macro takes it, and neither is an async closure with an output type.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(cents: u64) -> bool {
    let several = vec![async { charge(cents).await }];
    let other = async |cents: u64| -> bool { charge(cents).await };
    drop((several, other));
    true
}

fn main() {}
