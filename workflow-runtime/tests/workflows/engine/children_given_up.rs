//! Children of branches that are given up: of a `select!`, of a limit of time, of a `try_join!`.

use std::sync::Arc;
use std::time::Duration;

use workflow_runtime::prelude::*;
use workflow_runtime::store::{FaultPlan, FaultyStore, MemoryStore};
use workflow_runtime::testing::EffectLog;
use workflow_runtime::{InstanceId, InstanceStatus};

use super::memory;

#[task]
async fn note(context: &TaskContext, State(log): State<EffectLog>, text: String) {
    log.record(context, text);
}

/// Cleans up for an hour when it is asked to stop.
#[workflow]
async fn tidy(name: String) -> String {
    match sleep("30d").cancellable().await {
        Ok(()) => "slept".to_owned(),
        Err(Cancelled { .. }) => {
            sleep("1h").await;
            note(format!("left {name}")).await;
            "tidied".to_owned()
        }
    }
}

/// Its output cannot say that it was cancelled: a parent that heard of it would be blocked.
#[workflow]
async fn mute() -> u32 {
    sleep("30d").await;
    1
}

#[workflow]
async fn fails(after: u64) -> Result<u32, String> {
    sleep(Duration::from_secs(after)).await;
    Err("broken".to_owned())
}

#[workflow]
async fn succeeds() -> Result<u32, String> {
    sleep("30d").await;
    Ok(1)
}

#[workflow]
async fn parent(how: u32) -> String {
    let kept = tidy("kept".to_owned()).id("kept").start().await;
    let decided = match how {
        0 => select! {
            text = tidy("named".to_owned()).id("loser") => text,
            _ = sleep("10s") => "first".to_owned(),
            text = kept => text,
        },
        1 => match tidy("limit".to_owned()).id("loser").timeout("10s").await {
            Ok(text) => text,
            Err(Elapsed) => "first".to_owned(),
        },
        2 => {
            let joined = try_join!(succeeds().id("loser"), fails(10));
            format!("{joined:?}")
        }
        3 => select! {
            // One that is named after its place, in a join in a block.
            sum = async {
                sleep("1s").await;
                let (one, two) = join!(mute().id("loser"), mute());
                one + two
            } => sum.to_string(),
            _ = sleep("10s") => "first".to_owned(),
        },
        _ => {
            let policy = ParentClosePolicy::Abandon;
            let child = mute().id("loser").parent_close_policy(policy);
            match child.timeout("10s").await {
                Ok(_) => "ended".to_owned(),
                Err(Elapsed) => "first".to_owned(),
            }
        }
    };
    // Two steps that come after it.
    note("decided".to_owned()).await;
    sleep("2h").await;
    decided
}

workflows! { App { tidy, mute, fails, succeeds, parent } }

async fn open(store: &MemoryStore, log: &EffectLog, limit: usize) -> WorkflowEngine<App> {
    WorkflowEngine::<App>::builder()
        .store(store.clone())
        .state(log.clone())
        .waiting_in_memory(limit)
        .build()
        .await
        .unwrap()
}

async fn status(engine: &WorkflowEngine<App>, id: &str) -> InstanceStatus {
    let id: InstanceId = id.parse().unwrap();
    engine.status(&id).await.unwrap().unwrap()
}

/// Checks an instance from some time before its decision to its end.
async fn check(engine: &WorkflowEngine<App>, log: &EffectLog, how: u32, crash: usize) {
    let handle = engine
        .start(parent(how))
        .id("parent")
        .on_existing(ExistingId::ReturnExisting)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    if crash == 0 {
        assert!(matches!(
            status(engine, "kept").await,
            InstanceStatus::Waiting { .. }
        ));
        assert!(matches!(
            status(engine, "parent").await,
            InstanceStatus::Waiting { .. }
        ));
    }
    let decided = match how {
        2 => "Err(\"broken\")",
        _ => "first",
    };
    assert_eq!(handle.result().await.unwrap(), decided, "{how}, crash {crash}");
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    let loser = status(engine, "loser").await;
    let mut texts = log.texts();
    texts.dedup();
    match how {
        // Its cleaning up was not cut short, neither by a second order nor by the parent's end.
        0 | 1 => {
            let name = if how == 0 { "named" } else { "limit" };
            assert_eq!(loser, InstanceStatus::Completed, "{how}, crash {crash}");
            let left = format!("left {name}");
            assert_eq!(
                texts,
                ["decided", left.as_str(), "left kept"],
                "{how}, crash {crash}"
            );
        }
        4 => assert!(matches!(loser, InstanceStatus::Waiting { .. }), "{loser}"),
        _ => {
            let InstanceStatus::Cancelled { reason } = loser else {
                panic!("{how}, crash {crash}: {loser}")
            };
            assert_eq!(reason, "its parent `parent` does not wait for it any more");
        }
    }
    let details = engine.describe(handle.id()).await.unwrap().unwrap();
    assert_eq!(details.children.len(), [2, 2, 3, 3, 2][how as usize]);
    for child in details.children {
        // Also the one that is named after its place.
        if how == 3 && child.id.as_str() != "kept" {
            let InstanceStatus::Cancelled { reason } = status(engine, child.id.as_str()).await else {
                panic!("{}", child.id)
            };
            assert_eq!(reason, "its parent `parent` does not wait for it any more");
        }
        let is_open = matches!(
            status(engine, child.id.as_str()).await,
            InstanceStatus::Waiting { .. }
        );
        assert_eq!(is_open, how == 4 && child.id.as_str() == "loser", "{}", child.id);
    }
}

#[tokio::test(start_paused = true)]
async fn losers_children_are_cancelled() {
    for how in 0..5 {
        for limit in [0, 1000] {
            let (store, log) = (memory(), EffectLog::new());
            let engine = open(&store, &log, limit).await;
            check(&engine, &log, how, 0).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn losers_children_are_cancelled_once_whatever_crashes() {
    for how in 0..5 {
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
                .state(log.clone());
            if let Ok(engine) = first.build().await {
                let _ = engine.start(parent(how)).id("parent").await;
                // Not longer than until the crash: timers that are due together fire in any order.
                for _ in 0..60 {
                    if faulty.is_crashed() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                engine.abort().await;
            }
            let crashed = faulty.is_crashed();
            let engine = open(&store, &log, 1000).await;
            check(&engine, &log, how, usize::from(crashed) * point as usize).await;
            engine.abort().await;
            if !crashed {
                break;
            }
        }
        assert!(point > 10, "{how}: {point}");
    }
}
