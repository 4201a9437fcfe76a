//! Transactions of several processes (stores of their own) at once: nobody acts on what is no longer true.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Barrier;
use workflow_runtime::store::{Batch, Condition, Store, TikvStore, Verdict, Write};

use super::cluster::{fresh_name, shared};

fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(name: &str, value: &str) -> Write {
    Write::Put(key(name), key(value))
}

async fn stores<const N: usize>(what: &str) -> [TikvStore; N] {
    let name = fresh_name(what);
    if let Some(cluster) = shared().1 {
        // Some keys in another region: transactions of one phase and of two meet.
        cluster.split(&name, "m");
    }
    let mut stores = Vec::new();
    for _ in 0..N {
        let store = TikvStore::builder(shared().0).deployment(&name);
        stores.push(store.connect().await.unwrap());
    }
    stores.try_into().unwrap()
}

/// Write skew: each of two batches rests on a key that the other one writes and that it does not write itself. Both at
/// once would be an outcome that no order explains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_skew() {
    let [first, second] = stores("skew").await;
    let mut both_refused = 0;
    for (round, (left, right)) in
        (0..150).map(|round| (round, [("a", "b"), ("a", "z"), ("y", "z")][round % 3]))
    {
        for condition in [
            |name: &str| Condition::Equals(key(name), key("0")),
            |name: &str| Condition::Absent(key(&format!("{name} absent"))),
        ] {
            let reset = ["a", "b", "y", "z"]
                .map(|name| [put(name, "0"), Write::Delete(key(&format!("{name} absent")))]);
            let reset = Batch {
                conditions: vec![],
                writes: reset.into_iter().flatten().collect(),
            };
            assert_eq!(first.commit(&[reset]).await.unwrap(), [Verdict::Applied]);
            let barrier = Arc::new(Barrier::new(2));
            let run = |store: &TikvStore, read: &str, write: &str| {
                let (store, barrier) = (store.clone(), barrier.clone());
                let batch = Batch {
                    conditions: vec![condition(read)],
                    writes: vec![put(write, "1"), put(&format!("{write} absent"), "1")],
                };
                tokio::spawn(async move {
                    barrier.wait().await;
                    store.commit(&[batch]).await.unwrap()[0]
                })
            };
            let runs = [run(&first, left, right), run(&second, right, left)];
            let mut applied = 0;
            for run in runs {
                applied += u32::from(run.await.unwrap() == Verdict::Applied);
            }
            assert!(applied < 2, "round {round}: both batches were applied");
            both_refused += u32::from(applied == 0);
        }
    }
    assert_eq!(both_refused, 0, "one of the two is always right");
}

/// A fence changes hands while its old owner commits: nothing of the old owner is applied afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_changes_hands() {
    let [old, new] = stores("fence").await;
    for round in 0..40 {
        let (mine, theirs) = (format!("{round} old"), format!("{round} new"));
        let first = Batch {
            conditions: vec![],
            writes: vec![put("fence", &mine), put("n last", "")],
        };
        old.commit(&[first]).await.unwrap();
        let writers: Vec<_> = (0..6)
            .map(|writer| {
                let (old, mine) = (old.clone(), mine.clone());
                tokio::spawn(async move {
                    for number in 0..u32::MAX {
                        let value = format!("{round} {writer} {number}");
                        let batch = Batch {
                            conditions: vec![Condition::Equals(key("fence"), key(&mine))],
                            writes: vec![put("n last", &value), put(&format!("w{writer}"), &value)],
                        };
                        if old.commit(&[batch]).await.unwrap() == [Verdict::Conflict(0)] {
                            return number;
                        }
                    }
                    unreachable!()
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let take = Batch {
            conditions: vec![Condition::Equals(key("fence"), key(&mine))],
            writes: vec![put("fence", &theirs)],
        };
        assert_eq!(new.commit(&[take]).await.unwrap(), [Verdict::Applied]);
        let seen = new.get(&[key("n last")]).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(
            new.get(&[key("n last")]).await.unwrap(),
            seen,
            "round {round}: the old owner wrote after the fence was taken"
        );
    }
}

/// Batches under one fence, of which one meets another process at a key that it writes all the time: the others do not
/// wait until it gets through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_loser_does_not_hold_up_the_others() {
    const BATCHES: usize = 32;
    let [first, second] = stores("loser").await;
    let fence = Batch {
        conditions: vec![],
        writes: vec![put("fence", "1")],
    };
    first.commit(&[fence]).await.unwrap();
    let hot = tokio::spawn(async move {
        for number in 0..u32::MAX {
            let batch = Batch {
                conditions: vec![],
                writes: vec![put("hot", &number.to_string())],
            };
            second.commit(&[batch]).await.unwrap();
        }
    });
    for round in 0..10 {
        let commits: Vec<_> = (0..BATCHES)
            .map(|number| {
                let name = format!("{round}/{number}");
                let mut batch = Batch {
                    conditions: vec![
                        Condition::Equals(key("fence"), key("1")),
                        Condition::Absent(key(&name)),
                    ],
                    writes: vec![put(&name, "x")],
                };
                if number == round {
                    batch.writes.push(put("hot", "mine"));
                }
                let first = first.clone();
                tokio::spawn(async move { first.commit(&[batch]).await })
            })
            .collect();
        for (number, commit) in commits.into_iter().enumerate() {
            if number == round {
                // It may get through or not.
                continue;
            }
            let verdicts = tokio::time::timeout(Duration::from_secs(10), commit).await;
            let verdicts = verdicts.expect("it waits for the loser").unwrap().unwrap();
            assert_eq!(verdicts, [Verdict::Applied], "round {round}, batch {number}");
        }
    }
    hot.abort();
}
