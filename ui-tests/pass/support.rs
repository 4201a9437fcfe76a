//! What the programs share: a few tasks, and how they are run.

use workflow_runtime::prelude::*;
use workflow_runtime::{Workflow, WorkflowCall};

/// Gives its argument back.
#[task]
pub async fn echo(n: u64) -> u64 {
    n
}

/// Fails for 13.
#[task]
pub async fn checked(n: u64) -> Result<u64, String> {
    if n == 13 { Err("thirteen".to_owned()) } else { Ok(n) }
}

/// Nothing for 0.
#[task]
pub async fn find(n: u64) -> Option<u64> {
    (n > 0).then_some(n)
}

/// How long a text is.
#[task]
pub async fn length(text: &str) -> usize {
    text.len()
}

/// Whether a number is even.
#[task]
pub async fn even(n: u64) -> bool {
    n.is_multiple_of(2)
}

/// Runs a workflow over the store in memory and gives its output.
pub fn run<W: Workflow>(call: WorkflowCall<W>) -> W::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let engine = WorkflowEngine::<W>::builder().in_memory().build().await.expect("an engine");
        let handle = engine.start(call).await.expect("a start");
        handle.result().await.expect("an output")
    })
}
