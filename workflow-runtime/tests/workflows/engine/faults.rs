//! A store that fails for a while, and one that does not say what it did.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use workflow_runtime::prelude::*;
use workflow_runtime::store::{
    Batch, CommitProfile, Error, FaultPlan, FaultyStore, MemoryStore, Store, StoreFuture, Verdict,
};
use workflow_runtime::testing::EffectLog;
use workflow_runtime::{ResultError, SignalError, StartError};

use super::super::support::Note;
use super::memory;

/// A store whose commits can be switched off.
#[derive(Debug, Clone)]
struct Switched {
    inner: MemoryStore,
    off: Arc<AtomicBool>,
}

impl Switched {
    fn new() -> Self {
        Switched { inner: memory(), off: Arc::default() }
    }

    fn set_off(&self, off: bool) {
        self.off.store(off, Ordering::SeqCst);
    }
}

impl Store for Switched {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        self.inner.get(keys)
    }
    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        self.inner.scan(range, limit)
    }
    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        if self.off.load(Ordering::SeqCst) {
            return Box::pin(async { Err(Error::Unavailable("the disk is full".to_owned())) });
        }
        self.inner.commit(group)
    }
    fn now_ms(&self) -> StoreFuture<'_, u64> {
        self.inner.now_ms()
    }
    fn profile(&self) -> CommitProfile {
        self.inner.profile()
    }
}

#[task]
async fn step(context: &TaskContext, State(log): State<EffectLog>, n: u64) -> u64 {
    log.record(context, n.to_string());
    tokio::time::sleep(Duration::from_secs(1)).await;
    n + 1
}

#[workflow]
async fn steps(count: u64) -> u64 {
    let mut n = 0;
    while n < count {
        n = step(n).await;
    }
    n + receive::<Note>().await.0 as u64
}

async fn engine_on(store: impl Store, log: &EffectLog) -> WorkflowEngine<steps> {
    WorkflowEngine::builder().store(store).state(log.clone()).build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn steps_wait_for_the_store_and_starts_get_the_error() {
    let (store, log) = (Switched::new(), EffectLog::new());
    let engine = engine_on(store.clone(), &log).await;
    let handle = engine.start(steps(4)).id("one").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(log.texts(), ["0", "1"]);

    store.set_off(true);
    let error = engine.start(steps(4)).id("two").await.unwrap_err();
    assert!(matches!(&error, StartError::Store(Error::Unavailable(_))), "{error}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    let error = handle.signal(Note(9)).await.unwrap_err();
    assert!(matches!(error, SignalError::Store(_)), "{error}");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(log.texts(), ["0", "1"], "nothing starts before the step before it is durable");

    store.set_off(false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(log.texts(), ["0", "1", "2", "3"], "nothing is repeated");
    handle.signal(Note(10)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 14);
    // The id of the start that failed is free.
    let two = engine.start(steps(0)).id("two").await.unwrap();
    two.signal(Note(1)).await.unwrap();
    assert_eq!(two.result().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_ever_for_the_store() {
    let (store, log) = (Switched::new(), EffectLog::new());
    let engine = engine_on(store.clone(), &log).await;
    let handle = engine.start(steps(4)).id("one").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    store.set_off(true);
    tokio::time::timeout(Duration::from_secs(60), engine.shutdown()).await.unwrap();
    store.set_off(false);
    let engine = engine_on(store, &log).await;
    let handle = engine.handle::<steps>(handle.id().clone());
    handle.signal(Note(0)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 4);
    // The step that could not be stored ran again.
    assert_eq!(log.texts(), ["0", "0", "1", "2", "3"]);
}

/// Whatever the store does, each instance ends with its result, and no step is run twice: its process never dies.
#[tokio::test(start_paused = true)]
async fn seeded_faults_change_nothing() {
    for seed in 0..200 {
        let log = EffectLog::new();
        let plan = FaultPlan::seeded(seed);
        let build = || {
            let store = FaultyStore::new(memory(), plan.clone());
            WorkflowEngine::<steps>::builder().store(store).state(log.clone()).build()
        };
        // The engine's own start may meet a fault; then there is another store.
        let Ok(engine) = build().await else { continue };
        let handle = loop {
            match engine.start(steps(5)).id("one").on_existing(ExistingId::ReturnExisting).await {
                Ok(handle) => break handle,
                Err(StartError::Store(_)) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
        };
        loop {
            // An unknown outcome: the message may be there twice then; only one is received.
            match handle.signal(Note(7)).await {
                Ok(()) => break,
                Err(SignalError::Store(_)) => {}
                Err(SignalError::Closed { .. }) => break,
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        let result = loop {
            match handle.result().await {
                Err(ResultError::Store(_)) => {}
                other => break other,
            }
        };
        assert_eq!(result.unwrap(), 12, "seed {seed}");
        assert_eq!(log.texts(), ["0", "1", "2", "3", "4"], "seed {seed}: {plan}");
    }
}

/// An engine that another one has taken over from can write nothing any more.
#[tokio::test(start_paused = true)]
async fn the_engine_that_was_replaced_is_fenced() {
    let (store, log) = (memory(), EffectLog::new());
    let old = engine_on(store.clone(), &log).await;
    let handle = old.start(steps(3)).id("one").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let new = engine_on(store.clone(), &log).await;
    assert!(matches!(old.start(steps(1)).await, Err(StartError::Fenced)));
    assert!(matches!(handle.signal(Note(5)).await, Err(SignalError::Fenced)));
    let handle = new.handle::<steps>(handle.id().clone());
    handle.signal(Note(1)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 4);
    // The old engine's task was running; its result went nowhere.
    assert_eq!(log.texts(), ["0", "0", "1", "2"]);
}
