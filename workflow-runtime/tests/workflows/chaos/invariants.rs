//! What must be true of a store at each moment, whatever has crashed.

use std::collections::BTreeMap;

use bytes::Bytes;
use workflow_model::codec;
use workflow_runtime::store::{MemoryStore, Store};

/// The ends of instances that were seen, and what they must agree with later.
#[derive(Default)]
pub(super) struct Seen {
    ends: BTreeMap<String, Bytes>,
    looks: u64,
}

/// The records of one instance, by kind.
#[derive(Default)]
struct Records {
    kinds: Vec<u8>,
    outcome: Option<Bytes>,
}

/// The records of each instance.
async fn records(memory: &MemoryStore) -> BTreeMap<String, Records> {
    let all = memory
        .scan(Bytes::new()..Bytes::from_static(b"\xff"), usize::MAX)
        .await
        .unwrap();
    let mut instances: BTreeMap<String, Records> = BTreeMap::new();
    for (key, value) in all {
        let Some(rest) = key.strip_prefix(b"w\x01default\0") else {
            continue;
        };
        // The shard, the kind, and the id up to a zero byte; a timer's time stands before its id.
        let (kind, rest) = (rest[2], &rest[3..]);
        let id = match kind {
            b'i' | b'e' | b's' | b'c' | b'o' | b'b' | b'a' | b'g' | b'r' | b'm' | b'q' | b'k' | b'u'
            | b'p' => rest,
            b'd' => &rest[8..],
            _ => continue,
        };
        let id = id.split(|byte| *byte == 0).next().unwrap_or_default();
        let entry = instances
            .entry(String::from_utf8(id.to_vec()).unwrap())
            .or_default();
        entry.kinds.push(kind);
        if kind == b'e' {
            entry.outcome = Some(value);
        }
    }
    instances
}

fn is_closed(outcome: &Bytes) -> bool {
    let end = codec::to_json(outcome).unwrap()["end"].to_string();
    !end.contains("Blocked") && !end.contains("Paused")
}

impl Seen {
    /// How often the store was looked at.
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    /// Looks at the store between any two operations of the engine.
    pub(super) async fn look(&mut self, memory: &MemoryStore, seed: u64) {
        self.looks += 1;
        for (id, records) in records(memory).await {
            let has = |kind: u8| records.kinds.contains(&kind);
            let context = || {
                format!(
                    "seed {seed}, instance {id}: {:?}",
                    String::from_utf8_lossy(&records.kinds)
                )
            };
            assert!(has(b'i'), "records without an instance: {}", context());
            let closed = records.outcome.as_ref().is_some_and(is_closed);
            if closed {
                let end = records.outcome.clone().unwrap_or_default();
                let before = self.ends.entry(id.clone()).or_insert_with(|| end.clone());
                assert_eq!(*before, end, "it ended twice: {}", context());
                // What comes at its last moment is removed by whoever finds the ready record.
                if !has(b'r') {
                    for kind in *b"scobagmd" {
                        assert!(
                            !has(kind),
                            "{:?} of one that has ended: {}",
                            char::from(kind),
                            context()
                        );
                    }
                }
            } else {
                assert!(
                    !self.ends.contains_key(&id),
                    "it ended, and is open: {}",
                    context()
                );
                // It can go on: by itself, at a time, by a message, or by an operator.
                assert!(
                    has(b's') || has(b'r') || has(b'e'),
                    "nothing will ever wake it: {}",
                    context()
                );
            }
        }
    }

    /// All is over: each instance has ended, and left nothing but who it was, how it ended, whose parent it was, which
    /// requests it took and what it has published last.
    pub(super) async fn all_ended(&mut self, memory: &MemoryStore, seed: u64, instances: usize) {
        self.look(memory, seed).await;
        let records = records(memory).await;
        assert_eq!(records.len(), instances, "seed {seed}: {:?}", records.keys());
        for (id, records) in records {
            assert!(
                records.outcome.as_ref().is_some_and(is_closed),
                "seed {seed}: {id} is open"
            );
            let left: Vec<char> = records.kinds.iter().map(|kind| char::from(*kind)).collect();
            assert!(
                left.iter().all(|kind| "iekqup".contains(*kind)),
                "seed {seed}: {id} has left {left:?}"
            );
        }
    }
}
