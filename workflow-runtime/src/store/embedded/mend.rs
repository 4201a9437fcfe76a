//! One pass over the tree's active journal before the tree opens it: cut off a torn end, refuse damage that is not one,
//! and leave out what the journal itself overwrites.
//!
//! *A torn end.* The tree itself cuts off an end that cannot be parsed, refuses to open when the last entry parses but
//! its checksum fails (which a power loss can cause), and silently drops all that follows unreadable bytes in the middle.
//! So what follows the last whole entry is judged here. It is a torn write, never acknowledged, unless a whole newer
//! entry comes after it: a synced store has at most one unacknowledged group, so that is damage.
//!
//! *Overwritten items.* The tree replays each item, at 1.6 microseconds, also those that a later one replaces; reading
//! one here takes 0.1 microseconds. So the journal is replaced by its [`Latest`] items where that leaves out
//! [`REPLACED_ITEMS`] of them; fewer are replayed faster than a file is written and synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::journal::{self, Reader, first_entry};
use super::latest::Latest;
use super::shrink;
use crate::store::{Durability, Error};

/// An entry after damage is a newer one only if its number is that close to the last whole one's.
const NUMBER_DISTANCE: u64 = 1 << 20;
/// The journal is replaced at the opening if that many of its items are overwritten by others.
const REPLACED_ITEMS: usize = 1_000;
/// At the most that many bytes of items are held in memory, and written into the new journal.
const LATEST_BYTES: usize = 4 << 20;

/// The active journal as the tree will find it.
#[derive(Debug)]
pub(super) struct Mended {
    pub(super) path: PathBuf,
    /// The length of its entries.
    pub(super) bytes: u64,
    /// The length of the items that count.
    pub(super) latest_bytes: u64,
}

/// Mends the active journal in the tree's folder, if there is one. The entries from the number `cut_from` on are cut off:
/// their write failed, so they must not come back, and what a failed sync left in the operating system's memory must not
/// pass for durable.
pub(super) fn mend(
    tree: &Path,
    durability: Durability,
    cut_from: Option<u64>,
) -> Result<Option<Mended>, Error> {
    shrink::finish(tree).map_err(|error| unavailable(tree, &error))?;
    let Some(path) = journal::active(tree).map_err(|error| unavailable(tree, &error))? else {
        return Ok(None);
    };
    let mut latest = Latest::new(LATEST_BYTES);
    let (bytes, damage) = inspect(&path, cut_from.unwrap_or(u64::MAX), &mut latest)
        .map_err(|error| unavailable(&path, &error))?;
    if damage == Damage::BeforeNewerEntry && durability == Durability::Synced {
        return Err(Error::Corrupt(format!(
            "`{}` is damaged at byte {bytes}, before entries that are whole; restore a copy, or open the store once \
             with relaxed durability to drop everything from there on",
            path.display(),
        )));
    }
    if latest.overwritten() >= REPLACED_ITEMS
        && let Some(content) = latest.encode(None)
        && content.len() as u64 <= bytes / 2
        && shrink::replace(&path, &content).map_err(|error| unavailable(&path, &error))?
    {
        return Ok(Some(Mended {
            path,
            bytes: content.len() as u64,
            latest_bytes: content.len() as u64,
        }));
    }
    if damage != Damage::None {
        let cut = || {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(bytes)?;
            file.sync_all()
        };
        cut().map_err(|error| unavailable(&path, &error))?;
    }
    let latest_bytes = if latest.is_given_up() {
        bytes
    } else {
        latest.bytes() as u64
    };
    Ok(Some(Mended {
        path,
        bytes,
        latest_bytes,
    }))
}

fn unavailable(path: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("`{}`: {error}", path.display()))
}

/// What follows the last whole entry.
#[derive(Debug, PartialEq, Eq)]
enum Damage {
    /// Zeros, or nothing.
    None,
    TornEnd,
    BeforeNewerEntry,
}

/// Returns where the last whole entry ends, and takes in the entries up to there.
fn inspect(path: &Path, cut_from: u64, latest: &mut Latest) -> io::Result<(u64, Damage)> {
    let mut reader = Reader::open(path)?;
    let mut last = None;
    loop {
        let offset = reader.offset();
        let Some(entry) = reader.next()? else { break };
        if entry.number >= cut_from {
            return Ok((offset, Damage::TornEnd));
        }
        last = Some(entry.number);
        latest.add(&entry);
    }
    let offset = reader.offset();
    let rest = read_trimmed(reader.file(), offset)?;
    if rest.is_empty() {
        return Ok((offset, Damage::None));
    }
    // Before the first entry any number is a newer one.
    let newer = last.map_or(0..u64::MAX, |last| last..last.saturating_add(NUMBER_DISTANCE));
    let is_newer =
        |start: usize| first_entry(&rest[start..]).is_some_and(|entry| newer.contains(&entry.number));
    let damage = if (1..rest.len()).any(is_newer) {
        Damage::BeforeNewerEntry
    } else {
        Damage::TornEnd
    };
    Ok((offset, damage))
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Seek as _, SeekFrom, Write as _};

    use super::*;
    use crate::store::embedded::journal::write_entry;

    /// One entry with one item, as the tree writes it.
    fn entry(number: u64, value: &[u8]) -> Vec<u8> {
        let mut item = vec![2, 0, 0];
        item.extend_from_slice(&1u64.to_le_bytes());
        item.extend_from_slice(&3u16.to_le_bytes());
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        item.extend_from_slice(&length);
        item.extend_from_slice(&length);
        item.extend_from_slice(b"key");
        item.extend_from_slice(value);
        let mut entry = Vec::new();
        write_entry(&mut entry, number, 1, &item);
        entry
    }

    fn inspect_file(path: &Path, cut_from: u64) -> Option<(usize, bool)> {
        let (offset, damage) = inspect(path, cut_from, &mut Latest::new(1 << 20)).unwrap();
        let offset = usize::try_from(offset).unwrap();
        (damage != Damage::None).then_some((offset, damage == Damage::BeforeNewerEntry))
    }

    /// Expects damage at this offset, and whether a newer entry follows it.
    fn check(parts: &[&[u8]], cut_from: u64, expected: Option<(usize, bool)>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), parts.concat()).unwrap();
        assert_eq!(inspect_file(file.path(), cut_from), expected, "{parts:?}");
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
            let expected = expected.map(|is_newer| (first.len(), is_newer));
            assert_eq!(inspect_file(file.path(), u64::MAX), expected);
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
