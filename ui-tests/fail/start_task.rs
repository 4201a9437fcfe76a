//! A task is not started by an engine.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> u64 {
    cents
}

#[workflow]
async fn order(cents: u64) -> u64 {
    charge(cents).await
}

async fn start(engine: WorkflowEngine<order>) {
    let _ = engine.start(charge(500)).await;
}

fn main() {
    let _ = start;
}
