//! What a transaction does, given what it read: a pure function.
//!
//! Batches are judged in their order over the values of one snapshot. TiKV's optimistic transactions conflict where two
//! of them *write* the same key; a key that was only read may change before the commit without anybody noticing (write
//! skew). So each key that the outcome rests on and that nothing writes is written again as it is: a *guard*.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::layout::Stamped;
use crate::store::{Batch, Verdict, Write};

/// What a transaction found under its keys; keys without a value are missing.
pub(super) type Snapshot = HashMap<Bytes, Stamped>;

/// What a transaction answers and writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// One per batch, in their order.
    pub(super) verdicts: Vec<Verdict>,
    /// The last write to each key, guards included; none removes the key. Empty if there is nothing to commit.
    pub(super) writes: BTreeMap<Bytes, Option<Bytes>>,
}

/// Judges batches over a snapshot that holds the keys of all their conditions.
pub(super) fn judge<'a>(batches: impl IntoIterator<Item = &'a Batch>, snapshot: &Snapshot) -> Judged {
    let mut writes = BTreeMap::<Bytes, Option<Bytes>>::new();
    let mut guards = Vec::<&Bytes>::new();
    let mut verdicts = Vec::new();
    for batch in batches {
        let mut rests_on_own_writes = false;
        let failed = batch.conditions.iter().position(|condition| {
            let value = match writes.get(condition.key()) {
                Some(written) => {
                    rests_on_own_writes = true;
                    written.as_ref()
                }
                None => snapshot.get(condition.key()).map(|stamped| &stamped.value),
            };
            !condition.holds(value)
        });
        let consulted = match failed {
            Some(index) => &batch.conditions[..=index],
            None => &batch.conditions[..],
        };
        // A refusal that rests on the snapshot alone was true at the moment of the snapshot, whatever happens later. All
        // else must be true when the transaction commits.
        if failed.is_none() || rests_on_own_writes {
            guards.extend(consulted.iter().map(|condition| condition.key()));
        }
        match failed {
            Some(index) => verdicts.push(Verdict::Conflict(index)),
            None => {
                verdicts.push(Verdict::Applied);
                for write in &batch.writes {
                    match write {
                        Write::Put(key, value) => writes.insert(key.clone(), Some(value.clone())),
                        Write::Delete(key) => writes.insert(key.clone(), None),
                    };
                }
            }
        }
    }
    // A transaction that writes nothing is a read of one moment, and true at that moment.
    if !writes.is_empty() {
        for key in guards {
            if let Entry::Vacant(entry) = writes.entry(key.clone()) {
                entry.insert(snapshot.get(key).map(|stamped| stamped.value.clone()));
            }
        }
    }
    Judged { verdicts, writes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Condition;

    fn key(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn snapshot(pairs: &[(&str, &str)]) -> Snapshot {
        let stamped = |value| Stamped {
            value: key(value),
            writer: 1,
        };
        pairs
            .iter()
            .map(|(name, value)| (key(name), stamped(value)))
            .collect()
    }

    fn equals(name: &str, value: &str) -> Condition {
        Condition::Equals(key(name), key(value))
    }

    fn batch(conditions: &[Condition], puts: &[(&str, &str)]) -> Batch {
        let writes = puts.iter().map(|(name, value)| Write::Put(key(name), key(value)));
        Batch {
            conditions: conditions.to_vec(),
            writes: writes.collect(),
        }
    }

    #[track_caller]
    fn check(
        batches: &[Batch],
        stored: &[(&str, &str)],
        verdicts: &[Verdict],
        writes: &[(&str, Option<&str>)],
    ) {
        let expected = Judged {
            verdicts: verdicts.to_vec(),
            writes: writes
                .iter()
                .map(|(name, value)| (key(name), value.map(key)))
                .collect(),
        };
        assert_eq!(judge(batches, &snapshot(stored)), expected);
    }

    const APPLIED: Verdict = Verdict::Applied;
    const REFUSED: Verdict = Verdict::Conflict(0);

    #[test]
    fn keys_that_are_only_read_are_guarded() {
        let fenced = batch(&[equals("fence", "1")], &[("a", "x")]);
        check(
            std::slice::from_ref(&fenced),
            &[("fence", "1")],
            &[APPLIED],
            &[("a", Some("x")), ("fence", Some("1"))],
        );
        // One guard for many batches.
        let another = batch(&[equals("fence", "1")], &[("b", "y")]);
        check(
            &[fenced, another],
            &[("fence", "1")],
            &[APPLIED, APPLIED],
            &[("a", Some("x")), ("b", Some("y")), ("fence", Some("1"))],
        );
        // What must be absent is guarded by removing it.
        let absent = batch(&[Condition::Absent(key("no"))], &[("a", "x")]);
        check(&[absent], &[], &[APPLIED], &[("a", Some("x")), ("no", None)]);
    }

    #[test]
    fn keys_that_are_written_need_no_guard() {
        let step = batch(&[equals("a", "1")], &[("a", "2")]);
        check(
            std::slice::from_ref(&step),
            &[("a", "1")],
            &[APPLIED],
            &[("a", Some("2"))],
        );
        let next = batch(&[equals("a", "2")], &[("a", "3")]);
        check(
            &[step, next],
            &[("a", "1")],
            &[APPLIED, APPLIED],
            &[("a", Some("3"))],
        );
    }

    #[test]
    fn refusals_by_the_snapshot_write_nothing() {
        let refused = batch(&[equals("a", "1")], &[("a", "2")]);
        check(std::slice::from_ref(&refused), &[("a", "9")], &[REFUSED], &[]);
        let applied = batch(&[], &[("b", "1")]);
        check(
            &[refused, applied],
            &[("a", "9")],
            &[REFUSED, APPLIED],
            &[("b", Some("1"))],
        );
    }

    #[test]
    fn refusals_by_an_earlier_batch_guard_what_they_consulted() {
        let first = batch(&[], &[("a", "1")]);
        // It looks at `b` in the snapshot and at `a` as the first one wrote it; `c` it does not reach.
        let second = batch(
            &[equals("b", "1"), equals("a", "9"), equals("c", "1")],
            &[("d", "1")],
        );
        check(
            &[first, second],
            &[("b", "1")],
            &[APPLIED, Verdict::Conflict(1)],
            &[("a", Some("1")), ("b", Some("1"))],
        );
    }

    #[test]
    fn checks_alone_are_reads() {
        let checks = batch(&[equals("a", "1"), Condition::Absent(key("b"))], &[]);
        check(&[checks], &[("a", "1")], &[APPLIED], &[]);
    }
}
