//! The narrow interface between the engine and an ordered key-value store.
//!
//! Everything that the engine keeps (instances, states, inboxes, timers, indexes) is a key layout *above* this trait.
//! A store must keep three promises: a batch is applied whole or not at all; a batch is applied only if all of its
//! conditions hold at that moment; what [`Store::commit`] acknowledged survives the death of every process
//! (unless the store was opened in an explicitly relaxed mode).

mod clock;
pub mod conformance;
#[cfg(feature = "embedded")]
mod embedded;
mod faults;
mod group;
mod memory;
#[cfg(feature = "embedded")]
mod overlay;
mod random;
#[cfg(feature = "tikv")]
mod tikv;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

pub use clock::{Clock, ManualClock, WallClock};
#[cfg(feature = "embedded")]
pub use embedded::{Durability, EmbeddedStore, EmbeddedStoreBuilder};
pub use faults::{FaultPlan, FaultyStore};
pub use memory::MemoryStore;
#[cfg(feature = "tikv")]
pub use tikv::{TikvStore, TikvStoreBuilder};

/// The longest key that every store takes, in bytes. The shortest has one byte.
pub const MAX_KEY_BYTES: usize = 4096;

/// A boxed future, the return type of every [`Store`] method (the trait is used as `Arc<dyn Store>`).
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// What must be true of a key for a [`Batch`] to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The key has no value.
    Absent(Bytes),
    /// The key has exactly this value.
    Equals(Bytes, Bytes),
    /// The key has some value.
    Present(Bytes),
}

/// One change that a [`Batch`] makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets the key to the value.
    Put(Bytes, Bytes),
    /// Removes the key; removing an absent key is no error.
    Delete(Bytes),
}

/// Writes that are applied together, if all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// All must hold for the writes to be applied.
    pub conditions: Vec<Condition>,
    /// Applied in order; the last write to a key wins.
    pub writes: Vec<Write>,
}

/// What became of one [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All conditions held; the writes are applied and durable.
    Applied,
    /// The condition with this index (the first one found) did not hold; nothing of the batch was applied.
    Conflict(usize),
}

/// An ordered key-value store that commits batches atomically.
///
/// Keys are compared as bytes and have 1 to [`MAX_KEY_BYTES`] bytes; the bounds of a scan and the keys of a `get` may be
/// anything. Values may be empty. A store never sees what the bytes mean.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Reads the values of `keys`, in their order, from one consistent snapshot.
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>>;

    /// Reads at most `limit` pairs with `range.start <= key < range.end`, in ascending key order,
    /// from one consistent snapshot.
    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>>;

    /// Commits a group of independent batches, each atomic by itself, judged in their order (a later batch sees the
    /// writes of earlier ones), with one verdict per batch. The group costs one durable write where the store can do
    /// so. On success every `Applied` batch is durable.
    ///
    /// The future may block the thread it is polled on for the length of a disk sync when
    /// [`CommitProfile::blocking`] says so; the engine polls it on a thread where that is harmless.
    ///
    /// # Errors
    /// [`Error::Unknown`]: any of the batches may be applied; the caller must read back. The outcome is decided (applied
    /// or not) by the time a later read or commit of one of the batch's keys succeeds; it never changes afterwards.
    /// Every other error: none of the batches was applied, and none will be.
    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>>;

    /// The store's clock, in milliseconds since the Unix epoch. All nodes of a deployment share this clock; it never
    /// goes back, not over a restart either.
    fn now_ms(&self) -> StoreFuture<'_, u64>;

    /// How the engine's committer should drive this store.
    fn profile(&self) -> CommitProfile;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        (**self).get(keys)
    }

    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        (**self).scan(range, limit)
    }

    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        (**self).commit(group)
    }

    fn now_ms(&self) -> StoreFuture<'_, u64> {
        (**self).now_ms()
    }

    fn profile(&self) -> CommitProfile {
        (**self).profile()
    }
}

/// How a committer should drive a [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitProfile {
    /// `commit` does its input and output on the thread that polls it.
    pub blocking: bool,
    /// How many `commit` calls are worth having in flight at once.
    pub in_flight: usize,
    /// A group is closed when its keys and values add up to this many bytes.
    pub group_bytes: usize,
    /// One batch must not be larger than this many bytes (keys and values).
    pub batch_bytes: usize,
}

/// Why a store could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The outcome of a commit is not known: it may be applied. Read back before deciding anything: the outcome is
    /// decided by the time a later read or commit of one of its keys succeeds, and never changes afterwards.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(String),
    /// The store cannot serve now, and may again later (disk full, input/output error, network).
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A setting of the store is wrong; the text names it, the rule and what to write instead.
    #[error("{0}")]
    Settings(String),
    /// Another process holds the store.
    #[error(
        "the store at `{path}` is in use by {holder}; stop that process, or give this one another folder"
    )]
    InUse {
        /// The folder.
        path: String,
        /// The process that holds it, as far as it is known (`process 4711 (data-processing)`).
        holder: String,
    },
    /// The folder holds something that this version cannot read.
    #[error("the store at `{path}` has format version {found}, this program reads {supported}: {fix}")]
    Format {
        /// The folder.
        path: String,
        /// The version found there.
        found: String,
        /// The version (or versions) that this program reads.
        supported: String,
        /// What the user can do.
        fix: String,
    },
    /// The stored bytes contradict themselves.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
    /// A key that no store takes.
    #[error("a key of {size} bytes: keys have 1 to {limit} bytes")]
    KeySize {
        /// Size of the key in bytes.
        size: usize,
        /// The longest key in bytes, [`MAX_KEY_BYTES`].
        limit: usize,
    },
    /// A batch is larger than the store takes.
    #[error("a batch of {size} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// Size of the batch in bytes, keys and values.
        size: usize,
        /// The store's limit in bytes.
        limit: usize,
    },
}
