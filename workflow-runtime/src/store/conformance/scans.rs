//! Scans: bounds, limits, byte order, and many keys read in pages.

use bytes::Bytes;

use super::{commit, deletes, key, puts, scan};
use crate::store::{Batch, Store, Write};

pub(super) async fn bounds(store: &dyn Store) {
    commit(
        store,
        vec![puts(&[
            ("a", "1"),
            ("b", "2"),
            ("ba", "3"),
            ("c", "4"),
            ("gone", "5"),
        ])],
    )
    .await;
    commit(store, vec![deletes(&["gone"])]).await;
    for (start, end, limit, expected) in [
        ("", "zzz", usize::MAX, &["a", "b", "ba", "c"][..]),
        ("a", "c", usize::MAX, &["a", "b", "ba"]),
        ("b", "bb", usize::MAX, &["b", "ba"]),
        ("aa", "b", usize::MAX, &[]),
        ("a", "a", usize::MAX, &[]),
        ("c", "a", usize::MAX, &[]),
        ("", "", usize::MAX, &[]),
        ("a", "", usize::MAX, &[]),
        ("d", "zzz", usize::MAX, &[]),
        ("", "zzz", 2, &["a", "b"]),
        ("b", "zzz", 2, &["b", "ba"]),
        ("", "zzz", 4, &["a", "b", "ba", "c"]),
        ("", "zzz", 0, &[]),
    ] {
        let found: Vec<_> = scan(store, start, end, limit)
            .await
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let expected: Vec<_> = expected.iter().map(|name| key(name)).collect();
        assert_eq!(found, expected, "scan of {start:?}..{end:?}, at most {limit}");
    }
}

pub(super) async fn byte_order(store: &dyn Store) {
    // In ascending order.
    let names: Vec<Bytes> = [
        &[0x00][..],
        &[0x00, 0x00],
        &[0x00, 0x01],
        &[0x00, 0xff],
        &[0x01],
        &[0x7f],
        &[0x80],
        &[0x80, 0x00],
        &[0xfe, 0xff, 0xff],
        &[0xff],
        &[0xff, 0x00],
        &[0xff, 0xff],
        &[0xff, 0xff, 0xff],
    ]
    .map(Bytes::copy_from_slice)
    .into();
    // Each key holds itself; they are written from the last to the first.
    let writes = names
        .iter()
        .rev()
        .map(|name| Write::Put(name.clone(), name.clone()))
        .collect();
    commit(
        store,
        vec![Batch {
            conditions: vec![],
            writes,
        }],
    )
    .await;
    for start in 0..names.len() {
        for end in 0..names.len() {
            let found = store
                .scan(names[start].clone()..names[end].clone(), usize::MAX)
                .await
                .expect("scan");
            let expected = names.get(start..end).unwrap_or_default().iter();
            let expected: Vec<_> = expected.map(|name| (name.clone(), name.clone())).collect();
            assert_eq!(found, expected, "scan of {:?}..{:?}", names[start], names[end]);
        }
    }
}

pub(super) async fn pages(store: &dyn Store) {
    const KEYS: usize = 10_000;
    const PAGE: usize = 997;
    // Not in their order: 7,919 has no divisor in common with the number of keys.
    let numbers: Vec<_> = (0..KEYS).map(|index| index * 7_919 % KEYS).collect();
    for numbers in numbers.chunks(500) {
        let group = numbers
            .iter()
            .map(|number| puts(&[(&format!("key {number:05}"), &format!("{number}"))]));
        commit(store, group.collect()).await;
    }
    let (mut start, mut next) = (key("key "), 0);
    loop {
        let page = store.scan(start.clone()..key("key:"), PAGE).await.expect("scan");
        for (found, value) in &page {
            assert_eq!(
                (found, value),
                (&key(&format!("key {next:05}")), &key(&format!("{next}")))
            );
            next += 1;
        }
        let Some((last, _)) = page.last() else { break };
        // The key that follows immediately.
        start = [last, &[0][..]].concat().into();
    }
    assert_eq!(next, KEYS, "keys found in pages of {PAGE}");
}
