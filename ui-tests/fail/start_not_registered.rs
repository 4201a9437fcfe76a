//! An engine starts the workflows of its registry only.

use workflow_runtime::prelude::*;

#[workflow]
async fn order(cents: u64) -> u64 {
    cents
}

#[workflow]
async fn refund(cents: u64) -> u64 {
    cents
}

workflows! {
    /// What this program runs.
    App { order }
}

async fn start(engine: WorkflowEngine<App>, single: WorkflowEngine<order>) {
    let _ = engine.start(refund(500)).await;
    let _ = single.start(refund(500)).await;
}

fn main() {
    let _ = start;
}
