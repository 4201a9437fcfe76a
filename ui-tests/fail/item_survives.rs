//! A mistake in a body is the only error: the item is there for its callers.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[task(timeout = "soon")]
async fn charge(cents: &str) -> u64 {
    cents.len() as u64
}

#[workflow]
async fn broken(item: u64) -> u64 {
    let later = async || -> u64 { price(item).await };
    drop(later);
    charge("1").await
}

#[workflow]
async fn fine(item: u64) -> u64 {
    charge("2").await + price(item).await
}

workflows! {
    /// What this program runs.
    App { broken, fine }
}

async fn start(engine: WorkflowEngine<App>) -> u64 {
    let first = engine.start(broken(1)).await.unwrap();
    let second = engine.start(fine(2)).await.unwrap();
    first.result().await.unwrap() + second.result().await.unwrap()
}

fn main() {
    let _ = start;
}
