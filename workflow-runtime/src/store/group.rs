//! Judging a commit group: what each batch's conditions say, given the store and the earlier batches of the group.
//!
//! Every key is read from the store at most once per group, and a key that the group writes is written once, with its
//! last value: the group is one atomic write of [`Overlay::writes`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;

use super::{Batch, Condition, Error, MAX_KEY_BYTES, Verdict, Write};

/// Refuses a group that holds a key or a batch of a forbidden size.
pub(super) fn check(group: &[Batch], batch_bytes: usize) -> Result<(), Error> {
    for batch in group {
        let mut size = 0;
        for condition in &batch.conditions {
            let (key, value) = match condition {
                Condition::Absent(key) | Condition::Present(key) => (key, 0),
                Condition::Equals(key, value) => (key, value.len()),
            };
            check_key(key)?;
            size += key.len() + value;
        }
        for write in &batch.writes {
            let (key, value) = match write {
                Write::Put(key, value) => (key, value.len()),
                Write::Delete(key) => (key, 0),
            };
            check_key(key)?;
            size += key.len() + value;
        }
        if size > batch_bytes {
            return Err(Error::TooLarge {
                size,
                limit: batch_bytes,
            });
        }
    }
    Ok(())
}

fn check_key(key: &Bytes) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::KeySize {
            size: key.len(),
            limit: MAX_KEY_BYTES,
        });
    }
    Ok(())
}

impl Condition {
    /// The key that the condition speaks about.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Absent(key) | Self::Present(key) | Self::Equals(key, _) => key,
        }
    }

    /// Whether the condition holds for a key that has this value.
    pub fn holds(&self, value: Option<&Bytes>) -> bool {
        match self {
            Self::Absent(_) => value.is_none(),
            Self::Present(_) => value.is_some(),
            Self::Equals(_, expected) => value == Some(expected),
        }
    }
}

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
        batch: Batch,
        read: &mut impl FnMut(&Bytes) -> Result<Option<Bytes>, Error>,
    ) -> Result<Verdict, Error> {
        for (index, condition) in batch.conditions.iter().enumerate() {
            if !condition.holds(self.value(condition.key(), read)?) {
                return Ok(Verdict::Conflict(index));
            }
        }
        for write in batch.writes {
            match write {
                Write::Put(key, value) => self.write(key, Some(value)),
                Write::Delete(key) => self.write(key, None),
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
