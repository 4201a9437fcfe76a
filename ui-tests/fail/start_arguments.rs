//! A start has the workflow's arguments.

use workflow_runtime::prelude::*;

#[workflow]
async fn order(customer: String, cents: u64) -> String {
    format!("{customer}: {cents}")
}

async fn start(engine: WorkflowEngine<order>) {
    let _ = engine.start(order("Ada", 500)).await;
    let _ = engine.start(order("Ada".to_owned())).await;
    let _ = engine.start(order("Ada".to_owned(), 500, true)).await;
    let _ = engine.start(order).await;
}

fn main() {
    let _ = start;
}
