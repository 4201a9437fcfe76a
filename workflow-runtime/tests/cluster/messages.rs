//! Messages from a node that does not run the instance.

use std::time::Duration;

use workflow_runtime::{InstanceId, UpdateError};

use crate::support::*;

fn id(n: u64) -> InstanceId {
    format!("t{n}").parse().unwrap()
}

/// Each update has its reply, whoever asks and whoever answers, also when the one who answered is gone.
#[tokio::test(start_paused = true)]
async fn updates_and_queries_between_nodes() {
    let store = memory();
    let (a, b) = (node(&store, "a").await, node(&store, "b").await);
    balanced(&a, 2).await;
    for n in 0..20 {
        a.engine.start(tally(4)).id(format!("t{n}")).await.unwrap();
    }
    let ask = async |node: &Node, n: u64, add: u64| {
        let handle = node.engine.handle::<tally>(id(n));
        let update = handle
            .update(Add(add))
            .request_id(format!("add {add}"))
            .into_future();
        tokio::time::timeout(LEASE, update).await.unwrap().unwrap()
    };
    for n in 0..20 {
        assert_eq!((ask(&a, n, 1).await, ask(&b, n, 10).await), (1, 11), "{n}");
        seconds(1).await;
        assert_eq!(
            b.engine.handle::<tally>(id(n)).query::<u64>("sum").await.unwrap(),
            11
        );
    }
    a.engine.abort().await;
    balanced(&b, 1).await;
    for n in 0..20 {
        // What the other node has answered is still the answer.
        assert_eq!(
            (ask(&b, n, 1).await, ask(&b, n, 10).await, ask(&b, n, 100).await),
            (1, 11, 111),
            "{n}"
        );
        let handle = b.engine.handle::<tally>(id(n));
        handle.signal(Note(1000)).await.unwrap();
        assert_eq!(handle.result().await.unwrap(), 1111);
    }
}

/// A node waits for the reply of another one, and hears that the instance ended without it.
#[tokio::test(start_paused = true)]
async fn an_end_on_another_node_is_heard() {
    let store = memory();
    let (a, b) = (node(&store, "a").await, node(&store, "b").await);
    balanced(&a, 2).await;
    for n in 0..10 {
        a.engine.start(napping(5)).id(format!("t{n}")).await.unwrap();
        let error = b.engine.handle::<tally>(id(n)).update(Add(1)).await.unwrap_err();
        assert!(matches!(error, UpdateError::NotSent(_)), "{error}");
    }
    for n in 10..20 {
        a.engine.start(tally(1)).id(format!("t{n}")).await.unwrap();
        b.engine.pause(&id(n), "wait").await.unwrap();
        seconds(1).await;
        let handle = b.engine.handle::<tally>(id(n));
        let asked = tokio::spawn(handle.update(Add(1)).into_future());
        seconds(1).await;
        a.engine.terminate(&id(n), "enough").await.unwrap();
        let error = tokio::time::timeout(LEASE, asked)
            .await
            .unwrap()
            .unwrap()
            .unwrap_err();
        assert!(matches!(error, UpdateError::Ended { .. }), "{error}");
    }
}

/// Signals that come before the start, from any node; those that nobody takes over end on every node.
#[tokio::test(start_paused = true)]
async fn early_signals_between_nodes() {
    let store = memory();
    let (a, b) = (node(&store, "a").await, node(&store, "b").await);
    balanced(&a, 2).await;
    for n in 0..20 {
        for (node, add) in [(&a, 1), (&b, 10)] {
            let signal = node.engine.handle::<tally>(id(n)).signal(Note(add));
            signal.keep_until_started("1h").await.unwrap();
        }
    }
    for n in 0..10 {
        let start = b.engine.start(tally(3)).id(format!("t{n}"));
        let handle = start.with_signal(Note(100)).await.unwrap();
        assert_eq!(handle.result().await.unwrap(), 111, "{n}");
    }
    assert_eq!(a.engine.early_signals(100).await.unwrap().len(), 10);
    tokio::time::sleep(Duration::from_secs(3700)).await;
    assert_eq!(a.engine.early_signals(100).await.unwrap(), []);
}
