//! Locks: one record says who has the lock, another until when.
//!
//! The first changes only when the lock changes hands, so it can be a condition of whatever is written under the lock;
//! the second is written with each renewal. Whoever takes an expired lock changes the first under the condition that
//! neither has changed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{CoordinationError, Coordinator, Kind, LONGEST_TTL, SHORTEST_TTL, decode, nonce, unchanged};
use crate::engine::committer::commit_one;
use crate::record;
use crate::store::{self, Batch, Condition, Store, Verdict, Write};

/// Who has a lock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OwnerRecord {
    /// How often the lock has changed hands.
    pub(super) token: u64,
    /// Whether anybody has it.
    pub(super) held: bool,
    pub(super) name: String,
    pub(super) nonce: u64,
}

/// Until when the lock's holder has it, if he does not renew it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExpiryRecord {
    pub(super) expires_ms: u64,
    /// Tells one renewal from the next.
    renewal: u64,
}

/// Where a lock's records are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) owner: Bytes,
    pub(super) expiry: Bytes,
}

/// What stands there.
pub(super) struct Standing {
    owner: Option<Bytes>,
    expiry: Option<Bytes>,
    pub(super) record: Option<OwnerRecord>,
    pub(super) expires_ms: u64,
}

impl Standing {
    pub(super) async fn read(store: &dyn Store, place: &Place) -> Result<Self, CoordinationError> {
        let mut found = store
            .get(&[place.owner.clone(), place.expiry.clone()])
            .await?
            .into_iter();
        let (owner, expiry) = (found.next().flatten(), found.next().flatten());
        let record = owner
            .as_ref()
            .map(|value| decode(&place.owner, value))
            .transpose()?;
        let expires = expiry
            .as_ref()
            .map(|value| decode::<ExpiryRecord>(&place.expiry, value))
            .transpose()?;
        Ok(Standing {
            owner,
            expiry,
            record,
            expires_ms: expires.map_or(0, |expires| expires.expires_ms),
        })
    }

    /// Who has the lock at `now_ms`.
    pub(super) fn holder(&self, now_ms: u64) -> Option<&OwnerRecord> {
        self.record
            .as_ref()
            .filter(|record| record.held && self.expires_ms > now_ms)
    }
}

impl Coordinator {
    /// Waits until the lock `key` is free, and takes it. The guard renews it as long as it lives; a process that dies
    /// loses the lock after `ttl` by the store's clock. Whoever waits is not served in any order.
    ///
    /// # Errors
    /// [`CoordinationError::Key`], [`CoordinationError::Ttl`], and [`CoordinationError::Store`] when the store fails.
    pub async fn acquire_lock(
        &self,
        key: impl AsRef<str>,
        ttl: Duration,
    ) -> Result<LockGuard, CoordinationError> {
        let place = self.lock_place(key.as_ref())?;
        acquire(&self.store, &place, key.as_ref(), &self.name, ttl).await
    }

    /// Takes the lock `key` if it is free.
    ///
    /// # Errors
    /// As [`acquire_lock`](Coordinator::acquire_lock).
    pub async fn try_acquire_lock(
        &self,
        key: impl AsRef<str>,
        ttl: Duration,
    ) -> Result<Option<LockGuard>, CoordinationError> {
        let place = self.lock_place(key.as_ref())?;
        match attempt(&self.store, &place, key.as_ref(), &self.name, ttl).await? {
            Attempt::Taken(guard) => Ok(Some(guard)),
            Attempt::Busy { .. } => Ok(None),
        }
    }

    fn lock_place(&self, key: &str) -> Result<Place, CoordinationError> {
        Ok(Place {
            owner: self.key(Kind::Lock, key.as_bytes())?,
            expiry: self.key(Kind::LockExpiry, key.as_bytes())?,
        })
    }
}

/// Waits for a lock.
pub(super) async fn acquire(
    store: &Arc<dyn Store>,
    place: &Place,
    key: &str,
    name: &str,
    ttl: Duration,
) -> Result<LockGuard, CoordinationError> {
    let mut pause = Duration::from_millis(5);
    loop {
        match attempt(store, place, key, name, ttl).await? {
            Attempt::Taken(guard) => return Ok(guard),
            Attempt::Busy { for_ms } => {
                let rest = Duration::from_millis(for_ms.max(1));
                tokio::time::sleep(pause.min(rest)).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
        }
    }
}

enum Attempt {
    Taken(LockGuard),
    /// Somebody has it, for so long at the least unless it is released.
    Busy {
        for_ms: u64,
    },
}

async fn attempt(
    store: &Arc<dyn Store>,
    place: &Place,
    key: &str,
    name: &str,
    ttl: Duration,
) -> Result<Attempt, CoordinationError> {
    if ttl < SHORTEST_TTL || ttl > LONGEST_TTL {
        return Err(CoordinationError::Ttl { ttl });
    }
    // Before the store's clock is read, so that the local deadline is never behind the stored one.
    let begun = Instant::now();
    let standing = Standing::read(store.as_ref(), place).await?;
    let now_ms = store.now_ms().await?;
    if standing.holder(now_ms).is_some() {
        return Ok(Attempt::Busy {
            for_ms: standing.expires_ms - now_ms,
        });
    }
    let token = standing.record.as_ref().map_or(0, |record| record.token) + 1;
    let value = record::encode(&OwnerRecord {
        token,
        held: true,
        name: name.to_owned(),
        nonce: nonce(),
    });
    let batch = Batch {
        conditions: vec![
            unchanged(&place.owner, standing.owner.as_ref()),
            unchanged(&place.expiry, standing.expiry.as_ref()),
        ],
        writes: vec![
            Write::Put(place.owner.clone(), value.clone()),
            Write::Put(place.expiry.clone(), expiry(now_ms, ttl, 0)),
        ],
    };
    if commit_one(store.as_ref(), &batch).await? != Verdict::Applied {
        return Ok(Attempt::Busy { for_ms: 1 });
    }
    let holding = Arc::new(Holding {
        store: store.clone(),
        place: place.clone(),
        value,
        ttl,
        state: watch::Sender::new(Some(begun + local(ttl))),
    });
    let renewing = tokio::spawn(renew(holding.clone()));
    Ok(Attempt::Taken(LockGuard {
        key: Arc::from(key),
        token,
        holding,
        renewing,
    }))
}

fn expiry(now_ms: u64, ttl: Duration, renewal: u64) -> Bytes {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    record::encode(&ExpiryRecord {
        expires_ms: now_ms.saturating_add(ttl_ms),
        renewal,
    })
}

/// For how long the holder trusts a renewal: clocks do not run equally fast.
fn local(ttl: Duration) -> Duration {
    ttl - ttl / 10
}

/// What the guard and the task that renews it share.
struct Holding {
    store: Arc<dyn Store>,
    place: Place,
    value: Bytes,
    ttl: Duration,
    /// Until when the lock is held for certain; `None` when it is lost or released.
    state: watch::Sender<Option<Instant>>,
}

impl Holding {
    fn fence(&self) -> Condition {
        Condition::Equals(self.place.owner.clone(), self.value.clone())
    }

    fn is_held(&self) -> bool {
        self.state.borrow().is_some_and(|until| Instant::now() < until)
    }

    async fn release(&self) -> Result<(), store::Error> {
        let record: Result<OwnerRecord, _> = workflow_model::codec::decode(&self.value);
        let Ok(record) = record else { return Ok(()) };
        self.state.send_replace(None);
        let free = OwnerRecord {
            held: false,
            nonce: nonce(),
            ..record
        };
        let batch = Batch {
            conditions: vec![self.fence()],
            writes: vec![
                Write::Put(self.place.owner.clone(), record::encode(&free)),
                Write::Delete(self.place.expiry.clone()),
            ],
        };
        commit_one(self.store.as_ref(), &batch).await.map(drop)
    }
}

/// Renews a lock until it is lost.
async fn renew(holding: Arc<Holding>) {
    for renewal in 1u64.. {
        let Some(until) = *holding.state.borrow() else {
            return;
        };
        tokio::time::sleep(holding.ttl / 3).await;
        let renewed = tokio::time::timeout_at(until, renewed(&holding, renewal)).await;
        // A release came first, or nobody heard of the store in time, or somebody else has the lock.
        let Ok(Some(until)) = renewed else {
            holding.state.send_replace(None);
            return;
        };
        let is_held = holding.state.send_if_modified(|state| {
            let is_held = state.is_some();
            if is_held {
                *state = Some(until);
            }
            is_held
        });
        if !is_held {
            return;
        }
    }
}

/// Renews a lock once, however often the store has to be asked; `None` when somebody else has it.
async fn renewed(holding: &Holding, renewal: u64) -> Option<Instant> {
    loop {
        let begun = Instant::now();
        if let Ok(now_ms) = holding.store.now_ms().await {
            let batch = Batch {
                conditions: vec![holding.fence()],
                writes: vec![Write::Put(
                    holding.place.expiry.clone(),
                    expiry(now_ms, holding.ttl, renewal),
                )],
            };
            match commit_one(holding.store.as_ref(), &batch).await {
                Ok(Verdict::Applied) => return Some(begun + local(holding.ttl)),
                Ok(Verdict::Conflict(_)) => return None,
                Err(_) => {}
            }
        }
        tokio::time::sleep(holding.ttl / 20).await;
    }
}

/// A lock that is held. It renews itself; dropping it releases the lock, as far as the store can be reached.
///
/// A holder can lose the lock: it was paused, or cut off from the store, for longer than the time to live. Then
/// [`lost`](LockGuard::lost) returns, and [`is_held`](LockGuard::is_held) says so, before anybody else can have the lock,
/// as long as the process's monotonic clock does not run more than a tenth slower than the store's. What must not happen
/// twice even then is written under the lock's condition ([`Transaction::require`](super::Transaction::require)), or
/// handed to the guarded service with the [`token`](LockGuard::token), which refuses lower ones than it has seen.
///
/// ```
/// use std::time::Duration;
/// use workflow_runtime::coordination::Coordinator;
/// use workflow_runtime::store::MemoryStore;
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// let coordinator = Coordinator::new(MemoryStore::new());
/// let lock = coordinator.acquire_lock("printer", Duration::from_secs(5)).await?;
/// tokio::select! {
///     () = async { /* work */ } => {}
///     () = lock.lost() => { /* stop */ }
/// }
/// let first = lock.token();
/// lock.release().await?;
/// let again = coordinator.acquire_lock("printer", Duration::from_secs(5)).await?;
/// assert!(again.token() > first);
/// # Ok::<(), workflow_runtime::coordination::CoordinationError>(())
/// # }).unwrap();
/// ```
#[must_use = "the lock is released when this is dropped"]
pub struct LockGuard {
    key: Arc<str>,
    token: u64,
    holding: Arc<Holding>,
    renewing: tokio::task::JoinHandle<()>,
}

impl LockGuard {
    /// The lock's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The fencing token: each holder of this lock has a higher one than all before.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether the lock is held for certain.
    pub fn is_held(&self) -> bool {
        self.holding.is_held()
    }

    /// Waits until the lock is lost. It does not come back.
    pub async fn lost(&self) {
        let mut state = self.holding.state.subscribe();
        loop {
            let Some(until) = *state.borrow_and_update() else {
                return;
            };
            tokio::select! {
                biased;
                changed = state.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until) => if !self.is_held() { return },
            }
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// When the store fails; the lock is free after its time to live then.
    pub async fn release(self) -> Result<(), CoordinationError> {
        Ok(self.holding.release().await?)
    }

    /// Holds in the store as long as nobody else has taken the lock.
    pub(super) fn fence(&self) -> Condition {
        self.holding.fence()
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.renewing.abort();
        // Released already?
        if self.holding.state.borrow().is_none() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let holding = self.holding.clone();
            runtime.spawn(async move {
                let _ = holding.release().await;
            });
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LockGuard")
            .field("key", &self.key)
            .field("token", &self.token)
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}
