//! What is awaited is no future at all.

use workflow_runtime::prelude::*;

#[workflow]
async fn answer() -> u32 {
    let n: u32 = 7;
    n.await
}

fn main() {}
