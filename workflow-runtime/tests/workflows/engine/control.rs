//! Orders from outside: cancel, terminate, pause, resume, retry, skip.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::store::MemoryStore;
use workflow_runtime::{BlockedReason, ControlError, InstanceStatus, ResultError};

#[derive(Clone, Serialize, Deserialize)]
struct Go(u32);
impl Signal for Go {
    const NAME: &'static str = "go";
}

#[derive(Clone, Default)]
struct Calls(Arc<AtomicU32>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Failed {
    Stopped(String),
    Task(String),
}
impl From<TaskFailure> for Failed {
    fn from(failure: TaskFailure) -> Self {
        match failure {
            TaskFailure::Cancelled { reason, .. } => Failed::Stopped(reason),
            other => Failed::Task(other.to_string()),
        }
    }
}

#[task]
async fn endless(State(calls): State<Calls>) -> Result<u32, Failed> {
    calls.0.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    Ok(1)
}

#[task]
async fn tidy(n: u32) -> u32 {
    n + 1
}

#[task]
async fn doomed(n: u32) -> u32 {
    panic!("no {n}")
}

#[workflow]
async fn stoppable() -> Result<u32, Failed> {
    match endless().await {
        Err(Failed::Stopped(reason)) => {
            let tidied = tidy(40).await;
            sleep("1h").await;
            Err(Failed::Task(format!("{reason}, tidied {tidied}")))
        }
        other => other,
    }
}

#[workflow]
async fn waiting(n: u32) -> u32 {
    let big = "x".repeat(5000);
    let (go, ()) = join!(receive::<Go>(), sleep("1h"));
    let after = tidy(go.0 + n).await;
    after + big.len() as u32
}

#[workflow]
async fn blocked(n: u32) -> u32 {
    let n = doomed(n).await;
    tidy(n).await
}

#[workflow]
async fn parent(n: u32) -> u32 {
    waiting(n).id("the-child").await
}

/// Blocked at a task of a branch, of a block, and behind a time limit, one after the other.
#[workflow]
async fn blocked_inside(n: u32) -> u32 {
    let (a, b) = join!(tidy(n), doomed(n));
    let c = select! {
        c = async {
            let c = tidy(n).await;
            doomed(c).await + c
        } => c,
        () = sleep("30d") => 0,
    };
    let all =
        join_all((0..3).map(|n| async move { if n == 1 { doomed(n).await } else { tidy(n).await } })).await;
    let last = doomed(n).timeout("1h").await.unwrap_or_default();
    a + b + c + all.iter().sum::<u32>() + last
}

workflows! { App { stoppable, waiting, blocked, blocked_inside, parent } }

async fn open(store: &MemoryStore, waiting_in_memory: usize) -> WorkflowEngine<App> {
    let builder = WorkflowEngine::<App>::builder()
        .store(store.clone())
        .state(Calls::default());
    builder
        .waiting_in_memory(waiting_in_memory)
        .build()
        .await
        .unwrap()
}

/// Three records of the deployment, a lease per shard, and two of each instance that has ended.
fn only_the_ends(store: &MemoryStore, instances: usize) {
    assert_eq!(store.len(), 3 + 64 + 2 * instances);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_tells_the_code() {
    let store = MemoryStore::new();
    let engine = open(&store, 1000).await;
    let handle = engine.start(stoppable()).await.unwrap();
    engine.cancel(handle.id(), "too late").await.unwrap();
    assert_eq!(
        handle.result().await.unwrap(),
        Err(Failed::Task("too late, tidied 41".to_owned()))
    );
    only_the_ends(&store, 1);
}

#[tokio::test(start_paused = true)]
async fn an_order_is_carried_out_in_memory_out_of_it_and_after_a_restart() {
    for waiting_in_memory in [1000, 0] {
        for restart in [false, true] {
            let store = MemoryStore::new();
            let mut engine = open(&store, waiting_in_memory).await;
            let cancelled = engine.start(waiting(1)).id("cancelled").await.unwrap();
            let terminated = engine.start(waiting(1)).id("terminated").await.unwrap();
            let child = engine.start(parent(1)).id("parent").await.unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            if restart {
                engine.abort().await;
                engine = open(&store, waiting_in_memory).await;
            }
            engine.cancel(cancelled.id(), "no").await.unwrap();
            engine.terminate(terminated.id(), "stop").await.unwrap();
            let handle = engine.handle::<waiting>(cancelled.id().clone());
            assert!(
                matches!(handle.result().await, Err(ResultError::Cancelled { reason, .. }) if reason == "no")
            );
            let handle = engine.handle::<waiting>(terminated.id().clone());
            assert!(
                matches!(handle.result().await, Err(ResultError::Terminated { reason, .. }) if reason == "stop")
            );
            let error = engine.cancel(terminated.id(), "again").await.unwrap_err();
            assert!(error.to_string().contains("terminated: stop"), "{error}");

            // The parent is told that its child will give nothing.
            engine
                .terminate(&"the-child".parse().unwrap(), "stop")
                .await
                .unwrap();
            let handle = engine.handle::<parent>(child.id().clone());
            let error = handle.result().await.unwrap_err();
            assert!(
                error.to_string().contains("`the-child` was terminated: stop"),
                "{error}"
            );
            engine.terminate(child.id(), "give up").await.unwrap();
            assert!(matches!(
                handle.result().await,
                Err(ResultError::Terminated { .. })
            ));
            tokio::time::sleep(Duration::from_secs(5)).await;
            // And the link from the parent to its child.
            assert_eq!(store.len(), 3 + 64 + 2 * 4 + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_instance_goes_on_where_it_was() {
    for waiting_in_memory in [1000, 0] {
        let store = MemoryStore::new();
        let engine = open(&store, waiting_in_memory).await;
        let handle = engine.start(waiting(1)).id("one").await.unwrap();
        engine.pause(handle.id(), "maintenance").await.unwrap();
        tokio::time::sleep(Duration::from_secs(7200)).await;
        assert_eq!(
            handle.status().await.unwrap(),
            InstanceStatus::Paused {
                reason: "maintenance".to_owned()
            }
        );
        assert!(matches!(
            engine.pause(handle.id(), "more").await,
            Err(ControlError::NotPossible { .. })
        ));
        handle.signal(Go(5)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(matches!(
            handle.status().await.unwrap(),
            InstanceStatus::Paused { .. }
        ));
        engine.abort().await;
        let engine = open(&store, waiting_in_memory).await;
        let handle = engine.handle::<waiting>("one".parse().unwrap());
        engine.resume(handle.id()).await.unwrap();
        assert_eq!(handle.result().await.unwrap(), 7 + 5000);
        assert!(matches!(
            engine.resume(handle.id()).await,
            Err(ControlError::NotPossible { .. })
        ));
        only_the_ends(&store, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocked_instance_is_retried_skipped_or_ended() {
    let store = MemoryStore::new();
    let engine = open(&store, 1000).await;
    let handle = engine.start(blocked(1)).id("one").await.unwrap();
    let is_blocked = |error: ResultError| {
        matches!(
            error,
            ResultError::Blocked {
                reason: BlockedReason::TaskFailed { .. },
                ..
            }
        )
    };
    assert!(is_blocked(handle.result().await.unwrap_err()));
    engine.retry(handle.id()).await.unwrap();
    assert!(is_blocked(handle.result().await.unwrap_err()));
    engine
        .skip(handle.id(), &serde_json::json!("seven"))
        .await
        .unwrap();
    let error = handle.result().await.unwrap_err();
    assert!(
        error.to_string().contains("the given output of `doomed`"),
        "{error}"
    );
    engine.retry(handle.id()).await.unwrap();
    let _ = handle.result().await;
    engine.skip(handle.id(), &serde_json::json!(7)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 8);
    only_the_ends(&store, 1);

    let handle = engine.start(blocked(2)).id("two").await.unwrap();
    assert!(is_blocked(handle.result().await.unwrap_err()));
    engine.cancel(handle.id(), "hopeless").await.unwrap();
    assert!(matches!(
        handle.result().await,
        Err(ResultError::Cancelled { .. })
    ));
    only_the_ends(&store, 2);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_branch_is_skipped() {
    for waiting_in_memory in [0, 1000] {
        let store = MemoryStore::new();
        let mut engine = open(&store, waiting_in_memory).await;
        let handle = engine.start(blocked_inside(1)).id("one").await.unwrap();
        let id = handle.id().clone();
        for (path, output) in [(&[1][..], 100), (&[0], 1000), (&[1], 20), (&[0], 5)] {
            let error = engine.handle::<blocked_inside>(id.clone()).result().await;
            assert!(matches!(
                error,
                Err(ResultError::Blocked {
                    reason: BlockedReason::TaskFailed { .. },
                    ..
                })
            ));
            for wrong in [&[][..], &[7], &[0, 0]] {
                let refused = engine.skip_branch(&id, wrong, &serde_json::json!(1)).await;
                let error = refused.unwrap_err().to_string();
                assert!(error.contains("no task is pending"), "{error}");
            }
            // An output of another type blocks it again, and is forgotten with the next retry.
            engine
                .skip_branch(&id, path, &serde_json::json!("many"))
                .await
                .unwrap();
            let error = engine
                .handle::<blocked_inside>(id.clone())
                .result()
                .await
                .unwrap_err();
            assert!(
                error.to_string().contains("the given output of `doomed`"),
                "{error}"
            );
            engine.retry(&id).await.unwrap();
            let _ = engine.handle::<blocked_inside>(id.clone()).result().await;
            engine
                .skip_branch(&id, path, &serde_json::json!(output))
                .await
                .unwrap();
            // The output that was given outlives the process.
            engine.abort().await;
            engine = open(&store, waiting_in_memory).await;
        }
        let result = engine.handle::<blocked_inside>(id).result().await.unwrap();
        let tidied = |n: u32| n + 1;
        assert_eq!(
            result,
            tidied(1) + 100 + (1000 + tidied(1)) + (tidied(0) + 20 + tidied(2)) + 5
        );
        only_the_ends(&store, 1);
    }
}
