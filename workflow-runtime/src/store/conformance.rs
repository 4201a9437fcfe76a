//! What every store must do, as a suite that any implementation can run in its tests.
//!
//! [`check`] needs an empty store per check, [`check_reopened`] one that can be opened again. Both panic at the first
//! deviation and say what was expected.

mod concurrent;
mod model;
mod scans;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::{Batch, Condition, Error, MAX_KEY_BYTES, Store, Verdict, Write};

/// Runs every check. `make` must return an empty store each time.
///
/// Run it in a multi-threaded tokio runtime, so that the checks of concurrent commits mean something.
///
/// ```
/// use std::sync::Arc;
/// use workflow_runtime::store::{MemoryStore, Store, conformance};
///
/// # tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap().block_on(async {
/// conformance::check(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }).await;
/// # });
/// ```
///
/// # Panics
/// When the store deviates from what [`Store`] promises.
pub async fn check<M, F>(mut make: M)
where
    M: FnMut() -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    nothing(&*make().await).await;
    conditions(&*make().await).await;
    atomicity(&*make().await).await;
    conflict_index(&*make().await).await;
    order_in_group(&*make().await).await;
    overwrites_and_deletes(&*make().await).await;
    values(&*make().await).await;
    key_limits(&*make().await).await;
    batch_limit(&*make().await).await;
    clock(&*make().await).await;
    scans::bounds(&*make().await).await;
    scans::byte_order(&*make().await).await;
    scans::pages(&*make().await).await;
    concurrent::counters(make().await).await;
    concurrent::snapshots(make().await).await;
    for seed in 1..=3 {
        model::random_groups(&*make().await, seed).await;
    }
}

/// Checks that a store keeps what was committed when it is dropped and opened again. `open` must open the same store
/// each time; it is empty at first.
///
/// # Panics
/// When the store deviates from what [`Store`] promises.
pub async fn check_reopened<M, F>(mut open: M)
where
    M: FnMut() -> F,
    F: Future<Output = Arc<dyn Store>>,
{
    let mut latest_ms = 0;
    for round in 0..5 {
        let store = open().await;
        let found = scan(&*store, "", "zzz", usize::MAX).await;
        let expected: Vec<_> = (0..round)
            .map(|round| (key(&format!("key {round}")), key("value")))
            .collect();
        assert_eq!(found, expected, "after opening the store for the {round}. time");
        let now_ms = store.now_ms().await.expect("the clock");
        assert!(
            now_ms >= latest_ms,
            "the clock went back from {latest_ms} to {now_ms} when the store was opened"
        );
        latest_ms = now_ms;

        let fresh = format!("key {round}");
        let group = vec![
            puts(&[(&fresh, "value"), ("volatile", "value")]),
            deletes(&["volatile"]),
        ];
        assert_eq!(commit(&*store, group).await, [Verdict::Applied, Verdict::Applied]);
    }
}

async fn nothing(store: &dyn Store) {
    assert_eq!(commit(store, vec![]).await, [], "an empty group");
    assert_eq!(
        commit(store, vec![Batch::default()]).await,
        [Verdict::Applied],
        "a batch without writes"
    );
    assert_eq!(get(store, &[]).await, [], "no keys");
    assert_eq!(
        get(store, &["a", "b"]).await,
        [None, None],
        "keys of an empty store"
    );
    let longest = "k".repeat(MAX_KEY_BYTES + 1);
    assert_eq!(
        get(store, &["", &longest, &"k".repeat(100_000)]).await,
        [None, None, None],
        "keys that cannot be"
    );
    assert_eq!(
        scan(store, "", "zzz", usize::MAX).await,
        [],
        "scan of an empty store"
    );
}

async fn conditions(store: &dyn Store) {
    commit(store, vec![puts(&[("present", "value"), ("empty", "")])]).await;
    let equals = |name: &str, value: &str| Condition::Equals(key(name), key(value));
    for (condition, holds) in [
        (Condition::Absent(key("missing")), true),
        (Condition::Absent(key("present")), false),
        (Condition::Absent(key("empty")), false),
        (Condition::Present(key("missing")), false),
        (Condition::Present(key("present")), true),
        (Condition::Present(key("empty")), true),
        (equals("missing", ""), false),
        (equals("missing", "value"), false),
        (equals("present", "value"), true),
        (equals("present", "valu"), false),
        (equals("present", "value "), false),
        (equals("present", ""), false),
        (equals("empty", ""), true),
        (equals("empty", "value"), false),
    ] {
        let expected = if holds {
            Verdict::Applied
        } else {
            Verdict::Conflict(0)
        };
        let verdicts = commit(
            store,
            vec![under(std::slice::from_ref(&condition), &[("mark", "value")])],
        )
        .await;
        assert_eq!(verdicts, [expected], "{condition:?}");
        let mark = get(store, &["mark"]).await;
        assert_eq!(
            mark,
            [holds.then(|| key("value"))],
            "the write under {condition:?}"
        );
        commit(store, vec![deletes(&["mark"])]).await;
    }
}

async fn atomicity(store: &dyn Store) {
    let refused = under(
        &[Condition::Present(key("missing"))],
        &[("a", "1"), ("b", "2"), ("c", "3")],
    );
    let accepted = under(&[Condition::Absent(key("a"))], &[("a", "4"), ("b", "5")]);
    let verdicts = commit(store, vec![refused, accepted]).await;
    assert_eq!(
        verdicts,
        [Verdict::Conflict(0), Verdict::Applied],
        "batches are independent of each other"
    );
    let values = get(store, &["a", "b", "c"]).await;
    assert_eq!(
        values,
        [Some(key("4")), Some(key("5")), None],
        "a refused batch leaves nothing"
    );
    // Conditions speak of the state before the batch's own writes.
    let own = under(&[Condition::Absent(key("own"))], &[("own", "1")]);
    assert_eq!(commit(store, vec![own]).await, [Verdict::Applied]);
}

async fn conflict_index(store: &dyn Store) {
    commit(store, vec![puts(&[("a", "1")])]).await;
    let (good, bad) = (Condition::Present(key("a")), Condition::Absent(key("a")));
    for (conditions, expected) in [
        (vec![good.clone(), good.clone()], Verdict::Applied),
        (
            vec![bad.clone(), good.clone(), good.clone()],
            Verdict::Conflict(0),
        ),
        (
            vec![good.clone(), good.clone(), bad.clone()],
            Verdict::Conflict(2),
        ),
    ] {
        let verdicts = commit(store, vec![under(&conditions, &[("mark", "")])]).await;
        assert_eq!(verdicts, [expected], "{conditions:?}");
    }
}

async fn order_in_group(store: &dyn Store) {
    let equals = |value: &str| Condition::Equals(key("a"), key(value));
    let delete = Batch {
        conditions: vec![equals("2")],
        writes: vec![Write::Delete(key("a"))],
    };
    let group = vec![
        under(&[Condition::Absent(key("a"))], &[("a", "1")]),
        under(&[Condition::Absent(key("a"))], &[("a", "never")]),
        under(&[equals("1")], &[("a", "2")]),
        under(&[equals("1")], &[("a", "never")]),
        delete,
        under(&[Condition::Present(key("a"))], &[("b", "never")]),
        under(&[Condition::Absent(key("a"))], &[("c", "3")]),
    ];
    let (yes, no) = (Verdict::Applied, Verdict::Conflict(0));
    assert_eq!(
        commit(store, group).await,
        [yes, no, yes, no, yes, no, yes],
        "a batch sees the earlier ones' writes"
    );
    assert_eq!(get(store, &["a", "b", "c"]).await, [None, None, Some(key("3"))]);

    // A thousand batches under one fence, which the last but one takes away.
    commit(store, vec![puts(&[("fence", "1")])]).await;
    let fence = [Condition::Equals(key("fence"), key("1"))];
    let mut group: Vec<_> = (0..1000)
        .map(|number| under(&fence, &[(&format!("n{number:04}"), "x")]))
        .collect();
    group.insert(999, under(&fence, &[("fence", "2")]));
    let verdicts = commit(store, group).await;
    let expected = [vec![yes; 1000], vec![no]].concat();
    assert_eq!(verdicts, expected, "a fence that many batches of a group share");
    assert_eq!(scan(store, "n", "o", usize::MAX).await.len(), 999);
}

async fn overwrites_and_deletes(store: &dyn Store) {
    let check = async |writes: Vec<Write>, expected: Option<&str>| {
        let batch = Batch {
            conditions: vec![],
            writes: writes.clone(),
        };
        assert_eq!(commit(store, vec![batch]).await, [Verdict::Applied]);
        assert_eq!(get(store, &["a"]).await, [expected.map(key)], "after {writes:?}");
    };
    let put = |value: &str| Write::Put(key("a"), key(value));
    let delete = || Write::Delete(key("a"));
    check(vec![delete()], None).await;
    check(vec![put("1")], Some("1")).await;
    check(vec![put("2"), put("3")], Some("3")).await;
    check(vec![put("4"), delete()], None).await;
    check(vec![delete(), put("5")], Some("5")).await;
    check(vec![delete(), put("6"), delete()], None).await;
    check(vec![delete()], None).await;
    check(vec![put("")], Some("")).await;
    check(vec![put("7")], Some("7")).await;
}

async fn values(store: &dyn Store) {
    let big: Bytes = (0..1usize << 20)
        .map(|index| index.to_le_bytes()[index % 3])
        .collect();
    let all_bytes: Bytes = (0..=255).collect();
    let pairs = [
        (key("empty"), Bytes::new()),
        (key("big"), big),
        (key("bytes"), all_bytes),
    ];
    let writes = pairs
        .iter()
        .cloned()
        .map(|(key, value)| Write::Put(key, value))
        .collect();
    commit(
        store,
        vec![Batch {
            conditions: vec![],
            writes,
        }],
    )
    .await;
    for (key, value) in pairs {
        let found = store.get(std::slice::from_ref(&key)).await.expect("get");
        assert!(found == [Some(value.clone())], "the value of {key:?} has changed");
        let condition = Condition::Equals(key.clone(), value);
        assert_eq!(
            commit(store, vec![under(&[condition], &[])]).await,
            [Verdict::Applied],
            "{key:?}"
        );
    }
    let repeated = get(store, &["empty", "missing", "empty"]).await;
    assert_eq!(
        repeated,
        [Some(Bytes::new()), None, Some(Bytes::new())],
        "keys are read in their order"
    );
}

async fn key_limits(store: &dyn Store) {
    let longest = "k".repeat(MAX_KEY_BYTES);
    assert_eq!(
        commit(store, vec![puts(&[(&longest, "x"), ("k", "y")])]).await,
        [Verdict::Applied]
    );
    assert_eq!(get(store, &[&longest]).await, [Some(key("x"))]);
    let too_long = format!("{longest}k");
    for name in ["", &too_long] {
        for batch in [
            puts(&[(name, "x")]),
            deletes(&[name]),
            under(&[Condition::Absent(key(name))], &[]),
            under(&[Condition::Present(key(name))], &[]),
            under(&[Condition::Equals(key(name), key("x"))], &[]),
        ] {
            let error = store
                .commit(&[puts(&[("other", "x")]), batch])
                .await
                .expect_err("a key of a bad size");
            let expected = (name.len(), MAX_KEY_BYTES);
            assert!(
                matches!(error, Error::KeySize { size, limit } if (size, limit) == expected),
                "{error}"
            );
        }
    }
    assert_eq!(
        get(store, &["other"]).await,
        [None],
        "a refused group leaves nothing"
    );
    let found = scan(store, "", &too_long, usize::MAX).await;
    assert_eq!(found.len(), 2, "a scan to a bound that is longer than any key");
    assert_eq!(
        scan(store, &too_long, "l", usize::MAX).await,
        [],
        "a scan from such a bound"
    );
    assert_eq!(
        scan(store, &too_long, &format!("{too_long}k"), usize::MAX).await,
        [],
        "a scan between two"
    );
}

async fn batch_limit(store: &dyn Store) {
    let profile = store.profile();
    assert!(
        profile.in_flight > 0 && profile.group_bytes > 0 && profile.batch_bytes > 0,
        "{profile:?}"
    );
    let fits = |bytes: usize| Write::Put(key("big"), Bytes::from(vec![7; bytes - "big".len()]));
    let batch = |write: Write| Batch {
        conditions: vec![],
        writes: vec![write],
    };
    let too_large = vec![puts(&[("other", "x")]), batch(fits(profile.batch_bytes + 1))];
    let error = store.commit(&too_large).await.expect_err("a batch over the limit");
    assert!(
        matches!(error, Error::TooLarge { limit, .. } if limit == profile.batch_bytes),
        "{error}"
    );
    assert_eq!(
        get(store, &["other", "big"]).await,
        [None, None],
        "a refused group leaves nothing"
    );
    let largest = commit(store, vec![batch(fits(profile.batch_bytes))]).await;
    assert_eq!(largest, [Verdict::Applied], "a batch at the limit");
}

async fn clock(store: &dyn Store) {
    let mut latest_ms = 0;
    for _ in 0..1000 {
        let now_ms = store.now_ms().await.expect("the clock");
        assert!(
            now_ms >= latest_ms,
            "the clock went back from {latest_ms} to {now_ms}"
        );
        latest_ms = now_ms;
    }
}

fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn under(conditions: &[Condition], pairs: &[(&str, &str)]) -> Batch {
    let writes = pairs
        .iter()
        .map(|(name, value)| Write::Put(key(name), key(value)));
    Batch {
        conditions: conditions.to_vec(),
        writes: writes.collect(),
    }
}

fn puts(pairs: &[(&str, &str)]) -> Batch {
    under(&[], pairs)
}

fn deletes(names: &[&str]) -> Batch {
    Batch {
        conditions: vec![],
        writes: names.iter().map(|name| Write::Delete(key(name))).collect(),
    }
}

async fn commit(store: &dyn Store, group: Vec<Batch>) -> Vec<Verdict> {
    let batches = group.len();
    let verdicts = store.commit(&group).await.expect("commit");
    assert_eq!(verdicts.len(), batches, "one verdict per batch");
    verdicts
}

async fn get(store: &dyn Store, names: &[&str]) -> Vec<Option<Bytes>> {
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    store.get(&keys).await.expect("get")
}

async fn scan(store: &dyn Store, start: &str, end: &str, limit: usize) -> Vec<(Bytes, Bytes)> {
    store.scan(key(start)..key(end), limit).await.expect("scan")
}
