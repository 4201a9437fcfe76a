//! Shortens the tree's journal before the tree is opened, where most of it is overwritten by itself.
//!
//! The tree replays its journal item by item, at about a microsecond each, also those that a later one replaces. A few
//! records that are written again and again, as those of workflows are, would make the time to open grow with the number
//! of steps. So only the last item of each key is kept, in its entry, under the entry's number; the new file replaces the
//! old one at once. Nobody can miss what is left out: snapshots do not outlive a process.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use super::folder::sync_folder;
use super::journal::{active, read_entry, split_item, write_entry};
use crate::store::Error;

/// Shrinks the active journal in the tree's folder if it is longer than `limit`, but no more than `limit` bytes count.
pub(super) fn shrink(tree: &Path, limit: usize) -> Result<(), Error> {
    let unavailable = |error: io::Error| Error::Unavailable(format!("`{}`: {error}", tree.display()));
    let Some(path) = active(tree).map_err(unavailable)? else {
        return Ok(());
    };
    let draft = path.with_extension("jnl.new");
    let Some(latest) = Latest::find(&path, limit).map_err(unavailable)? else {
        return Ok(());
    };
    // It is not needed: where there is no space for it, the tree reads the long one.
    if latest.copy(&path, &draft).is_err() {
        let _ = fs::remove_file(&draft);
        return Ok(());
    }
    // But if it is not certain which of the two the folder holds, nothing more may be written to either.
    fs::rename(&draft, &path)
        .and_then(|()| sync_folder(tree))
        .map_err(unavailable)
}

/// The number of the entry that writes each key last.
struct Latest(HashMap<Vec<u8>, (u64, usize)>);

impl Latest {
    /// `None` if the journal is short, or if too much of it counts, or if it holds something special.
    fn find(path: &Path, limit: usize) -> io::Result<Option<Self>> {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
        let mut latest: HashMap<Vec<u8>, (u64, usize)> = HashMap::new();
        let (mut items, mut target) = (Vec::new(), Vec::new());
        let (mut total, mut live) = (0, 0);
        while let Some(entry) = read_entry(&mut reader, &mut items)? {
            total += entry.bytes;
            let mut rest = &items[..];
            while let Some(item) = split_item(&mut rest) {
                name_target(&mut target, item.target);
                live += item.bytes.len();
                let now = (entry.number, item.bytes.len());
                match latest.get_mut(&target) {
                    Some(earlier) => live -= std::mem::replace(earlier, now).1,
                    None => {
                        latest.insert(target.clone(), now);
                    }
                }
            }
            if !rest.is_empty() || live > limit {
                return Ok(None);
            }
        }
        Ok((total > limit as u64).then_some(Self(latest)))
    }

    /// Writes the items that count, and syncs them.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(from)?);
        let mut writer = BufWriter::with_capacity(1 << 16, File::create(to)?);
        let (mut items, mut kept, mut target) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(entry) = read_entry(&mut reader, &mut items)? {
            kept.clear();
            let mut count = 0;
            let mut rest = &items[..];
            while let Some(item) = split_item(&mut rest) {
                name_target(&mut target, item.target);
                if self
                    .0
                    .get(&target)
                    .is_some_and(|(number, _)| *number == entry.number)
                {
                    kept.extend_from_slice(item.bytes);
                    count += 1;
                }
            }
            if count > 0 {
                write_entry(&mut writer, entry.number, count, &kept)?;
            }
        }
        writer.flush()?;
        writer.get_ref().sync_all()
    }
}

fn name_target(name: &mut Vec<u8>, (keyspace, key): ([u8; 8], &[u8])) {
    name.clear();
    name.extend_from_slice(&keyspace);
    name.extend_from_slice(key);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items of one entry: (key, value), where no value stands for a deletion.
    type Entry = (u64, &'static [(&'static str, Option<&'static str>)]);

    fn encode(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, pairs) in entries {
            let mut items = Vec::new();
            for (key, value) in *pairs {
                let value_length = u32::try_from(value.map_or(0, str::len)).unwrap().to_le_bytes();
                items.extend_from_slice(&[2, u8::from(value.is_none()), 0]);
                items.extend_from_slice(&1u64.to_le_bytes());
                items.extend_from_slice(&u16::try_from(key.len()).unwrap().to_le_bytes());
                items.extend_from_slice(&[value_length, value_length].concat());
                items.extend_from_slice(key.as_bytes());
                items.extend_from_slice(value.unwrap_or_default().as_bytes());
            }
            write_entry(&mut bytes, *number, u32::try_from(pairs.len()).unwrap(), &items).unwrap();
        }
        bytes
    }

    fn check(journal: &[u8], limit: usize, expected: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("3.jnl");
        fs::write(&path, journal).unwrap();
        shrink(folder.path(), limit).unwrap();
        assert_eq!(fs::read(&path).unwrap(), expected);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn last_items_stay_in_their_entries() {
        let entries: &[Entry] = &[
            (3, &[("a", Some("1")), ("b", Some("1")), ("once", Some("1"))]),
            (4, &[("a", Some("2"))]),
            (7, &[("a", None), ("b", Some("3"))]),
            (8, &[("a", Some("4")), ("gone", Some("4"))]),
            (9, &[("gone", None), ("b", Some("5"))]),
        ];
        let shrunk: &[Entry] = &[
            (3, &[("once", Some("1"))]),
            (8, &[("a", Some("4"))]),
            (9, &[("gone", None), ("b", Some("5"))]),
        ];
        let (journal, shrunk) = (encode(entries), encode(shrunk));
        check(&journal, 200, &shrunk);
        check(&[&journal[..], &[0; 1000]].concat(), 200, &shrunk);
        check(&shrunk, 100, &shrunk);
        // Short already, or too much that counts.
        check(&journal, journal.len(), &journal);
        check(&journal, 20, &journal);
        check(&[], 0, &[]);
    }
}
