//! The stored form of several operations at once.

use bytes::Bytes;

use crate::halt::Halt;
use crate::operation::{BRANCHES, Operation, expect, timer_due, write_head};

pub(super) const JOIN: &str = "join";
pub(super) const TRY_JOIN: &str = "try_join";
pub(super) const SELECT: &str = "select";

/// Writes the operations of a join or select.
pub(super) struct BranchWriter<'a> {
    now_ms: u64,
    pub(super) out: &'a mut Vec<u8>,
}

impl<'a> BranchWriter<'a> {
    pub(super) fn new(name: &str, now_ms: u64, out: &'a mut Vec<u8>) -> Self {
        write_head(out, BRANCHES, name);
        BranchWriter { now_ms, out }
    }

    pub(super) fn branch<O: Operation>(&mut self, operation: &mut O) -> Result<(), String> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        operation.encode(self.now_ms, self.out)?;
        let length =
            u32::try_from(self.out.len() - start - 4).map_err(|_| "a branch is larger than 4 GiB")?;
        self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// The encodings of the branches.
pub(super) fn branches(name: &str, encoded: &Bytes) -> Result<Vec<Bytes>, String> {
    let rest = expect(encoded, BRANCHES, name)?;
    let mut rest = encoded.slice_ref(rest);
    let mut branches = Vec::new();
    while !rest.is_empty() {
        let length = rest.first_chunk::<4>().map(|length| u32::from_be_bytes(*length));
        match length.and_then(|length| usize::try_from(length).ok()) {
            Some(length) if length <= rest.len() - 4 => {
                branches.push(rest.slice(4..4 + length));
                rest = rest.split_off(4 + length);
            }
            _ => return Err(format!("the stored {name} is cut off")),
        }
    }
    Ok(branches)
}

/// The encodings of the branches, of which the code has `count`.
pub(super) fn parts(name: &str, encoded: &Bytes, count: usize) -> Result<Vec<Bytes>, Halt> {
    let parts = branches(name, encoded).map_err(|error| Halt::undecodable("the operation", error))?;
    if parts.len() == count {
        Ok(parts)
    } else {
        let error = format!(
            "the stored {name} has {} branches, the code has {count}",
            parts.len()
        );
        Err(Halt::undecodable("the operation", error))
    }
}

/// The encodings of the branches of a stored join or select, and how many of them run at a time; nothing when it is
/// another operation.
pub(crate) fn branches_of(encoded: &Bytes) -> (Vec<Bytes>, Option<u64>) {
    let mut parts = [JOIN, TRY_JOIN, SELECT]
        .iter()
        .find_map(|name| branches(name, encoded).ok())
        .unwrap_or_default();
    // No operation begins with a byte of a number that a limit can be.
    let limit = parts.first().and_then(|part| <[u8; 8]>::try_from(&part[..]).ok());
    let limit = limit
        .filter(|limit| matches!(limit[0], 0 | 0xff))
        .map(u64::from_be_bytes);
    if limit.is_some() {
        parts.remove(0);
    }
    (parts, limit)
}

/// The times of all timers in a stored operation.
pub(crate) fn timers_of(encoded: &Bytes) -> Vec<u64> {
    let (inner, _) = branches_of(encoded);
    timer_due(encoded)
        .into_iter()
        .chain(inner.iter().flat_map(timers_of))
        .collect()
}
