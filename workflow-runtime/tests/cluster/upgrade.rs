//! Two builds of a program on one shard map: an instance is run by a node that knows it, and left alone by the others.

use std::time::Duration;

use workflow_runtime::cluster::Cluster;
use workflow_runtime::prelude::*;
use workflow_runtime::store::MemoryStore;
use workflow_runtime::{BlockedReason, InstanceStatus, Registry};

use crate::support::{LEASE, Note, memory, seconds};

/// What only the new program has.
#[task]
async fn twice(n: u64) -> u64 {
    n * 2
}

#[workflow]
async fn novel(n: u64) -> u64 {
    let doubled = twice(n).await;
    sleep("5s").await;
    let more = receive::<Note>().await.0;
    twice(doubled + more).await
}

mod old {
    use super::*;

    #[workflow(name = "evolving")]
    pub(super) async fn evolving(n: u64) -> u64 {
        n + receive::<Note>().await.0
    }
    workflows! { pub(super) Program { evolving } }
}

mod new {
    use super::*;

    #[workflow(name = "evolving")]
    pub(super) async fn evolving(n: u64) -> u64 {
        sleep("1s").await;
        let doubled = super::twice(n).await;
        doubled + receive::<Note>().await.0
    }
    workflows! { pub(super) Program { evolving, novel } }
}

async fn node<R: Registry>(store: &MemoryStore, name: &str) -> WorkflowEngine<R> {
    WorkflowEngine::builder()
        .store(store.clone())
        .cluster(Cluster::node(name).lease(LEASE))
        .build()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_instance_runs_where_it_is_known() {
    let store = memory();
    let before = node::<old::Program>(&store, "old").await;
    seconds(5).await;
    let after = node::<new::Program>(&store, "new").await;
    seconds(15).await;
    let (mut handles, mut by_old, mut by_new) = (Vec::new(), 0, 0);
    for n in 1..=20 {
        handles.push(after.start(novel(n)).id(format!("n{n}")).await.unwrap());
        let handle = after.start(new::evolving(n)).id(format!("e{n}")).await.unwrap();
        let signalled = before.handle::<old::evolving>(handle.id().clone());
        seconds(1).await;
        signalled.signal(Note(1)).await.unwrap();
        let result = tokio::time::timeout(LEASE * 3, handle.result()).await;
        // At its start either program knows it; what has begun with one goes on with that one.
        match result.unwrap().unwrap() {
            result if result == n + 1 => by_old += 1,
            result if result == 2 * n + 1 => by_new += 1,
            other => panic!("e{n}: {other}"),
        }
    }
    assert!(
        by_old > 0 && by_new > 0,
        "{by_old} by the old program, {by_new} by the new one"
    );
    seconds(30).await;
    for (n, handle) in (1..).zip(&handles) {
        // The old program knows that the new one runs it.
        let status = before.status(handle.id()).await.unwrap().unwrap();
        assert!(!matches!(status, InstanceStatus::Blocked { .. }), "{status:?}");
        handle.signal(Note(5)).await.unwrap();
        let result = tokio::time::timeout(LEASE * 3, handle.result()).await;
        assert_eq!(result.unwrap().unwrap(), 2 * (2 * n + 5), "n{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_waits_and_says_so() {
    let store = memory();
    let after = node::<new::Program>(&store, "new").await;
    seconds(2).await;
    let handle = after.start(novel(4)).id("n").await.unwrap();
    let id = handle.id().clone();
    seconds(1).await;
    after.shutdown().await;
    let before = node::<old::Program>(&store, "old").await;
    seconds(60).await;
    let status = before.status(&id).await.unwrap().unwrap();
    assert!(
        matches!(&status, InstanceStatus::Blocked { reason: BlockedReason::UnknownWorkflow { name } } if name == "novel"),
        "{status:?}"
    );
    let after = node::<new::Program>(&store, "new").await;
    let handle = after.handle::<novel>(id);
    handle.signal(Note(1)).await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(200), handle.result()).await;
    assert_eq!(result.unwrap().unwrap(), 18);
}

/// The node that runs an orphan dies: another one that knows it goes on with it.
#[tokio::test(start_paused = true)]
async fn an_orphan_outlives_its_node() {
    let store = memory();
    let before = node::<old::Program>(&store, "old").await;
    let first = node::<new::Program>(&store, "new-1").await;
    let second = node::<new::Program>(&store, "new-2").await;
    seconds(15).await;
    let mut ids = Vec::new();
    for n in 0..30 {
        let handle = before.start(old::evolving(n)).id(format!("x{n}")).await.unwrap();
        drop(handle);
        ids.push(
            first
                .start(novel(n))
                .id(format!("n{n}"))
                .await
                .unwrap()
                .id()
                .clone(),
        );
    }
    seconds(3).await;
    first.abort().await;
    seconds(40).await;
    for (n, id) in (0..).zip(ids) {
        let handle = second.handle::<novel>(id);
        handle.signal(Note(1)).await.unwrap();
        let result = tokio::time::timeout(LEASE * 10, handle.result()).await;
        assert_eq!(result.unwrap().unwrap(), 2 * (2 * n + 1), "n{n}");
    }
}
