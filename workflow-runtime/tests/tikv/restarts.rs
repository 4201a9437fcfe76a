//! The cluster changes under load: TiKV and PD restart, regions split.

use std::time::Duration;

use bytes::Bytes;
use workflow_runtime::store::{Batch, Condition, Error, Store, Verdict, Write};

use super::cluster::{Cluster, fresh_name, fresh_store};
use super::ledger;

/// Counters that are moved while something is done to the cluster.
async fn disturbed(what: &str, disturb: impl AsyncFn(&Cluster, &str)) {
    let Some(cluster) = Cluster::own(false) else {
        return;
    };
    let name = fresh_name(what);
    let store = cluster.store(&name).request_timeout(Duration::from_millis(500));
    let store = store.connect().await.unwrap();
    let tasks: Vec<_> = (0..6)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { ledger::alone(&store, &format!("{number}"), 100).await })
        })
        .collect();
    disturb(&cluster, &name).await;
    for task in tasks {
        assert_eq!(task.await.unwrap().applied, 100);
    }
    for number in 0..6 {
        assert_eq!(ledger::read(&store, &format!("{number}")).await.unwrap(), 100);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tikv_restarts() {
    disturbed("restart", async |cluster, _| {
        for down_ms in [0, 300, 1500] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            cluster.restart_store(down_ms);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pd_restarts() {
    disturbed("pd", async |cluster, _| {
        for down_ms in [0, 300, 1500] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            cluster.restart_pd(down_ms);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regions_split() {
    disturbed("splits", async |cluster, name| {
        for key in ["m", "a 3", "z 1", "a 1", "z 5", "a 2", "z", "a"] {
            tokio::time::sleep(Duration::from_millis(60)).await;
            cluster.split(name, key);
        }
    })
    .await;
}

/// The limits of a batch hold in each shape, and many large batches at once are split into transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_batches() {
    let store = fresh_store("large").await;
    let limit = store.profile().batch_bytes;
    let batch = |name: String, bytes: usize, parts: usize| Batch {
        conditions: vec![Condition::Absent(Bytes::from(format!("{name} 0")))],
        writes: (0..parts)
            .map(|part| {
                let key = Bytes::from(format!("{name} {part}"));
                let value = Bytes::from(vec![7; bytes / parts - key.len()]);
                Write::Put(key, value)
            })
            .collect(),
    };
    for parts in [1, 7, 1000] {
        // The condition's key counts too.
        let name = format!("{parts}");
        let fits = batch(name.clone(), limit - 100, parts);
        assert_eq!(
            store.commit(&[fits]).await.unwrap(),
            [Verdict::Applied],
            "{parts} parts"
        );
        let found = store
            .scan(
                Bytes::from(format!("{name} "))..Bytes::from(format!("{name}!")),
                2000,
            )
            .await;
        assert_eq!(found.unwrap().len(), parts);
        let error = store
            .commit(&[batch(format!("x{name}"), limit + 100 * parts, parts)])
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { limit: found, .. } if found == limit),
            "{error}"
        );
    }
    let group: Vec<_> = (0..30)
        .map(|number| batch(format!("group {number}"), 700_000, 10))
        .collect();
    assert_eq!(store.commit(&group).await.unwrap(), [Verdict::Applied; 30]);
}
