//! A workload whose result tells whether a commit was lost, torn or applied twice.
//!
//! Each writer moves counters on: a batch says "the counter is n" and makes it n + 1, in two keys that lie apart. Who is
//! told `Applied` counts one; who is not told what became of it reads, as the store's contract says.

use bytes::Bytes;
use workflow_runtime::store::{Batch, Condition, Error, Store, TikvStore, Verdict, Write};

/// What became of a writer's commits.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) applied: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) unavailable: u64,
}

/// The two keys of a counter: with a region boundary at `m` they are in different regions.
fn keys(counter: &str) -> [Bytes; 2] {
    ["a", "z"].map(|side| Bytes::from(format!("{side} {counter}")))
}

/// Reads a counter, and checks that its two sides agree.
pub(crate) async fn read(store: &TikvStore, counter: &str) -> Result<u64, Error> {
    let found = store.get(&keys(counter)).await?;
    assert_eq!(found[0], found[1], "the counter {counter} is torn");
    let value = found[0]
        .as_ref()
        .map_or(0, |value| std::str::from_utf8(value).unwrap().parse().unwrap());
    Ok(value)
}

fn step(counter: &str, from: u64) -> Batch {
    let value = |number: u64| Bytes::from(number.to_string());
    let [left, right] = keys(counter);
    let condition = match from {
        0 => Condition::Absent(left.clone()),
        _ => Condition::Equals(left.clone(), value(from)),
    };
    Batch {
        conditions: vec![condition],
        writes: [left, right].map(|key| Write::Put(key, value(from + 1))).into(),
    }
}

/// Moves a counter on by one, until the store says for sure that it did. `alone` says that nobody else moves it: then
/// it is never refused.
pub(crate) async fn advance(store: &TikvStore, counter: &str, from: u64, alone: bool, tally: &mut Tally) {
    loop {
        match store.commit(&[step(counter, from)]).await {
            Ok(verdicts) => {
                assert_eq!(verdicts.len(), 1);
                if verdicts[0] == Verdict::Applied {
                    tally.applied += 1;
                } else {
                    let found = store.get(&keys(counter)).await;
                    assert!(
                        !alone,
                        "{counter}: nobody else moves it, but its step from {from} was refused; it is {found:?}"
                    );
                    tally.refused += 1;
                }
                return;
            }
            Err(Error::Unknown(_)) => {
                tally.unknown += 1;
                assert!(alone, "a test of several writers has a store that answers");
                // What is read now stays: it is applied or it never will be.
                let now = loop {
                    match read(store, counter).await {
                        Ok(now) => break now,
                        Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
                    }
                };
                if now == from + 1 {
                    tally.applied += 1;
                    return;
                }
                assert_eq!(now, from, "{counter} moved by itself");
            }
            Err(Error::Unavailable(_)) => {
                tally.unavailable += 1;
                // Nothing was applied.
                if let Ok(now) = read(store, counter).await {
                    assert!(
                        !alone || now == from,
                        "{counter} is {now}, the commit from {from} was not applied"
                    );
                }
            }
            Err(error) => panic!("{counter}: {error}"),
        }
    }
}

/// Moves a counter of its own from 0 to `steps`, and checks where it stands.
pub(crate) async fn alone(store: &TikvStore, counter: &str, steps: u64) -> Tally {
    let mut tally = Tally::default();
    for from in 0..steps {
        advance(store, counter, from, true, &mut tally).await;
    }
    assert_eq!(tally.applied, steps, "{counter}: {tally:?}");
    tally
}
