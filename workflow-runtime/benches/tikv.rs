//! Commits to a TiKV cluster: the store against a bare loop of transactions with the same client, bytes and batch size.
//!
//! `cargo bench -p workflow-runtime --features tikv --bench tikv -- 127.0.0.1:2379`, for example on `./cluster start`. Both
//! sides write the same number of keys per transaction; the bare loop reads nothing, checks nothing, and keeps no promise
//! about lost answers. So the ratio is what conditions, grouping and certainty cost.

#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first error")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tikv_client::{CheckLevel, TransactionClient, TransactionOptions};
use workflow_runtime::store::{Batch, Condition, Store, TikvStore, Verdict, Write};

const SECONDS: u64 = 4;
/// About what a step of a small workflow writes.
const VALUE_BYTES: usize = 200;

#[tokio::main]
async fn main() {
    let mut endpoints: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if endpoints.is_empty() {
        endpoints.push("127.0.0.1:2379".to_owned());
    }
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let store = TikvStore::builder(endpoints.clone())
        .deployment(format!("bench-{time:x}"))
        .connect()
        .await
        .unwrap();
    let client = TransactionClient::new(endpoints).await.unwrap();
    println!("steps in flight   store steps/s   bare steps/s   ratio");
    for in_flight in [1, 64, 1024] {
        let ours = steps_of_store(&store, in_flight).await;
        let bare = steps_of_client(&client, &format!("wbare-{time:x}"), in_flight).await;
        println!(
            "{in_flight:>15}   {ours:>13.0}   {bare:>12.0}   {:>4.0} %",
            100.0 * ours / bare
        );
    }
}

/// Writers that each take one step after the other, under one fence.
async fn steps_of_store(store: &TikvStore, in_flight: usize) -> f64 {
    let fence = Bytes::from_static(b"fence");
    let opening = Batch {
        conditions: vec![],
        writes: vec![Write::Put(fence.clone(), Bytes::from_static(b"1"))],
    };
    store.commit(&[opening]).await.unwrap();
    let (begin, end) = period();
    let writers: Vec<_> = (0..in_flight)
        .map(|writer| {
            let (store, fence) = (store.clone(), fence.clone());
            tokio::spawn(async move {
                let key = Bytes::from(format!("state {writer:05}"));
                let mut steps = 0_u64;
                while Instant::now() < end {
                    let batch = Batch {
                        conditions: vec![Condition::Equals(fence.clone(), Bytes::from_static(b"1"))],
                        writes: vec![Write::Put(key.clone(), value(steps))],
                    };
                    assert_eq!(store.commit(&[batch]).await.unwrap(), [Verdict::Applied]);
                    steps += 1;
                }
                steps
            })
        })
        .collect();
    let mut steps = 0;
    for writer in writers {
        steps += writer.await.unwrap();
    }
    rate(steps, begin)
}

/// One transaction after the other with as many steps as are in flight: the store's fence allows no more either.
async fn steps_of_client(client: &TransactionClient, prefix: &str, in_flight: usize) -> f64 {
    let (begin, end) = period();
    let mut steps = 0_u64;
    while Instant::now() < end {
        let options = TransactionOptions::new_optimistic()
            .try_one_pc()
            .drop_check(CheckLevel::None);
        let mut transaction = client.begin_with_options(options).await.unwrap();
        for writer in 0..in_flight {
            let key = format!("{prefix} state {writer:05}");
            transaction.put(key, value(steps).to_vec()).await.unwrap();
        }
        transaction.commit().await.unwrap();
        steps += in_flight as u64;
    }
    rate(steps, begin)
}

fn period() -> (Instant, Instant) {
    let begin = Instant::now();
    (begin, begin + Duration::from_secs(SECONDS))
}

fn value(step: u64) -> Bytes {
    let mut value = vec![7; VALUE_BYTES];
    value[..8].copy_from_slice(&step.to_be_bytes());
    Bytes::from(value)
}

fn rate(steps: u64, begin: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let steps = steps as f64;
    steps / begin.elapsed().as_secs_f64()
}
