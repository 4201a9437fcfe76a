//! The embedded store: an LSM tree in a folder of one process.
//!
//! One writer at a time: a group is judged against the tree, then written as one journal entry and synced once. If
//! that fails (disk full, broken disk) the tree is closed, the failed entry is cut off the journal, and the tree is
//! opened again, at each call until it works. What was acknowledged is in the journal, not only in the failed tree.
//!
//! The tree replays its journal when it is opened, at 1.6 microseconds an item (measured by opening a store after 100 and
//! after 10,000 overwrites), and begins a new journal only after 64 MB: the time to open would grow with the number of
//! steps that a few workflows have taken. So the items that the journal itself overwrites are left out of it:
//!
//! - when the store is idle, and under load whenever it has grown by a megabyte or two, by a thread of the store
//!   ([`keeper`], [`shrink`]);
//! - when it is opened, in the pass over the journal that looks for a torn end anyhow ([`mend`]), at 0.1 microseconds
//!   an item.
//!
//! What is left is what counts, up to a write buffer or two of it; what the tree's files hold is left out too.

mod backlog;
mod database;
mod folder;
mod guarded;
mod journal;
mod keeper;
mod latest;
mod mend;
mod shrink;
mod time;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use self::database::Settings;
use self::folder::Folder;
use self::guarded::GuardedTree;
use self::keeper::Keeper;
use self::time::Time;
use super::{Batch, Clock, CommitProfile, Error, Store, StoreFuture, Verdict, WallClock};

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
/// at the most, without the records that it overwrites itself where those are most of it. A thread of the store shortens
/// the journal in the same way after a tenth of a second without a commit, and under load for at most a twenty-fifth of the
/// time; a commit that arrives meanwhile waits for a few syncs of the disk.
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
    // Ends before the tree is closed.
    _keeper: Keeper,
    time: Time,
    tree: Arc<GuardedTree>,
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
        let folder = Folder::open(&self.path)?;
        let time = Time::open(&folder.clock(), self.clock)
            .map_err(|error| Error::Unavailable(format!("`{}`: {error}", folder.clock().display())))?;
        let settings = Settings {
            tree: folder.tree(),
            durability: self.durability,
            cache_bytes: self.cache_bytes,
            write_buffer_bytes: self.write_buffer_bytes,
        };
        let tree = Arc::new(GuardedTree::open(settings, folder)?);
        Ok(EmbeddedStore {
            _keeper: Keeper::start(&tree)?,
            time,
            tree,
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
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("EmbeddedStore");
        debug
            .field("folder", &self.tree.folder().path())
            .field("durability", &self.tree.settings().durability);
        debug.finish_non_exhaustive()
    }
}

impl Store for EmbeddedStore {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(async move { self.tree.with_database(|database| database.get(keys)) })
    }

    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        Box::pin(async move { self.tree.with_database(|database| database.scan(range, limit)) })
    }

    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(async move { self.tree.commit_group(group) })
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
