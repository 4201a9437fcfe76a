//! The tree's journal file: its format, and a reader that takes it in large steps.
//!
//! Format (fjall V3): an entry is `1, count: u32, number: u64`, then `count` items, then `3, xxh3 of the items: u64,
//! "FJL", 3`. An item is `2, type: u8, compression: u8, keyspace: u64, key: u16, value: u32, stored value: u32` and the
//! bytes of key and stored value, or `4, keyspace: u64`. All numbers are little endian; the file's rest is zero.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";
/// Tag, count and number.
const HEAD_BYTES: usize = 13;
/// Tag, checksum and trailer.
const TAIL_BYTES: usize = 13;
const ITEM_HEAD_BYTES: usize = 21;
const CLEAR_BYTES: usize = 9;
/// What is read at once. Beyond the cost of a system call more wins nothing, and less stays in the processor's cache.
const CHUNK_BYTES: usize = 256 << 10;

/// The length of an entry with one item per pair of these lengths (key, value).
pub(super) fn entry_bytes(pairs: impl Iterator<Item = (usize, usize)>) -> u64 {
    let items = pairs.map(|(key, value)| ITEM_HEAD_BYTES + key + value);
    (HEAD_BYTES + items.sum::<usize>() + TAIL_BYTES) as u64
}

/// The journal that the tree would write to: the one with the highest number.
pub(super) fn active(tree: &Path) -> io::Result<Option<PathBuf>> {
    let entries = match fs::read_dir(tree) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut newest = None;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name
            .and_then(|name| name.strip_suffix(".jnl"))
            .and_then(|stem| stem.parse::<u64>().ok());
        newest = newest.max(number.map(|number| (number, path)));
    }
    Ok(newest.map(|(_, path)| path))
}

/// A whole entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) bytes: u64,
    pub(super) number: u64,
    /// See [`split_item`].
    pub(super) items: &'a [u8],
}

/// One item of an entry, as it is stored.
pub(super) struct Item<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) keyspace: u64,
    pub(super) key: &'a [u8],
}

/// Takes the first item off the items of a whole entry; `None` at their end, or if it is not a plain write or deletion.
pub(super) fn split_item<'a>(items: &mut &'a [u8]) -> Option<Item<'a>> {
    let head: &[u8; ITEM_HEAD_BYTES] = items.first_chunk()?;
    let [ITEM, 0 | 1, _, k0, k1, k2, k3, k4, k5, k6, k7, ..] = *head else {
        return None;
    };
    let (key, value) = lengths(head);
    let (bytes, rest) = items.split_at_checked(ITEM_HEAD_BYTES + key + value)?;
    *items = rest;
    Some(Item {
        bytes,
        keyspace: u64::from_le_bytes([k0, k1, k2, k3, k4, k5, k6, k7]),
        key: bytes.get(ITEM_HEAD_BYTES..ITEM_HEAD_BYTES + key)?,
    })
}

/// Appends an entry with these items.
pub(super) fn write_entry(bytes: &mut Vec<u8>, number: u64, count: u32, items: &[u8]) {
    bytes.push(START);
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(items);
    bytes.push(END);
    bytes.extend_from_slice(&xxh3_64(items).to_le_bytes());
    bytes.extend_from_slice(TRAILER);
}

/// Reads the whole entries from a journal's beginning on.
///
/// It may be read while the tree appends to it: what is not whole yet is whole after [`Reader::restart`].
pub(super) struct Reader {
    file: File,
    buffer: Vec<u8>,
    /// The part of the buffer that holds bytes which were read, but not taken yet.
    start: usize,
    end: usize,
    offset: u64,
}

impl Reader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            buffer: vec![0; CHUNK_BYTES],
            start: 0,
            end: 0,
            offset: 0,
        })
    }

    /// Where the last entry that was returned ends.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Forgets what was read behind the last entry, so that it is read again.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        (self.start, self.end) = (0, 0);
        self.file.seek(SeekFrom::Start(self.offset)).map(drop)
    }

    /// The next entry; `None` if there is none or it is not whole.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        let length = loop {
            match measure(&self.buffer[self.start..self.end]) {
                Shape::Long(length) => break length,
                Shape::Partial if self.fill()? => {}
                Shape::Partial | Shape::Broken => return Ok(None),
            }
        };
        let Some(entry) = check(&self.buffer[self.start..self.start + length]) else {
            return Ok(None);
        };
        self.start += length;
        self.offset += entry.bytes;
        Ok(Some(entry))
    }

    /// Reads more; `false` at the file's end. The buffer grows with what is there, not with what a length says.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        let length = self.file.read(&mut self.buffer[self.end..])?;
        self.end += length;
        Ok(length > 0)
    }
}

/// The whole entry at the start of these bytes.
pub(super) fn first_entry(bytes: &[u8]) -> Option<Entry<'_>> {
    match measure(bytes) {
        Shape::Long(length) => check(&bytes[..length]),
        Shape::Partial | Shape::Broken => None,
    }
}

enum Shape {
    /// An entry of that length, if its checksum holds.
    Long(usize),
    /// It may go on behind the last byte.
    Partial,
    Broken,
}

fn measure(bytes: &[u8]) -> Shape {
    let [START, c0, c1, c2, c3, ..] = *bytes else {
        return if bytes.len() < 5 && bytes.first().is_none_or(|tag| *tag == START) {
            Shape::Partial
        } else {
            Shape::Broken
        };
    };
    let mut end = HEAD_BYTES;
    for _ in 0..u32::from_le_bytes([c0, c1, c2, c3]) {
        match bytes.get(end) {
            None => return Shape::Partial,
            Some(&ITEM) => {
                let Some(head) = bytes.get(end..).and_then(<[u8]>::first_chunk::<ITEM_HEAD_BYTES>) else {
                    return Shape::Partial;
                };
                let (key, value) = lengths(head);
                end += ITEM_HEAD_BYTES + key + value;
            }
            Some(&CLEAR) => end += CLEAR_BYTES,
            Some(_) => return Shape::Broken,
        }
    }
    if bytes.get(end).is_some_and(|tag| *tag != END) {
        return Shape::Broken;
    }
    if bytes.len() < end + TAIL_BYTES {
        return Shape::Partial;
    }
    Shape::Long(end + TAIL_BYTES)
}

/// Looks at the checksum of an entry with this length.
fn check(bytes: &[u8]) -> Option<Entry<'_>> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let (items, tail) = rest.split_last_chunk::<TAIL_BYTES>()?;
    let [_, _, _, _, _, number @ ..] = *head;
    let [END, c0, c1, c2, c3, c4, c5, c6, c7, trailer @ ..] = *tail else {
        return None;
    };
    let checksum = u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
    (trailer == *TRAILER && checksum == xxh3_64(items)).then_some(Entry {
        bytes: bytes.len() as u64,
        number: u64::from_le_bytes(number),
        items,
    })
}

/// The lengths of an item's key and stored value.
fn lengths(head: &[u8; ITEM_HEAD_BYTES]) -> (usize, usize) {
    let [.., k0, k1, _, _, _, _, v0, v1, v2, v3] = *head;
    let value = u32::from_le_bytes([v0, v1, v2, v3]);
    // A length that no memory holds is longer than any file too.
    (
        usize::from(u16::from_le_bytes([k0, k1])),
        usize::try_from(value).unwrap_or(usize::MAX >> 2),
    )
}
