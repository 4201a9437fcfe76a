//! The LSM tree behind the embedded store: opening it, reading it, writing a group as one journal entry.
//!
//! Memory is bounded: the tree's cache has a fixed size, and the write buffers are rotated here, not by the tree, so
//! that at most [`SEALED_BUFFERS`] full ones wait to be written to disk beside the one in use.

use std::ops::{Bound, Range};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{AbstractTree, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable};

use super::{journal, shrink};
use crate::store::overlay::Overlay;
use crate::store::{Durability, Error, MAX_KEY_BYTES};

/// Full write buffers that wait for the disk; a writer waits until there are fewer.
const SEALED_BUFFERS: usize = 3;
/// Unsorted tables that wait for compaction; a writer waits until there are fewer.
const UNSORTED_TABLES: usize = 20;
/// A longer journal is shrunk before the tree reads it, if not more than that many bytes of it still count.
const SHRUNK_BYTES: usize = 4 << 20;
/// Keeps the tree from rotating its write buffers by itself.
const NEVER: u64 = u64::MAX;
/// One writes full buffers to the disk while the other one compacts, so that a writer seldom waits for a compaction.
const THREADS: usize = 2;
const PAUSE: Duration = Duration::from_millis(1);
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// How a [`Database`] is opened.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) tree: PathBuf,
    pub(super) durability: Durability,
    pub(super) cache_bytes: u64,
    pub(super) write_buffer_bytes: u64,
}

/// An open tree. Its writer is the only one; that is up to the caller.
pub(super) struct Database {
    database: fjall::Database,
    data: fjall::Keyspace,
    mode: PersistMode,
    write_buffer_bytes: u64,
    tree: PathBuf,
}

/// Why a write failed. The database takes no further write and must be closed and opened anew.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The tree had failed before; nothing of this write reached the journal.
    Earlier,
    /// Any part of the write may have reached the journal, in an entry with this number or a higher one.
    Now { number: u64, cause: Error },
}

impl Database {
    /// Opens or creates the tree. A torn end of the journal is cut off first, and so are failed writes: the entries
    /// from `cut_from` on.
    pub(super) fn open(settings: &Settings, cut_from: Option<u64>) -> Result<Self, Error> {
        journal::mend(&settings.tree, settings.durability, cut_from)?;
        shrink::shrink(&settings.tree, SHRUNK_BYTES)?;
        // The tree trusts its own files in places, so that garbage in them may panic.
        let opened = panic::catch_unwind(AssertUnwindSafe(|| {
            let database = fjall::Database::builder(&settings.tree)
                .cache_size(settings.cache_bytes)
                .worker_threads(THREADS)
                .open()?;
            let data = database.keyspace("data", || {
                KeyspaceCreateOptions::default().max_memtable_size(NEVER)
            })?;
            Ok((database, data))
        }));
        let (database, data) = match opened {
            Ok(opened) => opened.map_err(|error| explain(&settings.tree, error))?,
            Err(_) => {
                return Err(Error::Corrupt(format!(
                    "`{}` cannot be read",
                    settings.tree.display()
                )));
            }
        };
        let mode = match settings.durability {
            Durability::Synced => PersistMode::SyncData,
            Durability::Relaxed => PersistMode::Buffer,
        };
        Ok(Self {
            database,
            data,
            mode,
            write_buffer_bytes: settings.write_buffer_bytes,
            tree: settings.tree.clone(),
        })
    }

    /// Reads one key as the only writer sees it.
    pub(super) fn latest(&self, key: &Bytes) -> Result<Option<Bytes>, Error> {
        let value = self.data.get(key).map_err(|error| self.explain(error))?;
        Ok(value.map(Bytes::from))
    }

    /// Reads keys from one snapshot.
    pub(super) fn get(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, Error> {
        let snapshot = self.database.snapshot();
        let read = |key: &Bytes| {
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                return Ok(None);
            }
            let value = snapshot
                .get(&self.data, key)
                .map_err(|error| self.explain(error))?;
            Ok(value.map(Bytes::from))
        };
        keys.iter().map(read).collect()
    }

    /// Reads a range from one snapshot.
    pub(super) fn scan(&self, range: Range<Bytes>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        if range.start >= range.end || limit == 0 {
            return Ok(Vec::new());
        }
        // The tree takes no long bounds. No key lies between a longer bound and its first bytes, except those bytes.
        let start = if range.start.len() > MAX_KEY_BYTES {
            Bound::Excluded(range.start.slice(..MAX_KEY_BYTES))
        } else {
            Bound::Included(range.start)
        };
        let end = if range.end.len() > MAX_KEY_BYTES {
            Bound::Included(range.end.slice(..MAX_KEY_BYTES))
        } else {
            Bound::Excluded(range.end)
        };
        if let (Bound::Excluded(start), Bound::Included(end)) = (&start, &end)
            && start >= end
        {
            return Ok(Vec::new());
        }
        let pairs = self
            .database
            .snapshot()
            .range(&self.data, (start, end))
            .take(limit);
        pairs
            .map(|pair| {
                let (key, value) = pair.into_inner().map_err(|error| self.explain(error))?;
                Ok((Bytes::from(key), Bytes::from(value)))
            })
            .collect()
    }

    /// Writes everything that the group changes: one journal entry, one sync if the store is synced.
    pub(super) fn write(&self, group: &Overlay) -> Result<(), WriteError> {
        self.wait_for_room()?;
        let mut batch =
            OwnedWriteBatch::with_capacity(self.database.clone(), group.len()).durability(Some(self.mode));
        for (key, value) in group.writes() {
            match value {
                Some(value) => batch.insert(&self.data, key.clone(), value.clone()),
                None => batch.remove(&self.data, key.clone()),
            }
        }
        let number = self.database.seqno();
        batch.commit().map_err(|error| match error {
            fjall::Error::Poisoned => WriteError::Earlier,
            error => WriteError::Now {
                number,
                cause: self.explain(error),
            },
        })?;
        if self.data.tree.active_memtable().size() > self.write_buffer_bytes {
            // The group is durable already. What cannot be rotated now is rotated after a later group.
            let _ = self.data.rotate_memtable();
        }
        Ok(())
    }

    /// Closes the tree and returns when nothing of it is left that could still write to its files.
    pub(super) fn close(self) {
        let Self { database, data, .. } = self;
        // The tree's threads hand in their share of the journal shortly *after* they have reported their end, and the
        // last owner writes out what is buffered. Being that last owner makes it happen here.
        let supervisor = database.supervisor.clone();
        let witness = Arc::clone(&supervisor.keyspaces);
        drop(data);
        drop(database);
        std::thread::sleep(PAUSE);
        drop(supervisor);
        let start = Instant::now();
        while Arc::strong_count(&witness) > 1 && start.elapsed() < RELEASE_LIMIT {
            std::thread::sleep(10 * PAUSE);
        }
    }

    /// Waits while too much is ahead of the disk. The tree would do so too, but for ever if its thread has failed.
    fn wait_for_room(&self) -> Result<(), WriteError> {
        let tree = &self.data.tree;
        while tree.sealed_memtable_count() >= SEALED_BUFFERS || tree.l0_run_count() >= UNSORTED_TABLES {
            self.database
                .persist(PersistMode::Buffer)
                .map_err(|_| WriteError::Earlier)?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn explain(&self, error: fjall::Error) -> Error {
        explain(&self.tree, error)
    }
}

/// What an error of the tree means to the engine.
fn explain(path: &Path, error: fjall::Error) -> Error {
    let path = path.display();
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            Error::Unavailable(format!("`{path}`: {error}"))
        }
        fjall::Error::Poisoned => Error::Unavailable(format!("`{path}`: an earlier write failed")),
        fjall::Error::Locked => Error::InUse {
            path: path.to_string(),
            holder: "another process".to_owned(),
        },
        fjall::Error::InvalidVersion(found) => Error::Format {
            path: path.to_string(),
            found: format!("{found:?}"),
            supported: "fjall V3".to_owned(),
            fix: "open it with the program version that wrote it".to_owned(),
        },
        error => Error::Corrupt(format!("`{path}`: {error:?}")),
    }
}
