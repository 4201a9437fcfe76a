//! Signals that come before their instance, or that start it; crashes around both; messages at the last moment.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::store::{MemoryStore, Store};
use workflow_runtime::{InstanceId, SignalError, SignalWithStartError, StartError};

use super::messages::{everywhere, text};
use super::{memory, open};

#[signal]
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item(u32);

#[signal]
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done;

#[workflow]
async fn basket() -> Vec<u32> {
    let mut items = Vec::new();
    loop {
        select! {
            item = receive::<Item>() => items.push(item.0),
            _ = receive::<Done>() => return items,
        }
    }
}

/// Another workflow, which receives something of the same name.
#[workflow]
async fn other() -> u32 {
    receive::<Item>().timeout("1h").await.map_or(0, |item| item.0)
}

/// Ends at once, whatever was sent.
#[workflow]
async fn deaf(n: u32) -> u32 {
    if n > 100 {
        let Item(item) = receive::<Item>().await;
        return item;
    }
    n
}

#[workflow]
async fn parent() -> Vec<u32> {
    sleep("1m").await;
    basket().id("child").await
}

workflows! { App { basket, other, deaf, parent } }

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

/// All keys of the store but those of the deployment.
async fn left(memory: &MemoryStore) -> Vec<String> {
    let all = memory
        .scan(
            bytes::Bytes::from_static(b"w\x01")..bytes::Bytes::from_static(b"w\x02"),
            1000,
        )
        .await
        .unwrap();
    let lease = |key: &[u8]| key.ends_with(b"l");
    all.into_iter()
        .filter(|(key, _)| !lease(key))
        .map(|(key, _)| format!("{key:?}"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn early_signals_are_kept_taken_over_and_shown() {
    let store = memory();
    let engine = open::<App>(&store).await;
    let early = engine.handle::<basket>(id("one"));
    let error = early.signal(Item(1)).await.unwrap_err();
    assert!(matches!(error, SignalError::NotFound { .. }), "{error}");
    let error = early
        .signal(Item(1))
        .keep_until_started("soon")
        .await
        .unwrap_err();
    assert!(matches!(error, SignalError::Duration(_)), "{error}");
    for n in [1, 2, 2, 3] {
        let signal = early.signal(Item(n)).keep_until_started("1h");
        signal.request_id(format!("item {n}")).await.unwrap();
    }
    let kept = engine.early_signals(10).await.unwrap();
    assert_eq!((kept.len(), kept[0].id.as_str(), kept[0].count), (1, "one", 3));
    assert_eq!(kept[0].workflow, "basket");
    engine.shutdown().await;

    let engine = open::<App>(&store).await;
    let handle = engine.start(basket()).id("one").await.unwrap();
    // A repetition of what came before the start, and one that comes after it.
    for n in [3, 4, 4] {
        let signal = handle.signal(Item(n)).keep_until_started("1h");
        signal.request_id(format!("item {n}")).await.unwrap();
    }
    handle.signal(Done).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), [1, 2, 3, 4]);
    assert!(engine.early_signals(10).await.unwrap().is_empty());
    // A later run is another one: it gets nothing of this.
    let again = engine
        .start(basket())
        .id("one")
        .on_existing(ExistingId::RestartClosed)
        .await
        .unwrap();
    again.signal(Item(3)).request_id("item 3").await.unwrap();
    again.signal(Done).await.unwrap();
    assert_eq!(again.result().await.unwrap(), [3]);
}

#[tokio::test(start_paused = true)]
async fn early_signals_end() {
    let store = memory();
    let engine = open::<App>(&store).await;
    let before = left(&store).await;
    for name in ["expires", "discarded"] {
        let signal = engine
            .handle::<basket>(id(name))
            .signal(Item(1))
            .keep_until_started("1h");
        signal.request_id("1").await.unwrap();
    }
    assert!(engine.discard_early_signals(&id("discarded")).await.unwrap());
    assert!(!engine.discard_early_signals(&id("discarded")).await.unwrap());
    tokio::time::sleep(Duration::from_secs(1800)).await;
    let later = engine.handle::<basket>(id("expires"));
    later.signal(Item(2)).keep_until_started("1h").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3000)).await;
    assert_eq!(engine.early_signals(10).await.unwrap()[0].count, 2);
    // The time passes while nothing runs.
    engine.abort().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let engine = open::<App>(&store).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(engine.early_signals(10).await.unwrap().is_empty());
    assert_eq!(left(&store).await, before);

    let full = engine.handle::<basket>(id("full"));
    for n in 0..1000 {
        full.signal(Item(n)).keep_until_started("1h").await.unwrap();
    }
    let error = full.signal(Item(1)).keep_until_started("1h").await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("1000 signals are kept already for `full`"),
        "{error}"
    );
}

/// What was meant for another workflow does not get in the way; nor does what nobody receives.
#[tokio::test(start_paused = true)]
async fn early_signals_for_another_workflow() {
    let store = memory();
    let engine = open::<App>(&store).await;
    let early = engine.handle::<basket>(id("one"));
    early
        .signal(Item(1))
        .keep_until_started("1h")
        .request_id("a")
        .await
        .unwrap();
    let handle = engine.start(other()).id("one").await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 0);
    let early = engine.handle::<deaf>(id("two"));
    early.signal(Item(1)).keep_until_started("1h").await.unwrap();
    assert_eq!(
        engine
            .start(deaf(7))
            .id("two")
            .await
            .unwrap()
            .result()
            .await
            .unwrap(),
        7
    );
    let three = engine
        .start(deaf(8))
        .id("three")
        .with_signal(Item(1))
        .await
        .unwrap();
    assert_eq!(three.result().await.unwrap(), 8);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rest = left(&store).await;
    // Instance and outcome of each.
    assert_eq!(rest.len(), 6, "{rest:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_signal_with_a_start() {
    let engine = open::<App>(&memory()).await;
    let send = |n: u32, existing| {
        let start = engine.start(basket()).id("one").on_existing(existing);
        start
            .with_signal(Item(n))
            .request_id(format!("item {n}"))
            .into_future()
    };
    let all = (1..=5).map(|n| send(n, ExistingId::Reject));
    for handle in futures_util::future::join_all(all).await {
        assert_eq!(handle.unwrap().id().as_str(), "one");
    }
    let handle = send(3, ExistingId::Reject).await.unwrap();
    handle.signal(Done).await.unwrap();
    let mut items = handle.result().await.unwrap();
    items.sort_unstable();
    assert_eq!(items, [1, 2, 3, 4, 5]);
    // A repeated request is accepted after the end, too; a new one is not.
    send(3, ExistingId::RestartClosed).await.unwrap();
    let error = send(6, ExistingId::Reject).await.unwrap_err();
    assert!(
        matches!(error, SignalWithStartError::Signal(SignalError::Closed { .. })),
        "{error}"
    );
    let handle = send(6, ExistingId::RestartClosed).await.unwrap();
    handle.signal(Done).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), [6]);
    let error = engine
        .start(other())
        .id("one")
        .with_signal(Item(1))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            SignalWithStartError::Signal(SignalError::OtherWorkflow { .. })
        ),
        "{error}"
    );
    let error = engine
        .start(other())
        .id("")
        .with_signal(Item(1))
        .await
        .unwrap_err();
    assert!(
        matches!(error, SignalWithStartError::Start(StartError::InvalidId(_))),
        "{error}"
    );
    // Without an id there is nobody else.
    let handle = engine.start(other()).with_signal(Item(9)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 9);
}

#[tokio::test(start_paused = true)]
async fn early_signals_under_crashes() {
    let seen = everywhere::<App, _>(async |engine, _| {
        let early = engine.handle::<basket>(id("one"));
        for n in 1..=2 {
            let signal = early.signal(Item(n)).keep_until_started("1h");
            match signal.request_id(n.to_string()).await {
                Ok(()) | Err(SignalError::Closed { .. }) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let start = engine
            .start(basket())
            .id("one")
            .on_existing(ExistingId::ReturnExisting);
        let handle = start.await.map_err(text)?;
        match handle.signal(Done).request_id("done").await {
            Ok(()) | Err(SignalError::Closed { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        handle.result().await.map_err(text)
    })
    .await;
    assert_eq!(seen, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn signals_with_a_start_under_crashes() {
    let seen = everywhere::<App, _>(async |engine, _| {
        for n in 1..=2 {
            let start = engine.start(basket()).id("one").with_signal(Item(n));
            start.request_id(n.to_string()).await.map_err(text)?;
        }
        let handle = engine.handle::<basket>(id("one"));
        handle.signal(Done).request_id("done").await.map_err(text)?;
        handle.result().await.map_err(text)
    })
    .await;
    assert_eq!(seen, [1, 2]);
}

/// A message to a child that its parent has not started yet.
#[tokio::test(start_paused = true)]
async fn early_signals_for_a_child_under_crashes() {
    let seen = everywhere::<App, _>(async |engine, _| {
        let start = engine
            .start(parent())
            .id("parent")
            .on_existing(ExistingId::ReturnExisting);
        let handle = start.await.map_err(text)?;
        let child = engine.handle::<basket>(id("child"));
        match child
            .signal(Item(5))
            .keep_until_started("1h")
            .request_id("5")
            .await
        {
            Ok(()) | Err(SignalError::Closed { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
        match child.signal(Done).request_id("done").await {
            Ok(()) | Err(SignalError::Closed { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        let items = handle.result().await.map_err(text)?;
        tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
        Ok((items, engine.early_signals(10).await.map_err(text)?.len()))
    })
    .await;
    assert_eq!(seen, (vec![5], 0));
}

/// Starts and early signals at the same moments: each signal is received, whichever comes first.
#[tokio::test(start_paused = true)]
async fn a_start_and_an_early_signal_at_once() {
    for round in 0..200 {
        let engine = open::<App>(&memory()).await;
        let early = engine.handle::<deaf>(id("one"));
        let send = async {
            for _ in 0..round % 20 {
                tokio::task::yield_now().await;
            }
            early.signal(Item(round)).keep_until_started("1h").await.unwrap();
        };
        let start = async { engine.start(deaf(101)).id("one").await.unwrap() };
        let (handle, ()) = tokio::join!(start, send);
        let result = tokio::time::timeout(Duration::from_secs(60), handle.result()).await;
        assert_eq!(result.unwrap().unwrap(), round, "round {round}");
    }
}
