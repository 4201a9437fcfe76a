//! Attempts, timeouts, panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use workflow_runtime::prelude::*;
use workflow_runtime::testing::{EffectLog, crash_everywhere};
use workflow_runtime::{BlockedReason, InstanceStatus, ResultError};

use super::memory;

#[task(retry(max_attempts = 4, backoff = exponential("1s", factor = 2.0, max = "1m")))]
async fn third_time(context: &TaskContext, State(log): State<EffectLog>, n: u32) -> Result<u32, String> {
    log.record(context, "try");
    if context.attempt() < 3 { Err(format!("attempt {}", context.attempt())) } else { Ok(n) }
}

#[workflow]
async fn persistent(n: u32) -> Result<u32, String> {
    let one = third_time(n).await?;
    Ok(one + third_time(1).await?)
}

#[tokio::test(start_paused = true)]
async fn attempts_pause_longer_each_time() {
    let log = EffectLog::new();
    let engine = WorkflowEngine::<persistent>::builder().store(memory()).state(log.clone()).build().await.unwrap();
    let begin = Instant::now();
    assert_eq!(engine.start(persistent(4)).await.unwrap().result().await.unwrap(), Ok(5));
    let seconds = begin.elapsed().as_secs_f64();
    assert!((6.0..6.1).contains(&seconds), "two times 1 s and 2 s, not {seconds} s");
    assert_eq!(log.len(), 6);
}

/// Failed attempts are not forgotten by a crash, and neither are the pauses.
#[tokio::test(start_paused = true)]
async fn attempts_go_on_after_a_crash() {
    let log = EffectLog::new();
    let kit = || crash_everywhere::<persistent, _>(|| persistent(4)).effects(&log);
    let report = kit().run().await;
    // The engine, the start, two failures, the second step, two failures, the end.
    assert_eq!((report.commits(), report.effects().len()), (8, 6), "{report}");
    kit().twice().run().await;
}

#[task(retry(max_attempts = 3, backoff = fixed("1h")))]
async fn hourly(context: &TaskContext, State(log): State<EffectLog>) -> Result<u32, String> {
    log.record(context, "try");
    if context.attempt() < 3 { Err("not yet".to_owned()) } else { Ok(context.attempt()) }
}

#[workflow]
async fn patient() -> Result<u32, String> {
    hourly().await
}

/// A long pause is a timer: the instance leaves the memory, and the pause goes on while nothing runs.
#[tokio::test(start_paused = true)]
async fn long_pauses_cost_nothing() {
    let (store, log) = (memory(), EffectLog::new());
    let build = || {
        let builder = WorkflowEngine::<patient>::builder().store(store.clone()).state(log.clone());
        builder.waiting_in_memory(0).build()
    };
    let engine = build().await.unwrap();
    let id = engine.start(patient()).await.unwrap().id().clone();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((engine.stats().in_memory, log.len()), (0, 1));
    engine.abort().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let engine = build().await.unwrap();
    let handle = engine.handle::<patient>(id);
    assert_eq!(handle.result().await.unwrap(), Ok(3));
    assert_eq!(log.len(), 3);

    let report = crash_everywhere::<patient, _>(patient).effects(&log).evicting().twice().run().await;
    assert_eq!(report.effects(), ["try"; 3]);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Failure {
    Panicked(String),
    TimedOut,
    Other,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl From<TaskFailure> for Failure {
    fn from(failure: TaskFailure) -> Self {
        match failure {
            TaskFailure::Panicked { message, .. } => Failure::Panicked(message),
            TaskFailure::TimedOut { .. } => Failure::TimedOut,
            _ => Failure::Other,
        }
    }
}

#[derive(Clone, Default)]
struct Attempts(Arc<AtomicU32>);

#[task(timeout = "2s", retry(max_attempts = 3, backoff = fixed("1s")))]
async fn slow(State(attempts): State<Attempts>, seconds: u64) -> Result<u64, Failure> {
    attempts.0.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(seconds)
}

#[task(retry(max_attempts = 2, backoff = fixed("1s")))]
async fn explode(State(attempts): State<Attempts>, n: u64) -> Result<u64, Failure> {
    attempts.0.fetch_add(1, Ordering::SeqCst);
    assert!(n < 5, "{n} is too hot");
    Ok(n)
}

#[task]
async fn explode_mutely(State(attempts): State<Attempts>, n: u64) -> u64 {
    let before = attempts.0.fetch_add(1, Ordering::SeqCst);
    assert!(n < 5 || before > 0, "{n} is too hot");
    n
}

#[task(timeout = "2s")]
async fn slow_mutely(State(_attempts): State<Attempts>, seconds: u64) -> u64 {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    seconds
}

#[task(blocking, timeout = "2s")]
fn on_a_thread(State(_attempts): State<Attempts>, n: u64) -> Result<u64, Failure> {
    assert!(n < 5, "{n} is too hot");
    Ok(n)
}

#[workflow]
async fn try_all(which: u32, n: u64) -> Result<u64, Failure> {
    Ok(match which {
        0 => slow(n).await?,
        1 => explode(n).await?,
        2 => on_a_thread(n).await?,
        3 => explode_mutely(n).await,
        _ => slow_mutely(n).await,
    })
}

async fn with_attempts(attempts: &Attempts) -> WorkflowEngine<try_all> {
    WorkflowEngine::builder().store(memory()).state(attempts.clone()).build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn failures_reach_the_workflow_where_its_error_can_say_them() {
    let hot = || Err(Failure::Panicked("9 is too hot".to_owned()));
    for (which, n, expected, attempts) in [
        (0, 1, Ok(1), 1),
        (0, 3, Err(Failure::TimedOut), 3),
        (1, 4, Ok(4), 1),
        (1, 9, hot(), 2),
        (2, 4, Ok(4), 0),
        (2, 9, hot(), 0),
        (3, 4, Ok(4), 1),
        (4, 1, Ok(1), 0),
    ] {
        let counted = Attempts::default();
        let engine = with_attempts(&counted).await;
        let result = engine.start(try_all(which, n)).await.unwrap().result().await.unwrap();
        assert_eq!(result, expected, "task {which} with {n}");
        assert_eq!(counted.0.load(Ordering::SeqCst), attempts, "attempts of task {which} with {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_block_where_nothing_can_say_them() {
    let attempts = Attempts::default();
    let engine = with_attempts(&attempts).await;
    let handle = engine.start(try_all(3, 9)).id("hot").await.unwrap();
    let error = handle.result().await.unwrap_err();
    let ResultError::Blocked { reason: BlockedReason::TaskFailed { task, error }, .. } = error else { panic!("{error}") };
    assert_eq!(task, "explode_mutely");
    assert!(error.contains("9 is too hot"), "{error}");
    assert!(matches!(handle.status().await.unwrap(), InstanceStatus::Blocked { .. }));
    // The cause is gone: the second attempt does not panic.
    engine.retry(handle.id()).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), Ok(9));
    let again = engine.retry(handle.id()).await.unwrap_err();
    assert!(matches!(again, workflow_runtime::ControlError::NotPossible { .. }), "{again}");

    let handle = engine.start(try_all(4, 3)).await.unwrap();
    let error = handle.result().await.unwrap_err();
    assert!(error.to_string().contains("did not finish within 2s"), "{error}");
}

#[task]
async fn identify(context: &TaskContext, State(log): State<EffectLog>) -> String {
    log.record(context, context.idempotency_key());
    context.idempotency_key()
}

#[workflow]
async fn keys(n: u32) -> Vec<String> {
    let mut keys = Vec::new();
    for _ in 0..n {
        keys.push(identify().await);
        sleep("1s").await;
    }
    keys
}

/// A key is the same in each attempt at one step, and never that of another step or another instance.
#[tokio::test(start_paused = true)]
async fn idempotency_keys_name_steps() {
    let (store, log) = (memory(), EffectLog::new());
    let build = || WorkflowEngine::<keys>::builder().store(store.clone()).state(log.clone()).build();
    let mut all = Vec::new();
    for id in ["one", "two"] {
        let engine = build().await.unwrap();
        let handle = engine.start(keys(3)).id(id).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        engine.abort().await;
        let engine = build().await.unwrap();
        all.extend(engine.handle::<keys>(handle.id().clone()).result().await.unwrap());
    }
    // The instance of an id that is used again is another one.
    let engine = open_again(&store, &log).await;
    let restarted = engine.start(keys(3)).id("one").on_existing(ExistingId::RestartClosed).await.unwrap();
    all.extend(restarted.result().await.unwrap());
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), 9, "{all:?}");
}

async fn open_again(store: &workflow_runtime::store::MemoryStore, log: &EffectLog) -> WorkflowEngine<keys> {
    WorkflowEngine::builder().store(store.clone()).state(log.clone()).build().await.unwrap()
}

#[task]
async fn note_end(State(log): State<EffectLog>, n: u32) -> u32 {
    tokio::time::sleep(Duration::from_secs(5)).await;
    log.note(format!("end {n}"));
    n
}

#[workflow]
async fn two_long_tasks() -> u32 {
    note_end(1).await + note_end(2).await
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_running_tasks_end_and_begins_no_more() {
    let (store, log) = (memory(), EffectLog::new());
    let build = || WorkflowEngine::<two_long_tasks>::builder().store(store.clone()).state(log.clone()).build();
    let engine = build().await.unwrap();
    let handle = engine.start(two_long_tasks()).id("one").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = engine.shutdown().await;
    assert_eq!((report.drained, report.interrupted), (1, 0));
    assert_eq!(log.texts(), ["end 1"]);
    assert!(matches!(handle.result().await, Err(ResultError::EngineEnded { .. })));
    let late = engine.start(two_long_tasks()).await.unwrap_err();
    assert!(matches!(late, workflow_runtime::StartError::ShuttingDown), "{late}");

    // What ended is durable: it does not run again.
    let engine = build().await.unwrap();
    let handle = engine.handle::<two_long_tasks>(handle.id().clone());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = engine.shutdown_within(Duration::from_secs(1)).await;
    assert_eq!((report.drained, report.interrupted), (0, 1));
    assert!(matches!(handle.result().await, Err(ResultError::EngineEnded { .. })));
    let engine = build().await.unwrap();
    assert_eq!(engine.handle::<two_long_tasks>(handle.id().clone()).result().await.unwrap(), 3);
    assert_eq!(log.texts(), ["end 1", "end 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_engine_has_crashed() {
    let (store, log) = (memory(), EffectLog::new());
    let engine = WorkflowEngine::<two_long_tasks>::builder().store(store.clone()).state(log.clone()).build().await.unwrap();
    let handle = engine.start(two_long_tasks()).await.unwrap();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.result().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(engine);
    assert!(matches!(waiting.await.unwrap(), Err(ResultError::EngineEnded { .. })));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(log.is_empty(), "nothing runs without an engine");
}

#[tokio::test]
async fn tasks_run_without_an_engine() {
    assert_eq!(slow_mutely(0).run_in(&TaskContext::detached("slow").with_state(Attempts::default())).await.unwrap(), 0);
}
