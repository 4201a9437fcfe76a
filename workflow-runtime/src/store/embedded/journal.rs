//! The tree's journal after a crash: cut off a torn end, and refuse damage that is not one.
//!
//! The tree itself cuts off an end that cannot be parsed, refuses to open when the last entry parses but its checksum
//! fails (which a power loss can cause), and silently drops all that follows unreadable bytes in the middle. So before
//! it opens, the active journal is read here. What follows the last whole entry is a torn write, never acknowledged,
//! unless a whole newer entry comes after it: a synced store has at most one unacknowledged group, so that is damage.
//!
//! Format (fjall V3): an entry is `1, count: u32, number: u64`, then `count` items, then `3, xxh3 of the items: u64,
//! "FJL", 3`. An item is `2, type: u8, compression: u8, keyspace: u64, key: u16, value: u32, stored value: u32` and the
//! bytes of key and stored value, or `4, keyspace: u64`. All numbers are little endian; the file's rest is zero.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::store::{Durability, Error};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";
/// An entry after damage is a newer one only if its number is that close to the last whole one's.
const NUMBER_DISTANCE: u64 = 1 << 20;

/// Cuts a torn end off the active journal in the tree's folder, if there is one, and with it the entries from the number
/// `cut_from` on: their write failed, so they must not come back, and what a failed sync left in the operating system's
/// memory must not pass for durable.
pub(super) fn mend(tree: &Path, durability: Durability, cut_from: Option<u64>) -> Result<(), Error> {
    let Some(path) = active(tree).map_err(|error| unavailable(tree, &error))? else {
        return Ok(());
    };
    let damage = inspect(&path, cut_from.unwrap_or(u64::MAX)).map_err(|error| unavailable(&path, &error))?;
    let Some(damage) = damage else {
        return Ok(());
    };
    if damage.has_newer_entry && durability == Durability::Synced {
        return Err(Error::Corrupt(format!(
            "`{}` is damaged at byte {}, before entries that are whole; restore a copy, or open the store once \
             with relaxed durability to drop everything from there on",
            path.display(),
            damage.offset,
        )));
    }
    let cut = || {
        let file = OpenOptions::new().write(true).open(&path)?;
        file.set_len(damage.offset)?;
        file.sync_all()
    };
    cut().map_err(|error| unavailable(&path, &error))
}

fn unavailable(path: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("`{}`: {error}", path.display()))
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

#[derive(Debug, PartialEq, Eq)]
struct Damage {
    /// Where the last whole entry ends.
    offset: u64,
    has_newer_entry: bool,
}

fn inspect(path: &Path, cut_from: u64) -> io::Result<Option<Damage>> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut offset, mut number) = (0, 0);
    let mut items = Vec::new();
    while let Some(entry) = read_entry(&mut reader, &mut items)? {
        if entry.number >= cut_from {
            return Ok(Some(Damage {
                offset,
                has_newer_entry: false,
            }));
        }
        offset += entry.bytes;
        number = entry.number;
    }
    let rest = read_trimmed(&mut reader.into_inner(), offset)?;
    if rest.is_empty() {
        return Ok(None);
    }
    let newer = number..number.saturating_add(NUMBER_DISTANCE);
    let mut has_newer_entry = false;
    for start in 1..rest.len() {
        if rest[start] == START
            && let Some(entry) = read_entry(&mut &rest[start..], &mut items)?
            && newer.contains(&entry.number)
        {
            has_newer_entry = true;
            break;
        }
    }
    Ok(Some(Damage {
        offset,
        has_newer_entry,
    }))
}

/// The bytes from `offset` on without the zeros at their end.
fn read_trimmed(file: &mut File, offset: u64) -> io::Result<Vec<u8>> {
    const CHUNK: usize = 1 << 16;
    static ZEROS: [u8; CHUNK] = [0; CHUNK];
    let mut rest = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut position = offset;
    while let Some(data) = seek_data(file, position)? {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        position = data + length as u64;
        // The rest of a journal is tens of megabytes of zeros: compared at once, searched only where there is more.
        if chunk[..length] != ZEROS[..length]
            && let Some(last) = chunk[..length].iter().rposition(|byte| *byte != 0)
        {
            let skipped = usize::try_from(data - offset).map_err(io::Error::other)?;
            rest.resize(skipped, 0);
            rest.extend_from_slice(&chunk[..=last]);
        }
    }
    Ok(rest)
}

/// Moves to the next place from `position` on that may hold something else than zeros, and returns it; `None` if there is
/// none. The zeros at the end of a journal were never written: reading them would take longer than all the rest.
#[cfg(target_os = "linux")]
fn seek_data(file: &File, position: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(position)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // A file system without holes.
        Err(rustix::io::Errno::INVAL) => (&*file).seek(SeekFrom::Start(position)).map(Some),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn seek_data(mut file: &File, position: u64) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(position)).map(Some)
}

/// A whole entry; its items are in the reader's scratch space.
pub(super) struct Entry {
    pub(super) bytes: u64,
    pub(super) number: u64,
}

/// One item of an entry, as it is stored.
pub(super) struct Item<'a> {
    pub(super) bytes: &'a [u8],
    /// Which key of which keyspace it writes.
    pub(super) target: ([u8; 8], &'a [u8]),
}

/// Takes the first item off the items of a whole entry; `None` at their end, or if it is not a plain write or deletion.
pub(super) fn split_item<'a>(items: &mut &'a [u8]) -> Option<Item<'a>> {
    let head: &[u8; 21] = items.first_chunk()?;
    let [ITEM, 0 | 1, _, keyspace @ .., k0, k1, _, _, _, _, v0, v1, v2, v3] = *head else {
        return None;
    };
    let key = usize::from(u16::from_le_bytes([k0, k1]));
    let value = usize::try_from(u32::from_le_bytes([v0, v1, v2, v3])).ok()?;
    let (bytes, rest) = items.split_at_checked(head.len() + key + value)?;
    *items = rest;
    let target = (keyspace, bytes.get(head.len()..head.len() + key)?);
    Some(Item { bytes, target })
}

/// The bytes of an entry with these items.
pub(super) fn write_entry(writer: &mut impl Write, number: u64, count: u32, items: &[u8]) -> io::Result<()> {
    writer.write_all(&[START])?;
    writer.write_all(&count.to_le_bytes())?;
    writer.write_all(&number.to_le_bytes())?;
    writer.write_all(items)?;
    writer.write_all(&[END])?;
    writer.write_all(&xxh3_64(items).to_le_bytes())?;
    writer.write_all(TRAILER)
}

/// Reads one entry; `None` if there is none or it is not whole. `items` is scratch space.
pub(super) fn read_entry(reader: &mut impl Read, items: &mut Vec<u8>) -> io::Result<Option<Entry>> {
    items.clear();
    match try_read_entry(reader, items) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        result => result,
    }
}

fn try_read_entry(reader: &mut impl Read, items: &mut Vec<u8>) -> io::Result<Option<Entry>> {
    let [START] = read_array(reader)? else {
        return Ok(None);
    };
    let count = u32::from_le_bytes(read_array(reader)?);
    let number = u64::from_le_bytes(read_array(reader)?);
    for _ in 0..count {
        let [tag] = read_array(reader)?;
        items.push(tag);
        let variable = match tag {
            ITEM => {
                let head: [u8; 20] = read_array(reader)?;
                items.extend_from_slice(&head);
                let [.., k0, k1, _, _, _, _, v0, v1, v2, v3] = head;
                u64::from(u16::from_le_bytes([k0, k1])) + u64::from(u32::from_le_bytes([v0, v1, v2, v3]))
            }
            CLEAR => 8,
            _ => return Ok(None),
        };
        // Reads what is there, so that a damaged length allocates nothing.
        let length = reader.by_ref().take(variable).read_to_end(items)?;
        if length as u64 != variable {
            return Ok(None);
        }
    }
    let [END] = read_array(reader)? else {
        return Ok(None);
    };
    let checksum = u64::from_le_bytes(read_array(reader)?);
    let trailer: [u8; 4] = read_array(reader)?;
    let is_whole = checksum == xxh3_64(items) && trailer == *TRAILER;
    // Tag, count and number; tag, checksum and trailer.
    let bytes = 13 + items.len() as u64 + 13;
    Ok(is_whole.then_some(Entry { bytes, number }))
}

fn read_array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One entry with one item, as the tree writes it.
    fn entry(number: u64, value: &[u8]) -> Vec<u8> {
        let mut item = vec![ITEM, 0, 0];
        item.extend_from_slice(&1u64.to_le_bytes());
        item.extend_from_slice(&3u16.to_le_bytes());
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        item.extend_from_slice(&length);
        item.extend_from_slice(&length);
        item.extend_from_slice(b"key");
        item.extend_from_slice(value);
        let mut entry = Vec::new();
        write_entry(&mut entry, number, 1, &item).unwrap();
        entry
    }

    fn check(parts: &[&[u8]], cut_from: u64, expected: Option<(usize, bool)>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), parts.concat()).unwrap();
        let found = inspect(file.path(), cut_from).unwrap();
        let expected = expected.map(|(offset, has_newer_entry)| Damage {
            offset: offset as u64,
            has_newer_entry,
        });
        assert_eq!(found, expected, "{parts:?}");
    }

    #[test]
    fn damage_is_found() {
        let (first, second, old) = (entry(7, b"first"), entry(8, b""), entry(6, b"old"));
        let far = entry(7 + NUMBER_DISTANCE, b"far");
        let zeros = vec![0; 200_000];
        let (one, two, any) = (first.len(), first.len() + second.len(), u64::MAX);
        check(&[], any, None);
        check(&[&zeros], any, None);
        check(&[&first], any, None);
        check(&[&first, &second, &zeros], any, None);
        check(&[&first, &second[..10]], any, Some((one, false)));
        check(
            &[&first, &second[..second.len() - 1], &zeros],
            any,
            Some((one, false)),
        );
        check(&[&first, b"garbage", &zeros], any, Some((one, false)));
        // Zeros, then something: what a disk may leave that writes later parts first.
        check(&[&first, &zeros, b"late"], any, Some((one, false)));
        check(&[&first, &zeros, &second, &zeros], any, Some((one, true)));
        check(&[b"garbage", &first], any, Some((0, true)));
        // Bytes that look like an entry, in a value for instance, count only if they could be the next one.
        check(&[&first, b"garbage", &old], any, Some((one, false)));
        check(&[&first, b"garbage", &far], any, Some((one, false)));
        check(
            &[&first, b"garbage", &old, b"garbage", &second],
            any,
            Some((one, true)),
        );
        // A length beyond the file's end.
        let mut long = second.clone();
        long[13 + 13 + 3] = 0xff;
        check(&[&first, &long], any, Some((one, false)));
        // Failed writes.
        check(&[&first, &second], 9, None);
        check(&[&first, &second], 8, Some((one, false)));
        check(&[&first, &second, &zeros], 7, Some((0, false)));
        check(&[&first, &second, &second[..5]], 9, Some((two, false)));
    }

    #[test]
    fn holes_count_as_zeros() {
        let (first, second) = (entry(7, b"first"), entry(8, b"second"));
        for (tail, expected) in [(&b""[..], None), (b"late", Some(false)), (&second, Some(true))] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&first).unwrap();
            file.seek(SeekFrom::Start(3 << 20)).unwrap();
            file.write_all(tail).unwrap();
            file.as_file().set_len(64 << 20).unwrap();
            let offset = first.len() as u64;
            let expected = expected.map(|has_newer_entry| Damage {
                offset,
                has_newer_entry,
            });
            assert_eq!(inspect(file.path(), u64::MAX).unwrap(), expected);
        }
    }

    #[test]
    fn failed_write_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (entry(7, b"first"), entry(8, b"second"));
        fs::write(folder.path().join("9.jnl"), &first).unwrap();
        fs::write(folder.path().join("10.jnl"), [&first[..], &second].concat()).unwrap();
        mend(folder.path(), Durability::Synced, None).unwrap();
        assert_eq!(
            fs::read(folder.path().join("10.jnl")).unwrap().len(),
            first.len() + second.len()
        );
        mend(folder.path(), Durability::Synced, Some(8)).unwrap();
        assert_eq!(fs::read(folder.path().join("10.jnl")).unwrap(), first);
        assert_eq!(fs::read(folder.path().join("9.jnl")).unwrap(), first);
    }
}
