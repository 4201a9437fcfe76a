//! What every store checks in a commit group before it looks at its data.

use bytes::Bytes;

use super::{Batch, Condition, Error, MAX_KEY_BYTES, Write};

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
