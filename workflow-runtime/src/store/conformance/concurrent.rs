//! Many tasks at once: no increment is lost, and a read sees one state.

use std::sync::Arc;

use bytes::Bytes;

use super::{commit, key, puts, under};
use crate::store::{Batch, Condition, Store, Verdict, Write};

/// Tasks count under `Equals` conditions and try again when another one was faster.
pub(super) async fn counters(store: Arc<dyn Store>) {
    const TASKS: u32 = 16;
    const INCREMENTS: u32 = 25;
    const COUNTERS: usize = 3;
    for counter in 0..COUNTERS {
        commit(&*store, vec![puts(&[(&format!("counter {counter}"), "0")])]).await;
    }
    let tasks = (0..TASKS).map(|task| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for increment in 0..INCREMENTS {
                let counter = key(&format!("counter {}", (task + increment) as usize % COUNTERS));
                while !increment_counter(&*store, &counter).await {}
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a counting task");
    }
    let mut total = 0;
    for counter in 0..COUNTERS {
        total += read_counter(&*store, &key(&format!("counter {counter}"))).await;
    }
    assert_eq!(total, TASKS * INCREMENTS, "increments by tasks at once");
}

async fn read_counter(store: &dyn Store, counter: &Bytes) -> u32 {
    let values = store.get(std::slice::from_ref(counter)).await.expect("get");
    let value = values[0].as_deref().expect("a counter");
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

async fn increment_counter(store: &dyn Store, counter: &Bytes) -> bool {
    let value = read_counter(store, counter).await;
    // Lets the others in between, in a runtime of one thread too.
    tokio::task::yield_now().await;
    let batch = Batch {
        conditions: vec![Condition::Equals(counter.clone(), key(&value.to_string()))],
        writes: vec![Write::Put(counter.clone(), key(&(value + 1).to_string()))],
    };
    commit(store, vec![batch]).await == [Verdict::Applied]
}

/// One task writes the same value to several keys, again and again; readers must never see two values.
pub(super) async fn snapshots(store: Arc<dyn Store>) {
    const ROUNDS: u32 = 200;
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let write = |value: &str| under(&[], &NAMES.map(|name| (name, value)));
    commit(&*store, vec![write("0")]).await;
    let reader = |is_scan: bool| {
        let store = Arc::clone(&store);
        async move {
            loop {
                let values: Vec<Bytes> = if is_scan {
                    let pairs = store.scan(key("a")..key("g"), usize::MAX).await.expect("scan");
                    pairs.into_iter().map(|(_, value)| value).collect()
                } else {
                    let values = store.get(&NAMES.map(key)).await.expect("get");
                    values.into_iter().flatten().collect()
                };
                assert_eq!(values.len(), NAMES.len(), "values in a read (scan: {is_scan})");
                assert!(
                    values.iter().all(|value| *value == values[0]),
                    "one read, two states: {values:?}"
                );
                if values[0] == key(&ROUNDS.to_string()) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    };
    let readers = [tokio::spawn(reader(false)), tokio::spawn(reader(true))];
    for round in 1..=ROUNDS {
        commit(&*store, vec![write(&round.to_string())]).await;
        tokio::task::yield_now().await;
    }
    for reader in readers {
        reader.await.expect("a reading task");
    }
}
