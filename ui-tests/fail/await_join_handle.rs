//! A spawned task of tokio is not a task of the workflow.

use workflow_runtime::prelude::*;

#[workflow]
async fn background() -> u32 {
    let handle = tokio::spawn(std::future::ready(7));
    handle.await.unwrap_or(0)
}

fn main() {}
