//! The items of a journal that count: the last one of each key.
//!
//! Nobody can miss what is left out: snapshots do not outlive a process, and the tree itself keeps what it holds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::journal::{Entry, Item, split_item, write_entry};

/// The last item of each key, in the order of the entries that were added.
pub(super) struct Latest {
    /// By the hash of keyspace and key: the newest of the items with that hash, which are chained.
    places: HashMap<u64, usize, BuildHasherDefault<PlainHasher>>,
    kept: Vec<Kept>,
    kept_bytes: usize,
    items: usize,
    limit: usize,
    is_given_up: bool,
}

struct Kept {
    /// The entry's.
    number: u64,
    keyspace: u64,
    key_bytes: usize,
    /// The item as it is stored.
    bytes: Vec<u8>,
    next: Option<usize>,
}

impl Latest {
    /// Gives up when more than `limit` bytes count.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            places: HashMap::default(),
            kept: Vec::new(),
            kept_bytes: 0,
            items: 0,
            limit,
            is_given_up: false,
        }
    }

    /// Takes in the journal's next entry.
    pub(super) fn add(&mut self, entry: &Entry<'_>) {
        if self.is_given_up {
            return;
        }
        let mut rest = entry.items;
        while let Some(item) = split_item(&mut rest) {
            self.put(entry.number, &item);
        }
        if !rest.is_empty() || self.kept_bytes > self.limit {
            self.is_given_up = true;
            self.places = HashMap::default();
            self.kept = Vec::new();
        }
    }

    fn put(&mut self, number: u64, item: &Item<'_>) {
        self.items += 1;
        self.kept_bytes += item.bytes.len();
        let hash = xxh3_64_with_seed(item.key, item.keyspace);
        let first = self.places.get(&hash).copied();
        let mut place = first;
        while let Some(index) = place {
            let kept = &mut self.kept[index];
            if kept.is_of(item) {
                self.kept_bytes -= kept.bytes.len();
                kept.number = number;
                kept.bytes.clear();
                kept.bytes.extend_from_slice(item.bytes);
                return;
            }
            place = kept.next;
        }
        self.places.insert(hash, self.kept.len());
        self.kept.push(Kept {
            number,
            keyspace: item.keyspace,
            key_bytes: item.key.len(),
            bytes: item.bytes.to_vec(),
            next: first,
        });
    }

    /// More counts than the limit, or the journal holds something special.
    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// The length of the items that count; after giving up, at least the limit.
    pub(super) fn bytes(&self) -> usize {
        self.kept_bytes
    }

    /// How many items are left out.
    pub(super) fn overwritten(&self) -> usize {
        self.items - self.kept.len()
    }

    /// The journal with only the items that count, each in an entry with its number. Without those of entries up to the
    /// number `flushed`, which the tree's files hold. `None` after giving up.
    pub(super) fn encode(&self, flushed: Option<u64>) -> Option<Vec<u8>> {
        if self.is_given_up {
            return None;
        }
        let is_left = |kept: &&Kept| flushed.is_none_or(|flushed| kept.number > flushed);
        let mut kept: Vec<&Kept> = self.kept.iter().filter(is_left).collect();
        kept.sort_by_key(|kept| kept.number);
        let (mut bytes, mut items) = (Vec::with_capacity(self.kept_bytes), Vec::new());
        for entry in kept.chunk_by(|one, other| one.number == other.number) {
            items.clear();
            for kept in entry {
                items.extend_from_slice(&kept.bytes);
            }
            let count = u32::try_from(entry.len()).ok()?;
            write_entry(&mut bytes, entry[0].number, count, &items);
        }
        Some(bytes)
    }
}

impl Kept {
    fn is_of(&self, item: &Item<'_>) -> bool {
        let key = self.bytes.len().min(ITEM_KEY_OFFSET + self.key_bytes);
        self.keyspace == item.keyspace && self.bytes[ITEM_KEY_OFFSET..key] == *item.key
    }
}

/// Where an item's key begins.
const ITEM_KEY_OFFSET: usize = 21;

/// For keys that are hashes.
#[derive(Default)]
struct PlainHasher(u64);

impl Hasher for PlainHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::journal::first_entry;

    /// Items of one entry: (key, value), where no value stands for a deletion.
    type Pairs = (u64, &'static [(&'static str, Option<&'static str>)]);

    fn encode(entries: &[Pairs]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, pairs) in entries {
            let mut items = Vec::new();
            for (key, value) in *pairs {
                let value_length = u32::try_from(value.map_or(0, str::len)).unwrap().to_le_bytes();
                items.extend_from_slice(&[2, u8::from(value.is_none()), 0]);
                items.extend_from_slice(&1u64.to_le_bytes());
                items.extend_from_slice(&u16::try_from(key.len()).unwrap().to_le_bytes());
                items.extend_from_slice(&[value_length, value_length].concat());
                items.extend_from_slice(key.as_bytes());
                items.extend_from_slice(value.unwrap_or_default().as_bytes());
            }
            write_entry(&mut bytes, *number, u32::try_from(pairs.len()).unwrap(), &items);
        }
        bytes
    }

    const ENTRIES: &[Pairs] = &[
        (3, &[("a", Some("1")), ("b", Some("1")), ("once", Some("1"))]),
        (4, &[("a", Some("2"))]),
        (7, &[("a", None), ("b", Some("3"))]),
        (8, &[("a", Some("4")), ("gone", Some("4"))]),
        (9, &[("gone", None), ("b", Some("5"))]),
    ];

    fn check(limit: usize, flushed: Option<u64>, expected: Option<&[Pairs]>) {
        let journal = encode(ENTRIES);
        let (mut latest, mut rest) = (Latest::new(limit), &journal[..]);
        while let Some(entry) = first_entry(rest) {
            latest.add(&entry);
            rest = &rest[usize::try_from(entry.bytes).unwrap()..];
        }
        assert_eq!(latest.encode(flushed), expected.map(encode));
        assert_eq!(latest.is_given_up(), expected.is_none());
    }

    #[test]
    fn last_items_stay_in_their_entries() {
        let shrunk: &[Pairs] = &[
            (3, &[("once", Some("1"))]),
            (8, &[("a", Some("4"))]),
            (9, &[("b", Some("5")), ("gone", None)]),
        ];
        check(200, None, Some(shrunk));
        check(200, Some(2), Some(shrunk));
        // What the tree's files hold is left out.
        check(200, Some(3), Some(&shrunk[1..]));
        check(200, Some(9), Some(&[]));
        // Too much that counts.
        check(20, None, None);
    }
}
