//! Random groups against a model: a sorted map that does what the store should do.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{commit, key};
use crate::store::random::Random;
use crate::store::{Batch, Condition, Store, Verdict, Write};

const GROUPS: usize = 100;
const NAMES: usize = 40;

type Model = BTreeMap<Bytes, Bytes>;

pub(super) async fn random_groups(store: &dyn Store, seed: u64) {
    let mut random = Random(seed);
    let mut model = Model::new();
    for number in 0..GROUPS {
        let size = 1 + random.below(20);
        let mut expected = Vec::with_capacity(size);
        let mut group = Vec::with_capacity(size);
        for _ in 0..size {
            let batch = random_batch(&mut random, &model);
            expected.push(apply(&mut model, &batch));
            group.push(batch);
        }
        let found = commit(store, group.clone()).await;
        assert_eq!(found, expected, "seed {seed}, group {number}: {group:?}");
        compare(store, &model, &mut random).await;
    }
    let all = store
        .scan(Bytes::new()..key("~"), usize::MAX)
        .await
        .expect("scan");
    assert_eq!(
        all,
        model.into_iter().collect::<Vec<_>>(),
        "seed {seed}, at the end"
    );
}

async fn compare(store: &dyn Store, model: &Model, random: &mut Random) {
    let keys: Vec<_> = (0..5).map(|_| random_key(random)).collect();
    let expected: Vec<_> = keys.iter().map(|key| model.get(key).cloned()).collect();
    assert_eq!(store.get(&keys).await.expect("get"), expected, "{keys:?}");

    let (start, end, limit) = (random_key(random), random_key(random), random.below(15));
    let found = store.scan(start.clone()..end.clone(), limit).await.expect("scan");
    let expected: Vec<_> = if start < end {
        let pairs = model.range(start.clone()..end.clone()).take(limit);
        pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
    } else {
        Vec::new()
    };
    assert_eq!(found, expected, "scan of {start:?}..{end:?}, at most {limit}");
}

fn random_key(random: &mut Random) -> Bytes {
    // Keys of different lengths, of which some begin others.
    let number = random.below(NAMES);
    if number.is_multiple_of(3) {
        key(&format!("k{number}"))
    } else {
        key(&format!("k{}/{number}", number % 7))
    }
}

fn random_value(random: &mut Random) -> Bytes {
    Bytes::from(vec![b'v'; random.below(4)])
}

fn random_batch(random: &mut Random, model: &Model) -> Batch {
    let conditions = (0..random.below(3)).map(|_| {
        let key = random_key(random);
        match (random.below(4), model.get(&key)) {
            (0, _) => Condition::Absent(key),
            (1, _) => Condition::Present(key),
            (2, Some(value)) => Condition::Equals(key, value.clone()),
            _ => Condition::Equals(key, random_value(random)),
        }
    });
    let conditions = conditions.collect();
    let writes = (0..random.below(5)).map(|_| {
        let key = random_key(random);
        if random.below(3) == 0 {
            Write::Delete(key)
        } else {
            Write::Put(key, random_value(random))
        }
    });
    Batch {
        conditions,
        writes: writes.collect(),
    }
}

fn apply(model: &mut Model, batch: &Batch) -> Verdict {
    let failed = batch.conditions.iter().position(|condition| match condition {
        Condition::Absent(key) => model.contains_key(key),
        Condition::Present(key) => !model.contains_key(key),
        Condition::Equals(key, value) => model.get(key) != Some(value),
    });
    if let Some(index) = failed {
        return Verdict::Conflict(index);
    }
    for write in &batch.writes {
        match write {
            Write::Put(key, value) => model.insert(key.clone(), value.clone()),
            Write::Delete(key) => model.remove(key),
        };
    }
    Verdict::Applied
}
