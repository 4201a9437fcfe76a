//! Whether configured code exists is decided after the macro has run.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[workflow]
async fn order(item: u64) -> u64 {
    #[cfg(unix)]
    let first = price(item).await;
    #[cfg(not(unix))]
    let first = 7;
    match first {
        #[cfg(unix)]
        1 => price(2).await,
        other => other,
    }
}

fn main() {}
