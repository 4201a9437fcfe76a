//! Limits over all attempts, heartbeats with progress, and errors that are final.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use workflow_runtime::prelude::*;
use workflow_runtime::store::{FaultPlan, FaultyStore, MemoryStore, Store};
use workflow_runtime::testing::{EffectLog, crash_everywhere};
use workflow_runtime::{Registry, ResultError};

use super::memory;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Refusal {
    Declined(u32),
    Unknown { card: String },
    Busy,
    Lost(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl From<TaskFailure> for Refusal {
    fn from(failure: TaskFailure) -> Self {
        Refusal::Lost(failure.to_string())
    }
}

impl Refusal {
    fn passes(&self) -> bool {
        matches!(self, Refusal::Busy)
    }
}

fn refusal(which: u32) -> Refusal {
    match which {
        0 => Refusal::Declined(7),
        1 => Refusal::Unknown { card: "4111".into() },
        _ => Refusal::Busy,
    }
}

#[derive(Clone, Default)]
struct Attempts(Arc<AtomicU32>);

impl Attempts {
    fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

async fn open<R: Registry>(store: &MemoryStore, attempts: &Attempts) -> WorkflowEngine<R> {
    WorkflowEngine::builder()
        .store(store.clone())
        .state(attempts.clone())
        .build()
        .await
        .unwrap()
}

// Which errors are tried again.

#[task(retry(max_attempts = 3, backoff = fixed("1s"), never = Refusal::Declined(_) | Refusal::Unknown { .. }))]
async fn never(State(attempts): State<Attempts>, which: u32) -> Result<(), Refusal> {
    attempts.next();
    Err(refusal(which))
}

#[task(retry(max_attempts = 3, backoff = fixed("1s"), when = Refusal::passes))]
async fn path(State(attempts): State<Attempts>, which: u32) -> Result<(), Refusal> {
    attempts.next();
    Err(refusal(which))
}

#[task(retry(max_attempts = 3, backoff = fixed("1s"), when = |error| !matches!(error, Refusal::Declined(n) if *n > 5)))]
async fn closure(State(attempts): State<Attempts>, which: u32) -> Result<(), Refusal> {
    attempts.next();
    Err(refusal(which))
}

#[task(retry(max_attempts = 3, backoff = fixed("1s")))]
async fn from_within(
    context: &TaskContext,
    State(attempts): State<Attempts>,
    which: u32,
) -> Result<(), Refusal> {
    attempts.next();
    match refusal(which) {
        Refusal::Busy => Err(Refusal::Busy),
        last => Err(context.give_up(last)),
    }
}

#[task(retry(max_attempts = 3, backoff = fixed("1s"), never = Refusal::Lost(_)))]
async fn panics(State(attempts): State<Attempts>) -> Result<(), Refusal> {
    attempts.next();
    panic!("out of paper")
}

#[workflow]
async fn refused(how: u32, which: u32) -> Result<(), Refusal> {
    match how {
        0 => never(which).await,
        1 => path(which).await,
        2 => closure(which).await,
        3 => from_within(which).await,
        _ => panics().await,
    }
}

#[tokio::test(start_paused = true)]
async fn final_errors_are_not_tried_again() {
    for (how, expected) in [(0, [1, 1, 3]), (1, [1, 1, 3]), (2, [1, 3, 3]), (3, [1, 1, 3])] {
        for (which, expected) in (0..).zip(expected) {
            let attempts = Attempts::default();
            let engine = open::<refused>(&memory(), &attempts).await;
            let handle = engine.start(refused(how, which)).await.unwrap();
            assert_eq!(handle.result().await.unwrap(), Err(refusal(which)));
            assert_eq!(attempts.count(), expected, "way {how}, error {which}");
        }
    }
    // A panic is none of the task's own errors, whatever it becomes for the workflow.
    let attempts = Attempts::default();
    let engine = open::<refused>(&memory(), &attempts).await;
    let handle = engine.start(refused(4, 0)).await.unwrap();
    assert!(matches!(handle.result().await.unwrap(), Err(Refusal::Lost(_))));
    assert_eq!(attempts.count(), 3);
}

// Limits over all attempts.

#[task(
    timeout = "5s",
    schedule_to_close = "20s",
    retry(max_attempts = 100, backoff = fixed("3s"))
)]
async fn slow(State(attempts): State<Attempts>, seconds: u64) -> Result<u32, Refusal> {
    let attempt = attempts.next();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    if seconds == 0 {
        Err(Refusal::Busy)
    } else {
        Ok(attempt)
    }
}

#[task(retry(max_elapsed = "10s", backoff = fixed("3s")))]
async fn elapsing(State(attempts): State<Attempts>) -> Result<u32, Refusal> {
    attempts.next();
    tokio::time::sleep(Duration::from_secs(4)).await;
    Err(Refusal::Busy)
}

#[workflow]
async fn limited(seconds: u64) -> Result<u32, Refusal> {
    slow(seconds).await
}

#[workflow]
async fn limited_start() -> Result<u32, Refusal> {
    elapsing().await
}

#[workflow]
async fn limited_in_a_branch(seconds: u64) -> Result<u32, Refusal> {
    let (one, ()) = join!(slow(seconds), sleep("1s"));
    one
}

workflows! { Limits { limited, limited_start, limited_in_a_branch } }

#[tokio::test(start_paused = true)]
async fn all_attempts_share_one_limit() {
    let attempts = Attempts::default();
    let engine = open::<Limits>(&memory(), &attempts).await;
    let begin = Instant::now();
    let handle = engine.start(limited(60)).await.unwrap();
    // 5 s, a pause of 3 s, 5 s, 3 s, and the third attempt is cut at 20 s.
    let Err(Refusal::Lost(text)) = handle.result().await.unwrap() else {
        panic!("it cannot succeed")
    };
    assert_eq!(begin.elapsed().as_secs(), 20);
    assert_eq!(attempts.count(), 3);
    assert_eq!(
        text,
        "task `slow` did not finish within 20s, all attempts included; the last error was: task `slow` did not finish \
         within 5s"
    );

    // An attempt that could not begin in time is not waited for; the error is that of the last one.
    let (attempts, begin) = (Attempts::default(), Instant::now());
    let engine = open::<Limits>(&memory(), &attempts).await;
    let handle = engine.start(limited(0)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), Err(Refusal::Busy));
    assert_eq!((attempts.count(), begin.elapsed().as_secs()), (7, 18));

    // 4 s, 3 s, 4 s: the next one would begin after 14 s.
    let (attempts, begin) = (Attempts::default(), Instant::now());
    let engine = open::<Limits>(&memory(), &attempts).await;
    let handle = engine.start(limited_start()).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), Err(Refusal::Busy));
    assert_eq!((attempts.count(), begin.elapsed().as_secs()), (2, 11));
}

#[tokio::test(start_paused = true)]
async fn the_limit_goes_on_while_nothing_runs() {
    for branch in [false, true] {
        let (store, attempts) = (memory(), Attempts::default());
        let engine = open::<Limits>(&store, &attempts).await;
        let id = if branch {
            engine.start(limited_in_a_branch(60)).await.unwrap().id().clone()
        } else {
            engine.start(limited(60)).await.unwrap().id().clone()
        };
        tokio::time::sleep(Duration::from_secs(2)).await;
        engine.abort().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        // Eight seconds are left: one attempt, and a cut one.
        let (engine, begin) = (open::<Limits>(&store, &attempts).await, Instant::now());
        let result = if branch {
            engine.handle::<limited_in_a_branch>(id.clone()).result().await
        } else {
            engine.handle::<limited>(id.clone()).result().await
        };
        let Err(Refusal::Lost(text)) = result.unwrap() else {
            panic!("it cannot succeed")
        };
        // The next attempt would begin when the time is over, so the failure is that of the last one.
        assert_eq!((attempts.count(), begin.elapsed().as_secs()), (2, 5), "{text}");
        assert_eq!(text, "task `slow` did not finish within 5s");
    }
    // All of the time passed without a process.
    let (store, attempts) = (memory(), Attempts::default());
    let engine = open::<Limits>(&store, &attempts).await;
    let handle = engine.start(limited(60)).await.unwrap();
    engine.abort().await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let engine = open::<Limits>(&store, &attempts).await;
    let handle = engine.handle::<limited>(handle.id().clone());
    assert_eq!(
        handle.result().await.unwrap(),
        Err(Refusal::Lost(
            "task `slow` did not finish within 20s, all attempts included".to_owned()
        ))
    );
    assert_eq!(attempts.count(), 1);
}

#[task(schedule_to_close = "10s")]
async fn mute(State(attempts): State<Attempts>) -> u32 {
    let attempt = attempts.next();
    if attempt == 1 {
        std::future::pending::<()>().await;
    }
    attempt
}

#[workflow]
async fn mutely() -> u32 {
    mute().await
}

/// An operator who lets a blocked step begin anew gives it all of its time again.
#[tokio::test(start_paused = true)]
async fn a_retried_step_has_all_of_its_time() {
    let attempts = Attempts::default();
    let engine = open::<mutely>(&memory(), &attempts).await;
    let handle = engine.start(mutely()).await.unwrap();
    let error = handle.result().await.unwrap_err();
    assert!(matches!(error, ResultError::Blocked { .. }), "{error}");
    assert!(
        error.to_string().contains("within 10s, all attempts included"),
        "{error}"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    engine.retry(handle.id()).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 2);
}

// Heartbeats.

/// Stands for a file of rows outside, and counts how often each row was imported.
#[derive(Clone, Default)]
struct Rows(Arc<AtomicU64>);

/// Imports row by row, one a second; hangs at each tenth row in its first attempt there.
#[task(heartbeat_timeout = "5s", retry(max_attempts = 20, backoff = fixed("1s")))]
async fn import(context: &TaskContext, State(imported): State<Rows>, rows: u64) -> Result<u64, Refusal> {
    let begin: u64 = context.progress().unwrap_or(0);
    for row in begin..rows {
        if row % 10 == 9 && row > begin {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        imported.0.fetch_add(1, Ordering::SeqCst);
        context.heartbeat(&(row + 1));
    }
    Ok(rows)
}

#[workflow]
async fn import_all(rows: u64) -> Result<u64, Refusal> {
    import(rows).await
}

#[workflow]
async fn import_in_branches(rows: u64) -> Result<u64, Refusal> {
    let (one, two) = join!(import(rows), import(rows));
    Ok(one? + two?)
}

workflows! { Imports { import_all, import_in_branches } }

#[tokio::test(start_paused = true)]
async fn a_silent_attempt_is_given_up_and_the_next_one_knows_how_far_it_was() {
    let (store, rows) = (memory(), Rows::default());
    let build = || {
        WorkflowEngine::<Imports>::builder()
            .store(store.clone())
            .state(rows.clone())
            .build()
    };
    let engine = build().await.unwrap();
    let handle = engine.start(import_all(25)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), Ok(25));
    // No row twice: the last progress of an attempt that failed is stored with its failure.
    assert_eq!(rows.0.load(Ordering::SeqCst), 25);

    let handle = engine.start(import_in_branches(25)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), Ok(50));
    assert_eq!(rows.0.load(Ordering::SeqCst), 75);
    // The deployment, its leases, and who was there and how it ended.
    assert_eq!(store.len(), 3 + 64 + 2 * 2);
}

#[tokio::test(start_paused = true)]
async fn a_crash_costs_a_second_of_progress() {
    for branches in [false, true] {
        let (store, rows) = (memory(), Rows::default());
        let build = || {
            WorkflowEngine::<Imports>::builder()
                .store(store.clone())
                .state(rows.clone())
                .build()
        };
        let engine = build().await.unwrap();
        let id = if branches {
            engine.start(import_in_branches(8)).await.unwrap().id().clone()
        } else {
            engine.start(import_all(8)).await.unwrap().id().clone()
        };
        tokio::time::sleep(Duration::from_millis(6_500)).await;
        let details = engine.describe(&id).await.unwrap().unwrap();
        if !branches {
            let progress = details.attempts.and_then(|attempts| attempts.progress).unwrap();
            assert_eq!(progress, serde_json::json!(6));
        }
        engine.abort().await;
        let engine = build().await.unwrap();
        let (result, lines) = if branches {
            (engine.handle::<import_in_branches>(id).result().await, 2)
        } else {
            (engine.handle::<import_all>(id).result().await, 1)
        };
        assert_eq!(result.unwrap(), Ok(8 * lines));
        assert_eq!(rows.0.load(Ordering::SeqCst), 8 * lines);
        assert_eq!(store.len(), 3 + 64 + 2);
    }
}

#[task(heartbeat_timeout = "1m")]
async fn talkative(context: &TaskContext) -> u64 {
    for count in 0..600u64 {
        context.heartbeat(&count);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    600
}

#[task]
async fn boastful(context: &TaskContext, State(_rows): State<Rows>) -> Result<u64, Refusal> {
    context.heartbeat(&"x".repeat(300 * 1024));
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(1)
}

#[workflow]
async fn talk() -> u64 {
    talkative().await
}

#[workflow]
async fn boast() -> Result<u64, Refusal> {
    boastful().await
}

workflows! { Talks { talk, boast } }

/// However often a task reports, its progress is written once a second.
#[tokio::test(start_paused = true)]
async fn progress_is_written_at_a_bounded_rate() {
    let store = Arc::new(FaultyStore::new(memory(), FaultPlan::none()));
    let engine = WorkflowEngine::<Talks>::builder()
        .store(store.clone())
        .state(Rows::default())
        .build()
        .await
        .unwrap();
    let before = store.commits();
    let handle = engine.start(talk()).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 600);
    // The start, the end, and one for each of six seconds and their ends.
    let commits = store.commits() - before;
    assert!((8..=9).contains(&commits), "{commits} commits");

    let handle = engine.start(boast()).await.unwrap();
    let Err(Refusal::Lost(text)) = handle.result().await.unwrap() else {
        panic!("too large a progress is refused")
    };
    assert!(
        text.contains("takes 307") && text.contains("the limit is 262144"),
        "{text}"
    );
}

/// Uploads chunks; the third attempt is the one that works, each earlier one fails a chunk later.
#[task(heartbeat_timeout = "30s", retry(max_attempts = 3, backoff = fixed("1m")))]
async fn upload(context: &TaskContext, State(log): State<EffectLog>, chunks: u32) -> Result<u32, String> {
    let begin: u32 = context.progress().unwrap_or(0);
    log.record(context, format!("from {begin}"));
    for chunk in begin..chunks {
        context.heartbeat(&(chunk + 1));
        if chunk + 1 >= context.attempt() * 2 && context.attempt() < 3 {
            return Err(format!("chunk {chunk} was not taken"));
        }
    }
    Ok(chunks)
}

#[workflow]
async fn uploads() -> Result<u32, String> {
    let one = upload(5).await?;
    let (two, ()) = join!(upload(6), sleep("1h"));
    Ok(one + two?)
}

#[tokio::test(start_paused = true)]
async fn progress_and_limits_survive_a_crash_everywhere() {
    let log = EffectLog::new();
    let kit = || crash_everywhere::<uploads, _>(uploads).effects(&log);
    let report = kit().run().await;
    assert_eq!(report.result(), Some(&Ok(11)));
    assert_eq!(
        report.effects(),
        ["from 0", "from 2", "from 4", "from 0", "from 2", "from 4"]
    );
    kit().evicting().twice().run().await;
}

/// A store that fails, and cancellations in the middle: nothing of an attempt stays behind.
#[tokio::test(start_paused = true)]
async fn heartbeats_leave_nothing_behind() {
    let mut looked_at = 0;
    for seed in 0..60u64 {
        let (memory, rows) = (memory(), Rows::default());
        let plan = FaultPlan::seeded(seed).read_error(0.0);
        let store = Arc::new(FaultyStore::new(memory.clone(), plan));
        let Ok(engine) = WorkflowEngine::<Imports>::builder()
            .store(store.clone())
            .state(rows.clone())
            .build()
            .await
        else {
            continue;
        };
        let start = engine.start(import_in_branches(40)).id("one");
        let Ok(handle) = start.await else { continue };
        tokio::time::sleep(Duration::from_millis(3_000 + seed * 37)).await;
        let order = match seed % 3 {
            0 => engine.cancel(handle.id(), "enough").await,
            _ => engine.terminate(handle.id(), "enough").await,
        };
        if order.is_err() {
            continue;
        }
        let _ = handle.result().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let left = memory.scan(bytes::Bytes::new()..bytes::Bytes::from_static(b"\xff"), 200);
        let left: Vec<_> = left.await.unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(left.len(), 3 + 64 + 2, "seed {seed}: {left:#?}");
        looked_at += 1;
    }
    assert!(looked_at > 30, "{looked_at} runs got as far as the order");
}
