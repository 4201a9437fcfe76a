//! Parents that stay open until their children have ended.

use std::sync::Arc;
use std::time::Duration;

use workflow_runtime::prelude::*;
use workflow_runtime::store::{FaultPlan, FaultyStore, MemoryStore};
use workflow_runtime::testing::EffectLog;
use workflow_runtime::{InstanceId, InstanceStatus, ListFilter};

use super::memory;

#[task]
async fn note(context: &TaskContext, State(log): State<EffectLog>, text: String) {
    log.record(context, text);
}

#[workflow]
async fn worker(n: u32) -> u32 {
    sleep(Duration::from_secs(3600) * n).await;
    note(format!("worker {n}")).await;
    n
}

#[workflow]
async fn waiter(fails: bool) -> Result<String, String> {
    let text = "x".repeat(100_000);
    let mut started = Vec::new();
    for n in 1..=3 {
        let child = worker(n)
            .id(format!("worker-{n}"))
            .parent_close_policy(ParentClosePolicy::Wait);
        started.push(child.start().await);
    }
    // One that it has awaited needs not be waited for.
    started.remove(0).await;
    note("last task".to_owned()).await;
    if fails { Err("broken".to_owned()) } else { Ok(text) }
}

#[workflow]
async fn grandparent() -> usize {
    waiter(false).id("waiter").await.unwrap().len()
}

workflows! { App { worker, waiter, grandparent } }

async fn open(store: &MemoryStore, log: &EffectLog) -> WorkflowEngine<App> {
    WorkflowEngine::<App>::builder()
        .store(store.clone())
        .state(log.clone())
        .build()
        .await
        .unwrap()
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

async fn status(engine: &WorkflowEngine<App>, text: &str) -> InstanceStatus {
    engine.status(&id(text)).await.unwrap().unwrap()
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600 - 1800)
}

#[tokio::test(start_paused = true)]
async fn a_parent_waits_for_its_children_and_shows_it() {
    for fails in [false, true] {
        let (store, log) = (memory(), EffectLog::new());
        let engine = open(&store, &log).await;
        let handle = engine.start(waiter(fails)).id("waiter").await.unwrap();
        tokio::time::sleep(hours(2)).await;
        assert_eq!(log.texts(), ["worker 1", "last task"]);
        let waiting = InstanceStatus::Waiting {
            on: "its children to end".to_owned(),
            point: "(closing)".to_owned(),
        };
        assert_eq!(status(&engine, "waiter").await, waiting);
        let details = engine.describe(handle.id()).await.unwrap().unwrap();
        assert_eq!(details.waits_for, [id("worker-2"), id("worker-3")]);
        assert_eq!(details.awaits.as_deref(), Some("its children to end"));
        assert!(details.output.is_some() && details.variables.is_empty());
        let open = engine.list(ListFilter::default().open_only()).await.unwrap();
        assert_eq!(open.instances.len(), 3);

        // It can be paused meanwhile.
        engine.pause(handle.id(), "a while").await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        engine.resume(handle.id()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(status(&engine, "waiter").await, waiting);
        let details = engine.describe(handle.id()).await.unwrap().unwrap();
        assert_eq!(details.waits_for, [id("worker-3")]);

        let output = handle.result().await.unwrap();
        assert_eq!(output.is_err(), fails);
        assert_eq!(log.texts(), ["worker 1", "last task", "worker 2", "worker 3"]);
        let details = engine.describe(handle.id()).await.unwrap().unwrap();
        assert!(details.waits_for.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_is_stopped_while_it_waits_does_not_wait() {
    for terminates in [false, true] {
        for pauses in [false, true] {
            let (store, log) = (memory(), EffectLog::new());
            let engine = open(&store, &log).await;
            let handle = engine.start(waiter(false)).id("waiter").await.unwrap();
            tokio::time::sleep(hours(2)).await;
            if pauses {
                engine.pause(handle.id(), "a while").await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if terminates {
                engine.terminate(handle.id(), "enough").await.unwrap();
            } else {
                engine.cancel(handle.id(), "enough").await.unwrap();
            }
            assert!(handle.result().await.is_err());
            tokio::time::sleep(Duration::from_secs(1)).await;
            for child in ["worker-2", "worker-3"] {
                assert!(matches!(
                    status(&engine, child).await,
                    InstanceStatus::Cancelled { .. }
                ));
            }
            assert_eq!(log.texts(), ["worker 1", "last task"]);
        }
    }
}

/// A crash at each commit, with and without leaving the memory; the parent's own parent hears of its end at the end.
#[tokio::test(start_paused = true)]
async fn what_the_code_returned_survives_crashes() {
    for limit in [0, 1000] {
        let mut point = 0;
        loop {
            point += 1;
            let (store, log) = (memory(), EffectLog::new());
            let plan = match point % 2 {
                0 => FaultPlan::none().crash_after_commit(point / 2),
                _ => FaultPlan::none().crash_before_commit(point / 2 + 1),
            };
            let faulty = Arc::new(FaultyStore::new(store.clone(), plan));
            let first = WorkflowEngine::<App>::builder()
                .store(faulty.clone())
                .state(log.clone())
                .waiting_in_memory(limit);
            if let Ok(engine) = first.build().await {
                let _ = engine.start(grandparent()).id("grandparent").await;
                // Not longer than until the crash: timers that are due together fire in any order.
                for _ in 0..5 * 60 {
                    if faulty.is_crashed() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
                engine.abort().await;
            }
            let crashed = faulty.is_crashed();
            let second = WorkflowEngine::<App>::builder()
                .store(store.clone())
                .state(log.clone())
                .waiting_in_memory(limit);
            let engine = second.build().await.unwrap();
            let handle = engine
                .start(grandparent())
                .id("grandparent")
                .on_existing(ExistingId::ReturnExisting)
                .await
                .unwrap();
            assert_eq!(handle.result().await.unwrap(), 100_000, "point {point}");
            // A task may run twice around a crash, but none runs after a later one has.
            let mut texts = log.texts();
            texts.dedup();
            let expected = ["worker 1", "last task", "worker 2", "worker 3"];
            assert_eq!(texts, expected, "point {point}");
            for ended in ["worker-2", "worker-3", "waiter"] {
                assert_eq!(status(&engine, ended).await, InstanceStatus::Completed, "{point}");
            }
            engine.abort().await;
            // The deployment and its leases; five instances that have ended; four links.
            assert_eq!(store.len(), 3 + 64 + 5 + 5 + 4, "point {point}");
            if !crashed {
                break;
            }
        }
        assert!(point > 20, "{point}");
    }
}
