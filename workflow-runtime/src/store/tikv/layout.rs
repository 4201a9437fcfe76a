//! How keys and values of the [`Store`](super::super::Store) stand in TiKV.
//!
//! A key is `w name 00 01 key`: a deployment's keys are neighbours and apart from every other deployment's. A value has
//! eight bytes behind it: the start timestamp of the transaction that wrote it, unique in the cluster, so that whoever
//! reads a key knows which transaction wrote it last.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::store::{Error, MAX_KEY_BYTES};

/// First byte of all keys. TiDB keeps its own under `m` and `t`, and keyspaces begin with `r` and `x`.
const SPACE: u8 = b'w';
/// The store's own records.
const OWN: u8 = 0;
/// The records of the store's user.
const USER: u8 = 1;

const STAMP_BYTES: usize = 8;

/// The longest name of a deployment, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// Where one deployment's records are.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// `w name 00`.
    prefix: Bytes,
}

/// A value, and the transaction that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamped {
    pub(super) value: Bytes,
    pub(super) writer: u64,
}

impl Layout {
    pub(super) fn new(deployment: &str) -> Self {
        let mut prefix = BytesMut::with_capacity(deployment.len() + 2);
        prefix.put_u8(SPACE);
        prefix.put_slice(deployment.as_bytes());
        prefix.put_u8(0);
        Layout {
            prefix: prefix.freeze(),
        }
    }

    /// Whether a name can stand in a key: it must not end early, and people type it.
    pub(super) fn is_name(deployment: &str) -> bool {
        (1..=MAX_NAME_BYTES).contains(&deployment.len())
            && deployment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    }

    /// What is added to each entry, in bytes.
    pub(super) fn entry_bytes(&self) -> usize {
        self.prefix.len() + 1 + STAMP_BYTES
    }

    fn with(&self, space: u8, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(self.prefix.len() + 1 + key.len());
        full.extend_from_slice(&self.prefix);
        full.push(space);
        full.extend_from_slice(key);
        full
    }

    /// The key of a record of the store itself.
    pub(super) fn own(&self, name: &str) -> Vec<u8> {
        self.with(OWN, name.as_bytes())
    }

    /// The key in TiKV of a user's key.
    pub(super) fn key(&self, key: &[u8]) -> Vec<u8> {
        self.with(USER, key)
    }

    /// The user's key of a key in TiKV.
    pub(super) fn user_key(&self, mut full: Vec<u8>) -> Result<Bytes, Error> {
        let start = self.prefix.len() + 1;
        if full.len() <= start || !full.starts_with(&self.prefix) {
            return Err(Error::Corrupt(format!(
                "a scan gave the key {full:?} of another deployment"
            )));
        }
        Ok(Bytes::from(full.split_off(start)))
    }

    /// The range in TiKV of a range of the user's keys. A bound that is longer than any key is cut behind the longest
    /// possible one, which selects the same keys and stays within TiKV's limits.
    pub(super) fn range(&self, range: &Range<Bytes>) -> Range<Vec<u8>> {
        self.key(&bound(&range.start))..self.key(&bound(&range.end))
    }
}

fn bound(key: &Bytes) -> Bytes {
    if key.len() <= MAX_KEY_BYTES {
        key.clone()
    } else {
        // No key lies between the two: a key has at most `MAX_KEY_BYTES`.
        key.slice(..MAX_KEY_BYTES + 1)
    }
}

/// The bytes of a value that the transaction of this start timestamp writes.
pub(super) fn stamp(value: &[u8], writer: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + STAMP_BYTES);
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(&writer.to_be_bytes());
    bytes
}

/// Takes a stored value apart.
pub(super) fn unstamp(bytes: Vec<u8>) -> Result<Stamped, Error> {
    let mut value = Bytes::from(bytes);
    let Some((_, stamp)) = value.split_last_chunk::<STAMP_BYTES>() else {
        return Err(Error::Corrupt(format!(
            "a value of {} bytes, which this store did not write",
            value.len()
        )));
    };
    let writer = u64::from_be_bytes(*stamp);
    value.truncate(value.len() - STAMP_BYTES);
    Ok(Stamped { value, writer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_are_apart_and_keys_keep_their_order() {
        let [a, ab] = ["a", "ab"].map(Layout::new);
        let end = [&b"wa\x00\x01"[..], &[0xff; MAX_KEY_BYTES]].concat();
        for key in [&b""[..], b"a", b"\x00", b"\xff\xff"] {
            assert!(a.key(key).starts_with(b"wa\x00\x01"), "{key:?}");
            assert!(!(b"wa\x00".to_vec()..=end.clone()).contains(&ab.key(key)));
            assert!(!(b"wa\x00\x01".to_vec()..=end.clone()).contains(&a.own("format")));
        }
        assert!(a.key(b"a") < a.key(b"a\x00") && a.key(b"a\x00") < a.key(b"b"));
        assert_eq!(a.user_key(a.key(b"xy")).unwrap(), b"xy"[..]);
        assert!(a.user_key(ab.key(b"xy")).is_err());
    }

    #[test]
    fn bounds_longer_than_any_key() {
        let layout = Layout::new("a");
        let (longest, longer) = (vec![b'k'; MAX_KEY_BYTES], vec![b'k'; MAX_KEY_BYTES + 900]);
        let range = layout.range(&(Bytes::from(longer.clone())..Bytes::from(longer)));
        assert!(range.start.len() < MAX_KEY_BYTES + 100);
        assert!(
            range.start > layout.key(&longest),
            "it stays behind the longest key that it begins with"
        );
    }

    #[test]
    fn stamps() {
        for value in [&b""[..], b"x", &[7; 100]] {
            let stamped = unstamp(stamp(value, 0x0102_0304_0506_0708)).unwrap();
            assert_eq!(
                (&stamped.value[..], stamped.writer),
                (value, 0x0102_0304_0506_0708)
            );
        }
        assert!(matches!(unstamp(vec![1; 7]), Err(Error::Corrupt(_))));
    }

    #[test]
    fn names() {
        let longest = "n".repeat(MAX_NAME_BYTES);
        for (name, valid) in [
            ("default", true),
            ("orders-2_eu.west", true),
            (&longest[..], true),
            (&format!("{longest}n")[..], false),
            ("", false),
            ("a b", false),
            ("a\0", false),
            ("ä", false),
        ] {
            assert_eq!(Layout::is_name(name), valid, "{name:?}");
        }
    }
}
