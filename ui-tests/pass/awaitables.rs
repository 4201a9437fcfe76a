//! What can be awaited: tasks, timers, signals; called in place, from a variable, from a module, from a function.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::{TaskCall, Workflow};

use super::support::{echo, run};
use super::support as shared;

/// A message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Approval {
    by: String,
}

impl Signal for Approval {
    const NAME: &'static str = "approval";
}

fn prepared(n: u64) -> TaskCall<echo> {
    echo(n + 1)
}

/// Calls in other places than at the await.
#[workflow]
pub async fn tasks(n: u64) -> u64 {
    let call = echo(n);
    let first = call.await;
    let other = prepared(n);
    let second = other.await;
    let third = shared::length("abc").await;
    let choose = if n > 1 { echo(1) } else { echo(2) };
    first + second + third as u64 + choose.await + (echo(1)).await
}

/// Timers.
#[workflow]
pub async fn timers(pause: Duration) {
    sleep("1ms").await;
    sleep(pause).await;
    let text = String::from("1ms");
    sleep(text).await;
}

/// Signals.
#[workflow]
pub async fn signals() -> String {
    let approval = receive::<Approval>().await;
    let Approval { by } = receive().await;
    approval.by + &by
}

/// Runs them.
pub(crate) fn main() {
    assert_eq!(run(tasks(2)), 2 + 3 + 3 + 1 + 1);
    run(timers(Duration::from_millis(1)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let output = runtime.block_on(async {
        let engine = WorkflowEngine::<signals>::builder().in_memory().build().await.expect("an engine");
        let handle = engine.start(signals()).id("signals").await.expect("a start");
        handle.signal(Approval { by: "Ada".into() }).await.expect("a signal");
        handle.signal(Approval { by: "Bo".into() }).await.expect("a signal");
        handle.result().await.expect("an output")
    });
    assert_eq!(output, "AdaBo");
    assert_eq!(signals::NAME, "signals");
}
