//! Many instances.

use std::time::Duration;

use workflow_runtime::prelude::*;
use workflow_runtime::testing::EffectLog;
use workflow_runtime::{InstanceId, ListFilter};

use super::super::support::Note;
use super::memory;

#[workflow]
async fn wait_twice(n: i64) -> i64 {
    let first = receive::<Note>().await.0;
    sleep("1h").await;
    n + first + receive::<Note>().await.0
}

fn id(n: i64) -> InstanceId {
    InstanceId::new(format!("waits {n}")).unwrap()
}

/// Instances that wait cost no memory, and each one is found again.
#[tokio::test(start_paused = true)]
async fn five_thousand_wait_outside_of_the_memory() {
    const COUNT: i64 = 5000;
    let store = memory();
    let builder = || WorkflowEngine::<wait_twice>::builder().store(store.clone()).waiting_in_memory(100);
    let engine = builder().build().await.unwrap();
    for n in 0..COUNT {
        engine.start(wait_twice(n)).id(id(n).to_string()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(engine.stats().in_memory <= 101, "{:?}", engine.stats());
    for n in 0..COUNT {
        engine.handle::<wait_twice>(id(n)).signal(Note(1)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(engine.stats().in_memory <= 101, "{:?}", engine.stats());
    engine.abort().await;

    // Half of them hear from somebody while they sleep, the others afterwards, under another engine.
    let engine = builder().build().await.unwrap();
    for n in (0..COUNT).step_by(2) {
        engine.handle::<wait_twice>(id(n)).signal(Note(2)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    let open = engine.list(ListFilter::default().open_only().limit(1000)).await.unwrap();
    assert_eq!(open.instances.len(), 1000, "the others wait");
    for n in (1..COUNT).step_by(2) {
        engine.handle::<wait_twice>(id(n)).signal(Note(2)).await.unwrap();
    }
    for n in 0..COUNT {
        assert_eq!(engine.handle::<wait_twice>(id(n)).result().await.unwrap(), n + 3);
    }
    assert_eq!(engine.stats().in_memory, 0);
    assert!(engine.list(ListFilter::default().open_only()).await.unwrap().instances.is_empty());
}

#[task]
async fn step(State(log): State<EffectLog>, n: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(n % 7)).await;
    log.note(n.to_string());
    n + 1
}

#[workflow]
async fn ten_steps(mut n: u64) -> u64 {
    for _ in 0..10 {
        n = step(n).await;
    }
    n
}

#[tokio::test(start_paused = true)]
async fn two_thousand_run_at_once() {
    let log = EffectLog::new();
    let builder = WorkflowEngine::<ten_steps>::builder().store(memory()).state(log.clone());
    let engine = builder.build().await.unwrap();
    let starts: Vec<_> = (0..2000)
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.start(ten_steps(n * 100)).await.unwrap().result().await.unwrap() })
        })
        .collect();
    for (n, start) in starts.into_iter().enumerate() {
        assert_eq!(start.await.unwrap(), n as u64 * 100 + 10);
    }
    assert_eq!(log.len(), 20_000);
    let stats = engine.stats();
    // The start and its first step are one commit, then one for each step, the end included.
    assert_eq!(stats.commits, 2000 * 11);
    assert!(stats.groups < stats.commits / 4, "commits share transactions: {stats:?}");
}
