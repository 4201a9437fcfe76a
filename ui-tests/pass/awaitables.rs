//! What can be awaited: tasks, timers, signals; called in place, from a variable, from a module, from a function.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::{TaskCall, Values, Workflow};

use super::support::{echo, run};
use super::support as shared;

/// A message.
#[signal(name = "approval")]
#[derive(Debug, Serialize, Deserialize)]
pub struct Approval {
    by: String,
}

/// A message whose trait is written by hand.
#[derive(Debug, Serialize, Deserialize)]
pub enum Stop {
    /// At once.
    Now,
    /// After so many more.
    After(u32),
}

impl Signal for Stop {
    const NAME: &'static str = "stop";
}

/// A request with every key.
#[update(name = "add", reply = Result<Vec<(u32, String)>, [u8; 2]>, validate = is_small)]
#[derive(Debug, Serialize, Deserialize)]
pub struct Add(u32);

fn is_small(add: &Add, values: &Values) -> Result<(), String> {
    let limit = values.get("limit").unwrap_or(10);
    if add.0 > limit { Err(format!("{} is over {limit}", add.0)) } else { Ok(()) }
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
    let Approval { by } = receive::<Approval>().await;
    approval.by + &by
}

/// Messages wherever they can be received; the same type under two paths of one spelling.
#[workflow]
pub async fn messages() -> u32 {
    #[signal]
    #[derive(Serialize, Deserialize)]
    struct Local;

    let limit = 20;
    publish!(limit);
    let mut total = 0;
    loop {
        publish!("total so far", total);
        let (add, responder) = receive_update::<Add>().await;
        total += add.0;
        let kept = responder;
        select! {
            stop = receive::<Stop>() => {
                kept.respond(Ok(vec![(total, "stopped".to_owned())]));
                return match stop { Stop::Now => total, Stop::After(more) => total + more };
            }
            _ = receive::<Local>() => {}
            _ = receive::<Approval>().timeout("1ms") => kept.respond(Err([1, 2])),
        }
    }
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
    let output = runtime.block_on(async {
        let engine = WorkflowEngine::<messages>::builder().in_memory().build().await.expect("an engine");
        let handle = engine.start(messages()).await.expect("a start");
        assert_eq!(handle.update(Add(21)).await.expect_err("over the limit").to_string(), "the update was rejected: 21 is over 20");
        assert_eq!(handle.update(Add(20)).await.expect("a reply"), Err([1, 2]));
        assert_eq!(handle.query::<u32>("total so far").await.expect("a value"), 20);
        handle.signal(Stop::After(5)).await.expect("a signal");
        assert_eq!(handle.update(Add(3)).await.expect("a reply"), Ok(vec![(23, "stopped".to_owned())]));
        handle.result().await.expect("an output")
    });
    assert_eq!(output, 28);
    assert_eq!(signals::NAME, "signals");
}
