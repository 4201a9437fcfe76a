//! Judging a commit group: what each batch's conditions say, given the store and the earlier batches of the group.
//!
//! Every key is read from the store at most once per group, and a key that the group writes is written once, with its
//! last value: the group is one atomic write of [`Overlay::writes`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;

use super::{Batch, Error, Verdict, Write};

/// What a group has read and what it is about to write.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    slots: Vec<Slot>,
    by_key: HashMap<Bytes, usize>,
    writes: usize,
}

#[derive(Debug)]
struct Slot {
    key: Bytes,
    value: Option<Bytes>,
    written: bool,
}

impl Overlay {
    pub(super) fn with_capacity(keys: usize) -> Self {
        Self {
            slots: Vec::with_capacity(keys),
            by_key: HashMap::with_capacity(keys),
            writes: 0,
        }
    }

    /// Judges one batch and, if its conditions hold, takes over its writes. `read` is asked for a key that the group
    /// has not seen yet.
    pub(super) fn judge(
        &mut self,
        batch: &Batch,
        read: &mut impl FnMut(&Bytes) -> Result<Option<Bytes>, Error>,
    ) -> Result<Verdict, Error> {
        for (index, condition) in batch.conditions.iter().enumerate() {
            if !condition.holds(self.value(condition.key(), read)?) {
                return Ok(Verdict::Conflict(index));
            }
        }
        for write in &batch.writes {
            match write {
                Write::Put(key, value) => self.write(key.clone(), Some(value.clone())),
                Write::Delete(key) => self.write(key.clone(), None),
            }
        }
        Ok(Verdict::Applied)
    }

    /// Whether nothing is to be written.
    pub(super) fn is_clean(&self) -> bool {
        self.writes == 0
    }

    /// The number of keys to be written.
    pub(super) fn len(&self) -> usize {
        self.writes
    }

    /// The keys to be written, each once, with the value that it gets (`None`: it is deleted).
    pub(super) fn writes(&self) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.slots
            .iter()
            .filter(|slot| slot.written)
            .map(|slot| (&slot.key, slot.value.as_ref()))
    }

    fn value(
        &mut self,
        key: &Bytes,
        read: &mut impl FnMut(&Bytes) -> Result<Option<Bytes>, Error>,
    ) -> Result<Option<&Bytes>, Error> {
        let index = match self.by_key.get(key) {
            Some(index) => *index,
            None => {
                let value = read(key)?;
                let index = self.slots.len();
                self.by_key.insert(key.clone(), index);
                self.slots.push(Slot {
                    key: key.clone(),
                    value,
                    written: false,
                });
                index
            }
        };
        Ok(self.slots[index].value.as_ref())
    }

    fn write(&mut self, key: Bytes, value: Option<Bytes>) {
        match self.by_key.entry(key) {
            Entry::Occupied(entry) => {
                let slot = &mut self.slots[*entry.get()];
                self.writes += usize::from(!slot.written);
                slot.value = value;
                slot.written = true;
            }
            Entry::Vacant(entry) => {
                self.slots.push(Slot {
                    key: entry.key().clone(),
                    value,
                    written: true,
                });
                entry.insert(self.slots.len() - 1);
                self.writes += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Condition;

    #[test]
    fn keys_are_read_once_and_written_once() {
        let [fence, record, other] = ["fence", "record", "other"].map(Bytes::from);
        let epoch = Bytes::from_static(b"1");
        let mut reads = Vec::new();
        let mut read = |key: &Bytes| {
            reads.push(key.clone());
            Ok((*key == "fence").then(|| epoch.clone()))
        };
        let mut overlay = Overlay::with_capacity(4);
        for number in 0..100 {
            let batch = Batch {
                conditions: vec![
                    Condition::Equals(fence.clone(), epoch.clone()),
                    if number == 0 {
                        Condition::Absent(record.clone())
                    } else {
                        Condition::Present(record.clone())
                    },
                ],
                writes: vec![
                    Write::Put(record.clone(), Bytes::from(vec![number])),
                    Write::Delete(other.clone()),
                ],
            };
            assert_eq!(overlay.judge(&batch, &mut read).unwrap(), Verdict::Applied);
        }
        let last = Bytes::from_static(&[99]);
        let writes: Vec<_> = overlay.writes().collect();
        assert_eq!(writes, [(&record, Some(&last)), (&other, None)]);
        assert_eq!((overlay.len(), overlay.is_clean()), (2, false));
        assert_eq!(reads, [fence, record]);
    }

    #[test]
    fn refused_batch_writes_nothing() {
        let key = Bytes::from_static(b"key");
        let mut overlay = Overlay::default();
        let batch = Batch {
            conditions: vec![Condition::Present(key.clone())],
            writes: vec![Write::Put(key, Bytes::new())],
        };
        assert_eq!(
            overlay.judge(&batch, &mut |_| Ok(None)).unwrap(),
            Verdict::Conflict(0)
        );
        assert!(overlay.is_clean());
    }
}
