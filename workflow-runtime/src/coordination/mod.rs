//! Coordination of the user's own work over the store: locks, elections, transactions.
//!
//! The store is the only coordinator and its clock the only time: a process whose own clock is wrong waits too long or
//! too short, and breaks nothing. What protects shared things is the condition on a record that changes hands, never the
//! belief of a holder.

mod election;
mod lock;
mod transaction;

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use workflow_model::codec;

pub use self::election::{Elect, Leader, LeaderObserver, Leadership};
pub use self::lock::LockGuard;
pub use self::transaction::Transaction;
use crate::store::{self, Store};

/// The shortest time to live of a lock.
const SHORTEST_TTL: Duration = Duration::from_millis(100);
/// The longest time to live of a lock: a holder that dies keeps the others waiting as long.
const LONGEST_TTL: Duration = Duration::from_secs(24 * 3600);
/// The longest key of a lock, an election or a transaction, in bytes.
const LONGEST_KEY: usize = 1024;

/// Why coordination failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CoordinationError {
    /// A key that is empty or too long.
    #[error("a key of {size} bytes: keys have 1 to {LONGEST_KEY} bytes")]
    Key {
        /// Its size in bytes.
        size: usize,
    },
    /// A time to live that is too short to renew in, or too long to wait for.
    #[error("a time to live of {ttl:?}: choose one from {SHORTEST_TTL:?} to {LONGEST_TTL:?}")]
    Ttl {
        /// The refused time.
        ttl: Duration,
    },
    /// Another transaction, or a change of hands of a lock, came first: nothing was written. Try again from the start.
    #[error("{key} changed since the transaction read it; nothing was written, run the transaction again")]
    Conflict {
        /// What has changed.
        key: String,
    },
    /// A stored value is not of the wanted type.
    #[error("the value of {key} cannot be read as `{wanted}`: {error}")]
    Undecodable {
        /// The key.
        key: String,
        /// The type that was asked for.
        wanted: &'static str,
        /// What does not fit.
        error: String,
    },
    /// A value cannot be stored.
    #[error("the value for {key} cannot be stored: {error}")]
    Unencodable {
        /// The key.
        key: String,
        /// Why.
        error: String,
    },
    /// The store failed; when it says that the outcome is unknown, the change may be made.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Locks, elections and transactions over a store, for the user's own work.
///
/// All coordinators of one store and namespace see each other, in whatever process they are. They share nothing with
/// the workflows' records.
///
/// ```
/// use std::time::Duration;
/// use workflow_runtime::coordination::Coordinator;
/// use workflow_runtime::store::MemoryStore;
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let coordinator = Coordinator::new(store.clone());
///
/// let lock = coordinator.acquire_lock("reports/2030", Duration::from_secs(10)).await?;
/// let elsewhere = Coordinator::new(store);
/// assert!(elsewhere.try_acquire_lock("reports/2030", Duration::from_secs(10)).await?.is_none());
///
/// // What is written under the lock is refused if somebody else has the lock by then.
/// let mut transaction = coordinator.begin_transaction();
/// transaction.require(&lock);
/// transaction.put("reports/2030/total", &1234)?;
/// transaction.commit().await?;
/// lock.release().await?;
/// # Ok::<(), workflow_runtime::coordination::CoordinationError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Coordinator {
    store: Arc<dyn Store>,
    prefix: Bytes,
    name: Arc<str>,
    marks: Arc<Marks>,
}

/// Hands out the names of mark records: one for each transaction that commits at this moment, used again and again.
#[derive(Debug)]
struct Marks {
    process: u64,
    free: Mutex<(Vec<u32>, u32)>,
}

/// A mark record's name, until it is dropped.
struct Mark {
    marks: Arc<Marks>,
    number: u32,
    name: [u8; 12],
}

impl Marks {
    fn take(self: &Arc<Self>) -> Mark {
        let number = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.0.pop().unwrap_or_else(|| {
                free.1 += 1;
                free.1
            })
        };
        let mut name = [0; 12];
        name[..8].copy_from_slice(&self.process.to_be_bytes());
        name[8..].copy_from_slice(&number.to_be_bytes());
        Mark {
            marks: self.clone(),
            number,
            name,
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut free = self.marks.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.0.push(self.number);
    }
}

/// What a record of the coordinator is: the byte behind the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Who has a lock.
    Lock = b'k',
    /// Until when.
    LockExpiry = b'x',
    /// Who leads.
    Leader = b'e',
    /// Until when.
    LeaderExpiry = b'y',
    /// A value of the user's.
    Value = b'u',
    /// Tells whether a transaction of unknown outcome was applied.
    Mark = b'z',
}

impl Coordinator {
    /// A coordinator in the namespace `default`.
    pub fn new(store: impl Store) -> Self {
        Self::over(Arc::new(store), "default")
    }

    pub(crate) fn over(store: Arc<dyn Store>, namespace: &str) -> Self {
        Coordinator {
            store,
            prefix: prefix(namespace),
            name: Arc::from(format!("process {}", std::process::id())),
            marks: Arc::new(Marks {
                process: nonce(),
                free: Mutex::default(),
            }),
        }
    }

    /// The same in another namespace: its keys are apart from those of others. Control characters are taken out.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        Coordinator {
            prefix: prefix(namespace),
            ..self
        }
    }

    /// How this process is called where others see who holds a lock or leads; `process` and its id unless told.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Coordinator {
            name: Arc::from(name.into()),
            ..self
        }
    }

    fn key(&self, kind: Kind, key: &[u8]) -> Result<Bytes, CoordinationError> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(CoordinationError::Key { size: key.len() });
        }
        let mut full = BytesMut::with_capacity(self.prefix.len() + 1 + key.len());
        full.put_slice(&self.prefix);
        full.put_u8(kind as u8);
        full.put_slice(key);
        Ok(full.freeze())
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Coordinator")
            .field("store", &self.store)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn prefix(namespace: &str) -> Bytes {
    let mut prefix = BytesMut::from(&b"w\x03"[..]);
    prefix.extend(namespace.bytes().filter(|byte| !byte.is_ascii_control()));
    prefix.put_u8(0);
    prefix.freeze()
}

/// A number that no other holder has, so that a commit of unknown outcome can be told from another's.
pub(crate) fn nonce() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn decode<T: serde::de::DeserializeOwned>(key: &Bytes, value: &Bytes) -> Result<T, CoordinationError> {
    Ok(codec::decode(value)
        .map_err(|error| store::Error::Corrupt(format!("the record {key:?} cannot be read: {error}")))?)
}

/// The conditions that these keys have the values that were read.
fn unchanged(key: &Bytes, found: Option<&Bytes>) -> store::Condition {
    match found {
        None => store::Condition::Absent(key.clone()),
        Some(value) => store::Condition::Equals(key.clone(), value.clone()),
    }
}
