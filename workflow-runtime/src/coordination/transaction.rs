//! Transactions on the user's own keys: optimistic, and serialisable as far as single keys go.
//!
//! Each read looks at everything that was read before, in one snapshot, so a transaction never sees two states of the
//! world; the commit has the condition that all of it is still so.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use workflow_model::codec;

use super::lock::LockGuard;
use super::{CoordinationError, Coordinator, Kind, nonce, unchanged};
use crate::Durable;
use crate::engine::committer::commit_one;
use crate::store::{Batch, Condition, Store, Verdict, Write};

/// How often [`Coordinator::transaction`] runs its work.
const ATTEMPTS: u32 = 32;

impl Coordinator {
    /// Begins a transaction. Nothing is written before [`commit`](Transaction::commit); dropping it undoes it.
    pub fn begin_transaction(&self) -> Transaction {
        Transaction {
            coordinator: self.clone(),
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
            required: Vec::new(),
            conflicted: false,
        }
    }

    /// Runs `work` in a transaction and commits it; runs it again, up to 32 times, when another one came first. So `work`
    /// must have no effects but those of the transaction.
    ///
    /// ```
    /// use workflow_runtime::coordination::{CoordinationError, Coordinator};
    /// use workflow_runtime::store::MemoryStore;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let coordinator = Coordinator::new(MemoryStore::new());
    /// let count = || coordinator.transaction(async |transaction| {
    ///     let count = transaction.get::<u64>("visits").await?.unwrap_or(0) + 1;
    ///     transaction.put("visits", &count)?;
    ///     Ok::<_, CoordinationError>(count)
    /// });
    /// let (a, b, c) = tokio::join!(count(), count(), count());
    /// assert_eq!(a? + b? + c?, 1 + 2 + 3);
    /// # Ok::<(), CoordinationError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What `work` returns, and [`CoordinationError`] when the commit fails for good.
    pub async fn transaction<T, E, F>(&self, mut work: F) -> Result<T, E>
    where
        F: AsyncFnMut(&mut Transaction) -> Result<T, E>,
        E: From<CoordinationError>,
    {
        for attempt in 1.. {
            let mut transaction = self.begin_transaction();
            let done = work(&mut transaction).await;
            let conflicted = transaction.conflicted;
            let error = match done {
                Ok(output) => match transaction.commit().await {
                    Ok(()) => return Ok(output),
                    Err(error @ CoordinationError::Conflict { .. }) => E::from(error),
                    Err(error) => return Err(error.into()),
                },
                Err(error) if conflicted => error,
                Err(error) => return Err(error),
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            // Different waits, so that two that met do not meet again.
            let most_us = 200u64 << attempt.min(9);
            tokio::time::sleep(Duration::from_micros(nonce() % most_us)).await;
        }
        unreachable!("the loop ends by returning")
    }
}

/// Reads and writes of the user's own keys, which take effect together or not at all.
///
/// Keys are any 1 to 1,024 bytes; values are what serde can store. What a transaction has read is unchanged when it
/// commits; of a [`scan`](Transaction::scan) that is true for the keys that it found, not for those that it did not.
///
/// ```
/// use workflow_runtime::coordination::{CoordinationError, Coordinator};
/// use workflow_runtime::store::MemoryStore;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let coordinator = Coordinator::new(MemoryStore::new());
/// let mut opening = coordinator.begin_transaction();
/// opening.put("account/ada", &100)?;
/// opening.put("account/bob", &0)?;
/// opening.commit().await?;
///
/// let mut transfer = coordinator.begin_transaction();
/// let ada: i64 = transfer.get("account/ada").await?.unwrap_or(0);
/// let bob: i64 = transfer.get("account/bob").await?.unwrap_or(0);
/// transfer.put("account/ada", &(ada - 30))?;
/// transfer.put("account/bob", &(bob + 30))?;
///
/// // Meanwhile somebody else takes money.
/// let mut other = coordinator.begin_transaction();
/// let ada: i64 = other.get("account/ada").await?.unwrap_or(0);
/// other.put("account/ada", &(ada - 100))?;
/// other.commit().await?;
///
/// assert!(matches!(transfer.commit().await, Err(CoordinationError::Conflict { .. })));
/// # Ok::<(), CoordinationError>(())
/// # }).unwrap();
/// ```
#[must_use = "nothing is written before `commit`"]
pub struct Transaction {
    coordinator: Coordinator,
    /// Full keys and what was found there.
    reads: BTreeMap<Bytes, Option<Bytes>>,
    /// Full keys and what will stand there.
    writes: BTreeMap<Bytes, Option<Bytes>>,
    required: Vec<(Arc<str>, Condition)>,
    conflicted: bool,
}

impl Transaction {
    /// The value of a key, as this transaction has left it; `None` when there is none.
    ///
    /// # Errors
    /// [`CoordinationError::Conflict`] when something that was read before has changed,
    /// [`CoordinationError::Undecodable`] when the value is not a `T`, and when the store fails.
    pub async fn get<T: Durable>(&mut self, key: impl AsRef<[u8]>) -> Result<Option<T>, CoordinationError> {
        let found = self.get_bytes(key.as_ref()).await?;
        found.map(|value| decoded(key.as_ref(), &value)).transpose()
    }

    /// As [`get`](Transaction::get), the bytes as they are stored.
    ///
    /// # Errors
    /// As [`get`](Transaction::get).
    pub async fn get_bytes(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, CoordinationError> {
        let key = self.coordinator.key(Kind::Value, key.as_ref())?;
        if let Some(value) = self.writes.get(&key) {
            return Ok(value.clone());
        }
        if let Some(value) = self.reads.get(&key) {
            return Ok(value.clone());
        }
        self.read(vec![key.clone()]).await?;
        Ok(self.reads.get(&key).cloned().flatten())
    }

    /// The keys that begin with `prefix` and their values, in the order of their bytes, at most `limit`. Keys that
    /// others add to the range meanwhile are no conflict.
    ///
    /// # Errors
    /// As [`get`](Transaction::get).
    pub async fn scan<T: Durable>(
        &mut self,
        prefix: impl AsRef<[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, T)>, CoordinationError> {
        let mut start = BytesMut::from(&self.coordinator.prefix[..]);
        start.put_u8(Kind::Value as u8);
        let skipped = start.len();
        start.put_slice(prefix.as_ref());
        let start = start.freeze();
        let end = behind(&start);
        // Keys that this transaction deletes do not count, so more may have to be read.
        let deleted = self.writes.values().filter(|value| value.is_none()).count();
        let page = self
            .coordinator
            .store
            .scan(start.clone()..end.clone(), limit.saturating_add(deleted))
            .await?;
        self.read(page.into_iter().map(|(key, _)| key).collect()).await?;
        let range = (Bound::Included(start), Bound::Excluded(end));
        let mut found: BTreeMap<Bytes, Option<Bytes>> = self
            .reads
            .range(range.clone())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        found.extend(
            self.writes
                .range(range)
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        found
            .into_iter()
            .filter_map(|(key, value)| Some((key.slice(skipped..), value?)))
            .take(limit)
            .map(|(key, value)| Ok((key.clone(), decoded(&key, &value)?)))
            .collect()
    }

    /// Reads keys together with all that was read before.
    async fn read(&mut self, mut keys: Vec<Bytes>) -> Result<(), CoordinationError> {
        keys.retain(|key| !self.reads.contains_key(key));
        if keys.is_empty() {
            return Ok(());
        }
        keys.extend(self.reads.keys().cloned());
        let found = self.coordinator.store.get(&keys).await?;
        for (key, value) in keys.into_iter().zip(found) {
            match self.reads.get(&key) {
                Some(before) if *before != value => return Err(self.conflict(&key)),
                Some(_) => {}
                None => {
                    self.reads.insert(key, value);
                }
            }
        }
        Ok(())
    }

    /// Sets a key to a value.
    ///
    /// # Errors
    /// [`CoordinationError::Key`] and [`CoordinationError::Unencodable`].
    pub fn put<T: Durable>(&mut self, key: impl AsRef<[u8]>, value: &T) -> Result<(), CoordinationError> {
        let encoded = codec::encode(value).map_err(|error| CoordinationError::Unencodable {
            key: shown(key.as_ref()),
            error: error.to_string(),
        })?;
        self.put_bytes(key, encoded)
    }

    /// Sets a key to these bytes.
    ///
    /// # Errors
    /// [`CoordinationError::Key`].
    pub fn put_bytes(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> Result<(), CoordinationError> {
        let key = self.coordinator.key(Kind::Value, key.as_ref())?;
        self.writes.insert(key, Some(value.into()));
        Ok(())
    }

    /// Removes a key; one that is not there may be removed, too.
    ///
    /// # Errors
    /// [`CoordinationError::Key`].
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<(), CoordinationError> {
        let key = self.coordinator.key(Kind::Value, key.as_ref())?;
        self.writes.insert(key, None);
        Ok(())
    }

    /// The commit is refused if this lock has changed hands by then.
    pub fn require(&mut self, lock: &LockGuard) {
        self.required.push((Arc::from(lock.key()), lock.fence()));
    }

    /// Makes the writes durable, if everything that was read is as it was. Without writes it checks just that.
    ///
    /// # Errors
    /// [`CoordinationError::Conflict`]: nothing was written. [`CoordinationError::Store`] when the store fails.
    pub async fn commit(mut self) -> Result<(), CoordinationError> {
        let mut batch = Batch::default();
        batch
            .conditions
            .extend(self.required.iter().map(|(_, condition)| condition.clone()));
        let reads: Vec<Bytes> = self.reads.keys().cloned().collect();
        batch.conditions.extend(
            self.reads
                .iter()
                .map(|(key, found)| unchanged(key, found.as_ref())),
        );
        // The user's values may be the same as another's: the mark is what tells whether a commit of unknown outcome was
        // applied.
        let mark = (!self.writes.is_empty()).then(|| self.coordinator.marks.take());
        if let Some(mark) = &mark {
            let key = self.coordinator.key(Kind::Mark, &mark.name)?;
            let value = Bytes::copy_from_slice(&nonce().to_be_bytes());
            batch.writes.push(Write::Put(key, value));
        }
        batch.writes.extend(
            std::mem::take(&mut self.writes)
                .into_iter()
                .map(|(key, value)| match value {
                    Some(value) => Write::Put(key, value),
                    None => Write::Delete(key),
                }),
        );
        match commit_one(self.coordinator.store.as_ref(), &batch).await? {
            Verdict::Applied => Ok(()),
            Verdict::Conflict(index) => Err(match self.required.get(index) {
                Some((lock, _)) => CoordinationError::Conflict {
                    key: format!("the lock `{lock}`"),
                },
                None => match reads.get(index - self.required.len()) {
                    Some(key) => {
                        let key = key.clone();
                        self.conflict(&key)
                    }
                    None => CoordinationError::Conflict {
                        key: "a key".to_owned(),
                    },
                },
            }),
        }
    }

    fn conflict(&mut self, key: &Bytes) -> CoordinationError {
        self.conflicted = true;
        CoordinationError::Conflict {
            key: shown(key.get(self.coordinator.prefix.len() + 1..).unwrap_or_default()),
        }
    }
}

fn decoded<T: Durable>(key: &[u8], value: &Bytes) -> Result<T, CoordinationError> {
    codec::decode(value).map_err(|error| CoordinationError::Undecodable {
        key: shown(key),
        wanted: std::any::type_name::<T>(),
        error: error.to_string(),
    })
}

fn shown(key: &[u8]) -> String {
    format!("`{}`", key.escape_ascii())
}

/// The smallest key behind all that begin with `start`.
fn behind(start: &Bytes) -> Bytes {
    let mut end = start.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            break;
        }
        end.pop();
    }
    end.into()
}

impl fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Transaction")
            .field("reads", &self.reads.len())
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}
