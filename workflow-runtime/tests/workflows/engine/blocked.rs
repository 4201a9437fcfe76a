//! Instances that cannot go on are visible, harm nobody, and go on when the cause is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use workflow_runtime::prelude::*;
use workflow_runtime::store::MemoryStore;
use workflow_runtime::{BlockedReason, InstanceId, InstanceStatus, ListFilter, ResultError, ControlError};

use super::super::support::Note;
use super::{memory, open};

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

async fn reason<R: workflow_runtime::Registry>(engine: &WorkflowEngine<R>, instance: &str) -> BlockedReason {
    match engine.status(&id(instance)).await.unwrap() {
        Some(InstanceStatus::Blocked { reason }) => reason,
        other => panic!("`{instance}` is {other:?}"),
    }
}

static BROKEN: AtomicBool = AtomicBool::new(true);

#[task]
async fn one() -> u32 {
    1
}

#[workflow]
async fn divides(n: u32) -> u32 {
    let one = one().await;
    assert!(!(n == 0 && BROKEN.load(Ordering::SeqCst)), "n is {n}");
    one + receive::<Note>().await.0 as u32
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_workflow_blocks_it_until_it_is_retried() {
    let store = memory();
    let engine = open::<divides>(&store).await;
    let handle = engine.start(divides(0)).id("zero").await.unwrap();
    let error = handle.result().await.unwrap_err();
    let ResultError::Blocked { reason: BlockedReason::Panicked { message }, .. } = &error else { panic!("{error}") };
    assert_eq!(message, "n is 0");
    // A restart does not run the panic again and again.
    engine.abort().await;
    let engine = open::<divides>(&store).await;
    assert!(matches!(reason(&engine, "zero").await, BlockedReason::Panicked { .. }));
    assert_eq!(engine.list(ListFilter::default().open_only()).await.unwrap().instances.len(), 1);
    // Its messages are kept.
    let handle = engine.handle::<divides>(id("zero"));
    handle.signal(Note(41)).await.unwrap();
    assert!(matches!(reason(&engine, "zero").await, BlockedReason::Panicked { .. }));

    BROKEN.store(false, Ordering::SeqCst);
    engine.retry(&id("zero")).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 42);
    assert!(matches!(engine.retry(&id("zero")).await, Err(ControlError::NotPossible { .. })));
    assert!(matches!(engine.retry(&id("nobody")).await, Err(ControlError::NotFound { .. })));
}

#[workflow]
async fn panics_at_once(n: u32) -> u32 {
    let m = 10 / n;
    one().await + m
}

#[tokio::test(start_paused = true)]
async fn what_cannot_begin_is_not_stored() {
    let engine = open::<panics_at_once>(&memory()).await;
    let error = engine.start(panics_at_once(0)).id("a").await.unwrap_err();
    assert!(error.to_string().contains("divide by zero"), "{error}");
    assert_eq!(engine.status(&id("a")).await.unwrap(), None);
    assert_eq!(engine.start(panics_at_once(5)).id("a").await.unwrap().result().await.unwrap(), 3);
}

/// Two versions of a program: in the second one a variable has another type.
mod first {
    use super::*;
    #[workflow]
    pub(super) async fn order(n: u32) -> u32 {
        let total = format!("{n} euros");
        let note = receive::<Note>().await;
        total.len() as u32 + note.0 as u32
    }
    #[workflow]
    pub(super) async fn other(n: u32) -> u32 {
        n + receive::<Note>().await.0 as u32
    }
    workflows! { pub App { order, other } }
}

mod second {
    use super::*;
    #[workflow]
    pub(super) async fn order(n: u32) -> u32 {
        let total = vec![n];
        let note = receive::<Note>().await;
        total[0] + note.0 as u32
    }
    #[workflow]
    pub(super) async fn other(n: u32) -> u32 {
        n + receive::<Note>().await.0 as u32
    }
    workflows! { pub App { order, other } }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_does_not_fit_blocks_its_instance_only() {
    let store = memory();
    let engine = open::<first::App>(&store).await;
    engine.start(first::order(3)).id("order").await.unwrap();
    engine.start(first::other(3)).id("other").await.unwrap();
    engine.shutdown().await;

    let engine = open::<second::App>(&store).await;
    engine.handle::<second::order>(id("order")).signal(Note(1)).await.unwrap();
    engine.handle::<second::other>(id("other")).signal(Note(1)).await.unwrap();
    assert_eq!(engine.handle::<second::other>(id("other")).result().await.unwrap(), 4);
    let error = engine.handle::<second::order>(id("order")).result().await.unwrap_err();
    let ResultError::Blocked { reason: BlockedReason::Undecodable { variable, error }, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(variable, "total");
    assert!(!error.is_empty());
    engine.shutdown().await;

    // The program that wrote it goes on with it; nothing has to be retried by hand.
    let engine = open::<first::App>(&store).await;
    assert_eq!(engine.handle::<first::order>(id("order")).result().await.unwrap(), 8);
}

mod third {
    use super::*;
    /// The point has another name.
    #[workflow]
    pub(super) async fn order(n: u32) -> u32 {
        let total = format!("{n} euros");
        #[point("approval")]
        let note = receive::<Note>().await;
        total.len() as u32 + note.0 as u32
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_program_does_not_know_waits_for_one_that_does() {
    let store = memory();
    let engine = open::<first::App>(&store).await;
    engine.start(first::order(3)).id("order").await.unwrap();
    engine.start(first::other(3)).id("other").await.unwrap();
    engine.abort().await;

    let engine = open::<third::order>(&store).await;
    let other = reason(&engine, "other").await;
    assert_eq!(other, BlockedReason::UnknownWorkflow { name: "other".to_owned() });
    let order = reason(&engine, "order").await;
    assert_eq!(order, BlockedReason::UnknownPoint { point: "receive".to_owned() });
    let handle = engine.handle::<third::order>(id("order"));
    assert!(matches!(handle.result().await, Err(ResultError::Blocked { .. })));
    // A message for later.
    handle.signal(Note(1)).await.unwrap();
    let listed = engine.list(ListFilter::default()).await.unwrap().instances;
    assert!(listed.iter().all(|instance| matches!(instance.status, InstanceStatus::Blocked { .. })), "{listed:?}");
    // Instances of its own are not disturbed.
    let own = engine.start(third::order(3)).id("own").await.unwrap();
    own.signal(Note(2)).await.unwrap();
    assert_eq!(own.result().await.unwrap(), 9);
    engine.shutdown().await;

    let engine = open::<first::App>(&store).await;
    assert_eq!(engine.handle::<first::order>(id("order")).result().await.unwrap(), 8);
    engine.handle::<first::other>(id("other")).signal(Note(4)).await.unwrap();
    assert_eq!(engine.handle::<first::other>(id("other")).result().await.unwrap(), 7);
}

#[derive(Clone)]
struct Deadly(Arc<AtomicBool>);

#[task]
async fn kills_the_process(State(deadly): State<Deadly>) -> u32 {
    if deadly.0.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    7
}

#[workflow]
async fn poisonous() -> u32 {
    kills_the_process().await
}

async fn with_limit(store: &MemoryStore, deadly: &Deadly) -> WorkflowEngine<poisonous> {
    let builder = WorkflowEngine::builder().store(store.clone()).state(deadly.clone());
    builder.poison_limit(3).build().await.unwrap()
}

/// An engine that ends without a shutdown has crashed. A step at which that happens again and again is blocked, so that
/// it cannot take the others down for ever.
#[tokio::test(start_paused = true)]
async fn a_deadly_step_is_blocked_after_the_limit() {
    let (store, deadly) = (memory(), Deadly(Arc::new(AtomicBool::new(true))));
    let engine = with_limit(&store, &deadly).await;
    engine.start(poisonous()).id("p").await.unwrap();
    engine.abort().await;
    for crash in 1..=3 {
        let engine = with_limit(&store, &deadly).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let status = engine.status(&id("p")).await.unwrap().unwrap();
        assert!(matches!(status, InstanceStatus::Running { .. }), "after {crash} crashes: {status}");
        engine.abort().await;
    }
    let engine = with_limit(&store, &deadly).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let expected = BlockedReason::Poison { point: "kills_the_process".to_owned(), crashes: 4 };
    assert_eq!(reason(&engine, "p").await, expected);
    deadly.0.store(false, Ordering::SeqCst);
    engine.retry(&id("p")).await.unwrap();
    assert_eq!(engine.handle::<poisonous>(id("p")).result().await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_no_crash() {
    let (store, deadly) = (memory(), Deadly(Arc::new(AtomicBool::new(true))));
    let engine = with_limit(&store, &deadly).await;
    engine.start(poisonous()).id("p").await.unwrap();
    engine.shutdown_within(std::time::Duration::from_secs(1)).await;
    for _ in 0..10 {
        let engine = with_limit(&store, &deadly).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        engine.shutdown_within(std::time::Duration::from_secs(1)).await;
    }
    deadly.0.store(false, Ordering::SeqCst);
    let engine = with_limit(&store, &deadly).await;
    assert_eq!(engine.handle::<poisonous>(id("p")).result().await.unwrap(), 7);
}
