//! The embedded store: an LSM tree in a folder of one process.
//!
//! One writer at a time: a group is judged against the tree, then written as one journal entry and synced once. If
//! that fails (disk full, broken disk) the tree is closed, the failed entry is cut off the journal, and the tree is
//! opened again, at each call until it works. What was acknowledged is in the journal, not only in the failed tree.

mod database;
mod folder;
mod journal;
mod shrink;
mod time;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;

use self::database::{Database, Settings, WriteError};
use self::folder::Folder;
use self::time::Time;
use super::overlay::Overlay;
use super::{Batch, Clock, CommitProfile, Error, Store, StoreFuture, Verdict, WallClock, group};

const BATCH_BYTES: usize = 64 << 20;
const GROUP_BYTES: usize = 4 << 20;
const CACHE_BYTES: u64 = 32 << 20;
const WRITE_BUFFER_BYTES: u64 = 16 << 20;

/// What [`Store::commit`] waits for before it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Each group is synced to the disk (`fdatasync`). It survives the death of the process and a power loss.
    #[default]
    Synced,
    /// Each group is handed to the operating system. It survives the death of the process, `kill -9` too, but a power
    /// loss or a crash of the operating system takes the last seconds. What is left is whole: the groups up to some
    /// point, and none after it.
    Relaxed,
}

/// A [`Store`] in a folder, for one process.
///
/// It takes the calling thread for the length of a disk read or sync. Its memory is bounded: the cache, plus up to four
/// write buffers, each with as much again for the bookkeeping of pairs of 200 bytes; by default about 160 MB at the most.
/// The store keeps the [`Bytes`] that it is given until they are on disk, so they should not be small parts of big
/// buffers; what it returns may keep a block of 4 KiB in memory. Opening it after a crash replays a journal of about 64 MB
/// at the most, without the records that it overwrites itself where those are most of it.
///
/// ```
/// use bytes::Bytes;
/// use workflow_runtime::store::{Batch, EmbeddedStore, Error, Store, Write};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path().join("orders");
/// let store = EmbeddedStore::open(&folder)?;
/// let write = Write::Put(Bytes::from_static(b"order/1"), Bytes::from_static(b"paid"));
/// store.commit(&[Batch { conditions: vec![], writes: vec![write] }]).await?;
///
/// // The folder belongs to one process, and to one store in it.
/// assert!(matches!(EmbeddedStore::open(&folder), Err(Error::InUse { .. })));
/// drop(store);
///
/// let store = EmbeddedStore::open(&folder)?;
/// let pairs = store.scan(Bytes::from_static(b"order/")..Bytes::from_static(b"order0"), 10).await?;
/// assert_eq!(pairs, [(Bytes::from_static(b"order/1"), Bytes::from_static(b"paid"))]);
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub struct EmbeddedStore {
    // The lock in `folder` is dropped last.
    tree: RwLock<Tree>,
    writer: Mutex<()>,
    time: Time,
    settings: Settings,
    folder: Folder,
}

enum Tree {
    Open(Database),
    /// After a failure.
    Closed {
        /// The journal's entries from this number on are a write that failed.
        cut_from: Option<u64>,
    },
}

/// How an [`EmbeddedStore`] is opened.
///
/// ```
/// use workflow_runtime::store::{Durability, EmbeddedStore};
///
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path().join("cache");
/// let store = EmbeddedStore::builder(&folder)
///     .durability(Durability::Relaxed)
///     .cache_bytes(8 << 20)
///     .write_buffer_bytes(16 << 20)
///     .open()?;
/// # drop(store);
/// # Ok::<(), workflow_runtime::store::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "`open` opens the store"]
pub struct EmbeddedStoreBuilder {
    path: PathBuf,
    durability: Durability,
    cache_bytes: u64,
    write_buffer_bytes: u64,
    clock: Box<dyn Clock>,
}

impl EmbeddedStoreBuilder {
    /// What a commit waits for; [`Durability::Synced`] unless told.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Memory for parts of the tree's files, in bytes; 32 MiB unless told.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Size of one write buffer in bytes; 16 MiB unless told, at least 1 MiB. Bigger ones write less to the disk where
    /// the same keys are written again and again.
    pub fn write_buffer_bytes(mut self, bytes: u64) -> Self {
        self.write_buffer_bytes = bytes.max(1 << 20);
        self
    }

    /// The clock behind [`Store::now_ms`]; the operating system's unless told.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Opens the store; creates it where the folder is missing or empty.
    ///
    /// # Errors
    /// [`Error::InUse`]: another process, or this one, has it open. [`Error::Format`]: the folder is not a store's, or
    /// another version's. [`Error::Corrupt`]: stored bytes are damaged. [`Error::Unavailable`]: the disk does not do it.
    pub fn open(self) -> Result<EmbeddedStore, Error> {
        let mut folder = Folder::open(&self.path)?;
        let time = Time::open(&folder.clock(), self.clock)
            .map_err(|error| Error::Unavailable(format!("`{}`: {error}", folder.clock().display())))?;
        let settings = Settings {
            tree: folder.tree(),
            durability: self.durability,
            cache_bytes: self.cache_bytes,
            write_buffer_bytes: self.write_buffer_bytes,
        };
        let database = Database::open(&settings, None)?;
        folder.stamp()?;
        Ok(EmbeddedStore {
            tree: RwLock::new(Tree::Open(database)),
            writer: Mutex::new(()),
            time,
            settings,
            folder,
        })
    }
}

impl EmbeddedStore {
    /// Opens the store in a folder with the default settings; creates it where the folder is missing or empty.
    ///
    /// # Errors
    /// As [`EmbeddedStoreBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder(path).open()
    }

    /// Chooses settings before opening.
    pub fn builder(path: impl AsRef<Path>) -> EmbeddedStoreBuilder {
        EmbeddedStoreBuilder {
            path: path.as_ref().to_owned(),
            durability: Durability::default(),
            cache_bytes: CACHE_BYTES,
            write_buffer_bytes: WRITE_BUFFER_BYTES,
            clock: Box::new(WallClock),
        }
    }

    /// Works with the open tree, which is opened first where a failure has closed it.
    fn with_database<T>(&self, work: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        loop {
            if let Tree::Open(database) = &*self.tree.read().unwrap_or_else(PoisonError::into_inner) {
                return work(database);
            }
            self.reopen()?;
        }
    }

    /// Opens the tree if it is closed.
    fn reopen(&self) -> Result<(), Error> {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        if let Tree::Closed { cut_from } = *tree {
            self.folder.prepare_tree()?;
            *tree = Tree::Open(Database::open(&self.settings, cut_from)?);
        }
        Ok(())
    }

    /// Closes the tree after a failed write, whose remains are in the journal from the number `cut_from` on.
    fn close(&self, cut_from: Option<u64>) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        if let Tree::Open(database) = std::mem::replace(&mut *tree, Tree::Closed { cut_from }) {
            database.close();
        }
    }

    fn commit_group(&self, group: &[Batch]) -> Result<Vec<Verdict>, Error> {
        group::check(group, BATCH_BYTES)?;
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdicts, overlay) = self.with_database(|database| {
            let mut overlay = Overlay::with_capacity(2 * group.len());
            let mut read = |key: &Bytes| database.latest(key);
            let judged = group.iter().map(|batch| overlay.judge(batch, &mut read));
            Ok((judged.collect::<Result<Vec<_>, Error>>()?, overlay))
        })?;
        if !overlay.is_clean() {
            self.write(&overlay)?;
        }
        Ok(verdicts)
    }

    fn write(&self, overlay: &Overlay) -> Result<(), Error> {
        let mut is_repeated = false;
        loop {
            let written = self.with_database(|database| Ok(database.write(overlay)))?;
            match written {
                Ok(()) => return Ok(()),
                // The tree's own thread had failed, which shows only now. Opening the tree gives it another one.
                Err(WriteError::Earlier) if !is_repeated => {
                    self.close(None);
                    is_repeated = true;
                }
                Err(WriteError::Earlier) => {
                    self.close(None);
                    let tree = self.settings.tree.display();
                    return Err(Error::Unavailable(format!(
                        "`{tree}`: the tree cannot be written to the disk"
                    )));
                }
                Err(WriteError::Now { number, cause }) => {
                    self.close(Some(number));
                    // With the write cut off the journal it is certain that it was not applied. Where that fails, it is
                    // cut off before the next call gets to see the tree; only if the process ends before, it may stay.
                    return Err(match self.reopen() {
                        Ok(()) => cause,
                        Err(error) => Error::Unknown(format!("{cause}; then {error}")),
                    });
                }
            }
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // Before the lock is gone, so that the next holder of the folder is alone in it.
        self.close(None);
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("EmbeddedStore");
        debug
            .field("folder", &self.folder.path())
            .field("durability", &self.settings.durability);
        debug.finish_non_exhaustive()
    }
}

impl Store for EmbeddedStore {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(async move { self.with_database(|database| database.get(keys)) })
    }

    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        Box::pin(async move { self.with_database(|database| database.scan(range, limit)) })
    }

    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(async move { self.commit_group(group) })
    }

    fn now_ms(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move { self.time.now_ms() })
    }

    fn profile(&self) -> CommitProfile {
        CommitProfile {
            blocking: true,
            in_flight: 1,
            group_bytes: GROUP_BYTES,
            batch_bytes: BATCH_BYTES,
        }
    }
}
