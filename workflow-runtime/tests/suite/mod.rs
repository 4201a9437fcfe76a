//! One suite for engines on every store: in memory, embedded, TiKV. Time is real here, so all waits are short.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::store::Store;
use workflow_runtime::{InstanceId, InstanceStatus, ResultError, Signal};

/// Longer than anything here may take, on a busy machine and a store that restarts.
const LIMIT: Duration = Duration::from_secs(60);

/// How often each task was run, to see that what is done is not done again.
#[derive(Debug, Clone, Default)]
struct Runs(Arc<AtomicU64>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note(u64);

impl Signal for Note {
    const NAME: &'static str = "note";
}

#[task]
async fn add(State(runs): State<Runs>, a: u64, b: u64) -> u64 {
    runs.0.fetch_add(1, Ordering::SeqCst);
    a + b
}

#[task(retry(max_attempts = 5, backoff = exponential("1ms", max = "2ms")))]
async fn fail_twice(context: &TaskContext) -> Result<u32, String> {
    match context.attempt() {
        3.. => Ok(context.attempt()),
        attempt => Err(format!("attempt {attempt}")),
    }
}

#[workflow]
async fn sum(steps: u64) -> u64 {
    let mut total = 0;
    for step in 0..steps {
        total = add(total, step).await;
    }
    total
}

/// Waits for a note after each of three steps.
#[workflow]
async fn notes(begin: u64) -> Vec<u64> {
    let mut seen = vec![add(begin, 0).await];
    for _ in 0..3 {
        let Note(number) = receive::<Note>().await;
        seen.push(add(number, 0).await);
    }
    seen
}

#[workflow]
async fn alarms(rounds: u32) -> u32 {
    for _ in 0..rounds {
        sleep("30ms").await;
    }
    rounds
}

#[workflow]
async fn retried() -> Result<u32, String> {
    fail_twice().await
}

#[workflow]
async fn both(n: u64) -> (u64, u64) {
    join!(add(n, 1), add(n, 2))
}

workflows! {
    App { sum, notes, alarms, retried, both }
}

type Engine = WorkflowEngine<App>;

async fn build(store: Arc<dyn Store>, runs: &Runs) -> Engine {
    let builder = WorkflowEngine::<App>::builder().store(store).state(runs.clone());
    builder.build().await.expect("an engine")
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .unwrap_or_else(|_| panic!("{what} takes longer than {LIMIT:?}"))
}

fn id(name: &str) -> InstanceId {
    InstanceId::new(name).expect("an id")
}

/// Runs the suite. `open` opens the same store each time; it is empty at first, and nobody has it open when it is called.
pub(crate) async fn check<M, F>(mut open: M)
where
    M: FnMut() -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    let runs = Runs::default();
    let engine = build(open().await, &runs).await;
    soon("the basics", basics(&engine)).await;
    soon("many instances", many(&engine, &runs)).await;
    soon("control", control(&engine)).await;
    engine.shutdown().await;
    drop(engine);
    soon("messages over crashes", messages_over_crashes(&mut open, &runs)).await;
    soon("steps over crashes", steps_over_crashes(&mut open, &runs)).await;
    soon("timers over crashes", timers_over_crashes(&mut open, &runs)).await;
}

/// Runs what needs two engines on the store at once. `open` opens the same store each time.
pub(crate) async fn check_take_over<M, F>(mut open: M)
where
    M: FnMut() -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    let runs = Runs::default();
    let first = build(open().await, &runs).await;
    let handle = first.start(notes(1)).id("taken").await.expect("a start");
    handle.signal(Note(2)).await.expect("a signal");

    let second = build(open().await, &runs).await;
    // Whatever the first one believes, it cannot write any more.
    let refused = tokio::time::timeout(Duration::from_secs(20), first.start(sum(1)).id("late")).await;
    assert!(
        !matches!(refused, Ok(Ok(_))),
        "an engine that lost its store started an instance"
    );
    first.abort().await;

    let handle = second.handle::<notes>(id("taken"));
    for number in [3, 4] {
        handle.signal(Note(number)).await.expect("a signal");
    }
    let result = soon("the taken instance", handle.result()).await;
    assert_eq!(result.expect("a result"), [1, 2, 3, 4]);
    second.shutdown().await;
}

async fn basics(engine: &Engine) {
    let handle = engine.start(sum(10)).id("sum").await.expect("a start");
    assert_eq!(handle.result().await.expect("a result"), 45);
    let again = engine
        .start(sum(1))
        .id("sum")
        .on_existing(ExistingId::ReturnExisting);
    assert_eq!(
        again.await.expect("a start").result().await.expect("a result"),
        45
    );
    assert!(engine.start(sum(1)).id("sum").await.is_err(), "the id is taken");

    let handle = engine.start(retried()).await.expect("a start");
    assert_eq!(handle.result().await.expect("a result"), Ok(3));
    let handle = engine.start(both(5)).await.expect("a start");
    assert_eq!(handle.result().await.expect("a result"), (6, 7));

    let handle = engine.start(notes(1)).await.expect("a start");
    for number in [2, 3, 4] {
        handle.signal(Note(number)).await.expect("a signal");
    }
    assert_eq!(handle.result().await.expect("a result"), [1, 2, 3, 4]);
    let handle = engine.start(alarms(3)).await.expect("a start");
    assert_eq!(handle.result().await.expect("a result"), 3);
}

async fn many(engine: &Engine, runs: &Runs) {
    const INSTANCES: u64 = 100;
    const STEPS: u64 = 5;
    let before = runs.0.load(Ordering::SeqCst);
    let tasks: Vec<_> = (0..INSTANCES)
        .map(|number| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let handle = engine.start(sum(STEPS)).id(format!("many {number}")).await?;
                Ok::<_, workflow_runtime::StartError>(handle.result().await)
            })
        })
        .collect();
    for task in tasks {
        let result = task.await.expect("a task").expect("a start").expect("a result");
        assert_eq!(result, (0..STEPS).sum::<u64>());
    }
    let after = runs.0.load(Ordering::SeqCst);
    assert_eq!(after - before, INSTANCES * STEPS, "each step runs once");
    let page = engine
        .list(workflow_runtime::ListFilter::default().limit(1000))
        .await;
    let page = page.expect("a list");
    assert!(
        page.instances.len() as u64 >= INSTANCES,
        "{}",
        page.instances.len()
    );
}

async fn control(engine: &Engine) {
    for (name, is_cancelled) in [("cancelled", true), ("terminated", false)] {
        let handle = engine.start(notes(1)).id(name).await.expect("a start");
        if is_cancelled {
            engine.cancel(handle.id(), "enough").await.expect("an order");
        } else {
            engine.terminate(handle.id(), "enough").await.expect("an order");
        }
        let error = handle.result().await.expect_err("it was stopped");
        assert_eq!(
            matches!(error, ResultError::Cancelled { .. }),
            is_cancelled,
            "{name}: {error}"
        );
        let status = handle.status().await.expect("a status");
        assert_eq!(
            matches!(status, InstanceStatus::Cancelled { .. }),
            is_cancelled,
            "{status:?}"
        );
    }
}

/// Each message is sent by another engine, which dies at once.
async fn messages_over_crashes<M, F>(open: &mut M, runs: &Runs)
where
    M: FnMut() -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    let engine = build(open().await, runs).await;
    engine.start(notes(10)).id("over").await.expect("a start");
    engine.abort().await;
    for number in 1..=3 {
        let engine = build(open().await, runs).await;
        let handle = engine.handle::<notes>(id("over"));
        handle.signal(Note(number)).await.expect("a signal");
        drop(handle);
        engine.abort().await;
    }
    let engine = build(open().await, runs).await;
    let result = engine.handle::<notes>(id("over")).result().await;
    assert_eq!(result.expect("a result"), [10, 1, 2, 3]);
    engine.shutdown().await;
}

/// Engines die in the middle of instances that take many steps.
async fn steps_over_crashes<M, F>(open: &mut M, runs: &Runs)
where
    M: FnMut() -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    const INSTANCES: u64 = 10;
    const STEPS: u64 = 200;
    let before = runs.0.load(Ordering::SeqCst);
    let engine = build(open().await, runs).await;
    for number in 0..INSTANCES {
        let start = engine.start(sum(STEPS)).id(format!("steps {number}"));
        start.await.expect("a start");
    }
    engine.abort().await;
    let mut crashes = 1;
    loop {
        let engine = build(open().await, runs).await;
        let done = tokio::time::timeout(Duration::from_millis(60), async {
            for number in 0..INSTANCES {
                let handle = engine.handle::<sum>(id(&format!("steps {number}")));
                let result = handle.result().await.expect("a result");
                assert_eq!(result, (0..STEPS).sum::<u64>());
            }
        })
        .await
        .is_ok();
        engine.abort().await;
        if done {
            break;
        }
        crashes += 1;
    }
    let ran = runs.0.load(Ordering::SeqCst) - before;
    let most = INSTANCES * (STEPS + crashes);
    assert!(
        (INSTANCES * STEPS..=most).contains(&ran),
        "{ran} attempts over {crashes} crashes: each crash repeats one step of an instance at most"
    );
}

async fn timers_over_crashes<M, F>(open: &mut M, runs: &Runs)
where
    M: FnMut() -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    let engine = build(open().await, runs).await;
    engine.start(alarms(5)).id("alarms").await.expect("a start");
    engine.abort().await;
    for _ in 0..4 {
        let engine = build(open().await, runs).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        engine.abort().await;
    }
    let engine = build(open().await, runs).await;
    let result = engine.handle::<alarms>(id("alarms")).result().await;
    assert_eq!(result.expect("a result"), 5);
    engine.shutdown().await;
}
