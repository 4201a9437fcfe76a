//! Nodes join, leave, die, and are cut off; instances go on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use workflow_runtime::cluster::{Cluster, InProcessHints, NodeRecovery, NodeState};
use workflow_runtime::prelude::*;
use workflow_runtime::{InstanceId, InstanceStatus};

use crate::support::*;

async fn start(node: &Node, count: usize, steps_each: u64) -> Vec<InstanceId> {
    let mut ids = Vec::new();
    for n in 0..count {
        let handle = node
            .engine
            .start(steps(steps_each))
            .id(format!("i{n}"))
            .await
            .unwrap();
        ids.push(handle.id().clone());
    }
    ids
}

/// Every instance gets its message from this node, and its result is the right one.
async fn finish(node: &Node, ids: &[InstanceId], steps_each: u64) {
    for id in ids {
        let handle = node.engine.handle::<steps>(id.clone());
        handle.signal(Note(100)).await.unwrap();
        let result = tokio::time::timeout(LEASE * 20, handle.result()).await;
        assert_eq!(result.unwrap().unwrap(), steps_each + 100, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn shards_are_balanced_when_nodes_join_and_leave() {
    let store = memory();
    let a = node(&store, "a").await;
    assert!(
        balanced(&a, 1).await < Duration::from_secs(1),
        "one node has all shards at once"
    );
    let ids = start(&a, 30, 20).await;
    let b = node(&store, "b").await;
    assert!(balanced(&a, 2).await < LEASE);
    let c = node(&store, "c").await;
    assert!(balanced(&b, 3).await < LEASE);
    assert!(
        b.engine.stats().loads > 0 && c.engine.stats().loads > 0,
        "the others run instances"
    );
    // One leaves: the others have its shards at once.
    let begun = Instant::now();
    b.engine.shutdown().await;
    assert!(balanced(&a, 2).await < Duration::from_secs(2));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(shards(&a).await.len(), 2, "it is not seen any more");
    finish(&c, &ids, 20).await;
    // Nothing ran twice but what was interrupted by a change of hands, and nothing was lost.
    let mut steps: Vec<String> = [&a, &b, &c].iter().flat_map(|node| node.log.texts()).collect();
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_taken_over_within_its_lease() {
    let store = memory();
    let (a, b, c) = (
        node(&store, "a").await,
        node(&store, "b").await,
        node(&store, "c").await,
    );
    balanced(&a, 3).await;
    let ids = start(&a, 30, 40).await;
    seconds(5).await;
    c.engine.abort().await;
    let died = Instant::now();
    balanced(&a, 2).await;
    assert!(
        died.elapsed() <= LEASE + Duration::from_secs(1),
        "{:?}",
        died.elapsed()
    );
    assert_eq!(shards(&a).await["c"], (NodeState::Down, 0));
    finish(&b, &ids, 40).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_under_its_name_need_not_wait() {
    let store = memory();
    let a = node(&store, "a").await;
    let ids = start(&a, 10, 5).await;
    a.engine.abort().await;
    let a = node(&store, "a").await;
    assert!(balanced(&a, 1).await < Duration::from_secs(1));
    finish(&a, &ids, 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_replaced_under_its_name_stops_for_good() {
    let store = memory();
    let old = node(&store, "a").await;
    let ids = start(&old, 10, 5).await;
    let new = node(&store, "a").await;
    balanced(&new, 1).await;
    seconds(30).await;
    assert!(matches!(
        old.engine.start(steps(1)).id("x").await,
        Err(workflow_runtime::StartError::Fenced)
    ));
    assert!(balanced(&new, 1).await < Duration::from_secs(1));
    finish(&new, &ids, 5).await;
}

/// A node that is stopped, and goes on when others have its shards: what it had on its way is not written, and its tasks
/// are told to stop.
#[tokio::test(start_paused = true)]
async fn a_paused_node_cannot_write_after_its_lease() {
    for mode in [Mode::Held, Mode::Cut] {
        let store = memory();
        let (a, b) = (node(&store, "a").await, node(&store, "b").await);
        balanced(&a, 2).await;
        let ids = start(&a, 40, 30).await;
        for n in 0..8 {
            a.engine.start(endless()).id(format!("e{n}")).await.unwrap();
        }
        seconds(3).await;
        b.link.set(mode);
        let cut = Instant::now();
        // Its tasks are told before the others can have its shards.
        while b.stopped.0.load(Ordering::SeqCst) == 0 {
            seconds(1).await;
            assert!(cut.elapsed() < LEASE);
        }
        balanced(&a, 1).await;
        assert!(
            cut.elapsed() <= LEASE + Duration::from_secs(1),
            "{:?}",
            cut.elapsed()
        );
        seconds(20).await;
        b.link.set(Mode::Open);
        // It joins again, and both go on.
        balanced(&a, 2).await;
        finish(&a, &ids, 30).await;
        assert!(
            shards(&a)
                .await
                .values()
                .all(|(state, _)| *state != NodeState::Joining)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn hints_make_it_fast_and_their_loss_makes_it_slow() {
    for hinted in [true, false] {
        let store = memory();
        let hints = InProcessHints::default();
        let cluster = |name: &str| {
            let cluster = Cluster::node(name).lease(LEASE);
            if hinted {
                cluster.hints(hints.clone())
            } else {
                cluster
            }
        };
        let a = node_with(&store, cluster("a")).await;
        let b = node_with(&store, cluster("b")).await;
        balanced(&a, 2).await;
        let ids = start(&a, 40, 0).await;
        seconds(5).await;
        let mut slowest = Duration::ZERO;
        for id in &ids {
            seconds(10).await;
            let begun = Instant::now();
            let handle = b.engine.handle::<steps>(id.clone());
            handle.signal(Note(1)).await.unwrap();
            assert_eq!(handle.result().await.unwrap(), 1);
            slowest = slowest.max(begun.elapsed());
        }
        if hinted {
            assert!(slowest < Duration::from_millis(50), "{slowest:?}");
        } else {
            assert!(slowest < Duration::from_millis(2500), "{slowest:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn children_and_timers_live_on_any_node() {
    let store = memory();
    let (a, b) = (node(&store, "a").await, node(&store, "b").await);
    balanced(&a, 2).await;
    let handle = a.engine.start(family(12)).await.unwrap();
    let result = tokio::time::timeout(Duration::from_secs(60), handle.result()).await;
    assert_eq!(result.unwrap().unwrap(), 4 * (1 + 2 + 3));
    assert!(b.engine.stats().commits > 0);
}

#[tokio::test(start_paused = true)]
async fn orders_reach_instances_of_other_nodes() {
    let store = memory();
    let (a, b) = (node(&store, "a").await, node(&store, "b").await);
    balanced(&a, 2).await;
    for n in 0..12 {
        let id: InstanceId = format!("e{n}").parse().unwrap();
        a.engine.start(endless()).id(id.as_str()).await.unwrap();
        seconds(3).await;
        if n % 2 == 0 {
            b.engine.pause(&id, "a moment").await.unwrap();
            seconds(3).await;
            let status = a.engine.status(&id).await.unwrap().unwrap();
            assert!(matches!(status, InstanceStatus::Paused { .. }), "{status:?}");
            a.engine.resume(&id).await.unwrap();
            seconds(3).await;
        }
        b.engine.terminate(&id, "enough").await.unwrap();
        seconds(3).await;
        let status = b.engine.status(&id).await.unwrap().unwrap();
        assert!(matches!(status, InstanceStatus::Terminated { .. }), "{status:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_gives_its_shards_and_stays() {
    let store = memory();
    let (a, b) = (node(&store, "a").await, node(&store, "b").await);
    balanced(&a, 2).await;
    let ids = start(&b, 20, 3).await;
    let health = a.engine.health();
    let number = health
        .nodes()
        .await
        .unwrap()
        .iter()
        .find(|node| node.name == "b")
        .unwrap()
        .number;
    health.drain(number).await.unwrap();
    seconds(10).await;
    let now = shards(&a).await;
    assert_eq!(
        (now["a"], now["b"]),
        ((NodeState::Up, 64), (NodeState::Draining, 0))
    );
    // It still takes requests.
    finish(&b, &ids, 3).await;
}

#[tokio::test(start_paused = true)]
async fn recovery_is_as_the_node_says() {
    for (policy, wait) in [
        (NodeRecovery::TakeOver, Some(0)),
        (NodeRecovery::after(Duration::from_secs(60)), Some(60)),
        (NodeRecovery::Manual, None),
    ] {
        let store = memory();
        let a = node(&store, "a").await;
        let b = node_with(&store, Cluster::node("b").lease(LEASE).recovery(policy)).await;
        balanced(&a, 2).await;
        b.engine.abort().await;
        let died = Instant::now();
        if let Some(wait) = wait {
            balanced(&a, 1).await;
            let took = died.elapsed().as_secs();
            assert!((wait + 6..=wait + 11).contains(&took), "{policy:?}: {took}");
        } else {
            seconds(600).await;
            assert_eq!(shards(&a).await["b"], (NodeState::Up, 32));
            let health = a.engine.health();
            let number = health
                .nodes()
                .await
                .unwrap()
                .iter()
                .find(|node| node.name == "b")
                .unwrap()
                .number;
            health.handle_node_failure(number).await.unwrap();
            assert!(balanced(&a, 1).await < Duration::from_secs(2));
        }
    }
}

/// An idle node asks the store for little.
#[tokio::test(start_paused = true)]
async fn idle_nodes_cost_little() {
    let store = memory();
    let nodes = [
        node(&store, "a").await,
        node(&store, "b").await,
        node(&store, "c").await,
    ];
    balanced(&nodes[0], 3).await;
    start(&nodes[0], 50, 0).await;
    seconds(120).await;
    for node in &nodes {
        let before = node.link.requests.load(Ordering::SeqCst);
        seconds(100).await;
        let each_second = (node.link.requests.load(Ordering::SeqCst) - before) as f64 / 100.0;
        assert!(each_second <= 10.0, "{each_second} requests a second");
        println!("{each_second} requests a second");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_alone_and_a_cluster_replace_each_other() {
    let store = memory();
    let a = node(&store, "a").await;
    balanced(&a, 1).await;
    let ids = start(&a, 10, 3).await;
    let alone = WorkflowEngine::<App>::builder()
        .store(store.clone())
        .state(a.log.clone())
        .state(a.stopped.clone())
        .build()
        .await
        .unwrap();
    seconds(60).await;
    assert!(matches!(
        a.engine.start(steps(1)).id("x").await,
        Err(workflow_runtime::StartError::Fenced)
    ));
    let handle = alone.handle::<steps>(ids[0].clone());
    handle.signal(Note(1)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 4);
    alone.abort().await;
    let b = node(&store, "b").await;
    balanced(&b, 1).await;
    finish(&b, &ids[1..], 3).await;
}
