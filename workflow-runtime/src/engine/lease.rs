//! Leases: the right to run the instances of a shard, one record per shard in the store.
//!
//! Invariant: a batch that changes the state of an instance has the condition that the lease record of its shard is the
//! one that this engine wrote. Whoever takes the shard over changes the record, so a former holder can write nothing,
//! whatever it believes about its lease or the time. What ends here (`Lease::gate`, the deadline) only spares work that
//! could not be written any more.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use workflow_model::InstanceId;

use super::gate::Gate;
use crate::halt::Halt;
use crate::keys::Keys;
use crate::record;
use crate::store::{Condition, Write};

/// For how long a lease that has ended is remembered.
const LATELY: Duration = Duration::from_secs(60);

/// Who may run a shard's instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    /// The number of the holder's node; 0 when nobody holds the shard.
    pub(crate) node: u64,
    /// How often the shard has changed hands.
    pub(crate) epoch: u64,
    /// The holder before this one left in order: nothing of its was at work when it did.
    pub(crate) clean: bool,
    /// The holder shares the store with nobody, and holds the shard until the next engine opens the store.
    pub(crate) sole: bool,
}

impl LeaseRecord {
    /// The record of the next holder. `clean` is judged by whoever takes the shard.
    pub(crate) fn next(found: Option<&LeaseRecord>, node: u64, clean: bool) -> Self {
        LeaseRecord {
            node,
            epoch: found.map_or(0, |found| found.epoch) + 1,
            clean,
            sole: false,
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        record::encode(self)
    }
}

/// The time until which the leases of this node hold for certain, by the process's own monotonic clock.
pub(crate) struct Deadline {
    base: Instant,
    /// Milliseconds after `base`; `u64::MAX` when the leases have no end.
    after_ms: AtomicU64,
}

impl Deadline {
    pub(crate) fn never() -> Self {
        Deadline {
            base: Instant::now(),
            after_ms: AtomicU64::new(u64::MAX),
        }
    }

    /// Only its holder moves it, and only forward.
    pub(crate) fn set(&self, until: Instant) {
        let after = until.saturating_duration_since(self.base);
        self.after_ms.store(
            u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            Ordering::SeqCst,
        );
    }

    pub(crate) fn has_passed(&self) -> bool {
        let after_ms = self.after_ms.load(Ordering::Relaxed);
        after_ms != u64::MAX && self.base.elapsed() >= Duration::from_millis(after_ms)
    }

    /// When it passes; `None` for never.
    pub(crate) fn at(&self) -> Option<Instant> {
        let after_ms = self.after_ms.load(Ordering::SeqCst);
        (after_ms != u64::MAX).then(|| self.base + Duration::from_millis(after_ms))
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Deadline({:?})", self.at())
    }
}

/// A lease that this engine holds, or held: one object for each time that it got a shard.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) shard: u16,
    key: Bytes,
    value: Bytes,
    /// The work under this lease.
    pub(crate) gate: Gate,
    deadline: Arc<Deadline>,
    /// Of a claim on one instance of another node's shard: the key of its index record.
    orphan: Option<Bytes>,
}

impl Lease {
    pub(crate) fn new(shard: u16, key: Bytes, value: Bytes, deadline: Arc<Deadline>) -> Self {
        Lease {
            shard,
            key,
            value,
            gate: Gate::default(),
            deadline,
            orphan: None,
        }
    }

    /// A claim on one instance of another node's shard.
    pub(crate) fn claim(
        shard: u16,
        key: Bytes,
        value: Bytes,
        deadline: Arc<Deadline>,
        orphan: Bytes,
    ) -> Self {
        Lease {
            orphan: Some(orphan),
            ..Lease::new(shard, key, value, deadline)
        }
    }

    pub(crate) fn is_claim(&self) -> bool {
        self.orphan.is_some()
    }

    /// What ends a claim; the lease of a shard is ended by whoever takes the shard.
    pub(crate) fn end(&self) -> impl Iterator<Item = Write> {
        let orphan = self.orphan.iter();
        orphan.flat_map(|orphan| [Write::Delete(self.key.clone()), Write::Delete(orphan.clone())])
    }

    /// Holds as long as nobody else has taken what is leased.
    pub(crate) fn fence(&self) -> Condition {
        Condition::Equals(self.key.clone(), self.value.clone())
    }

    pub(crate) fn key(&self) -> &Bytes {
        &self.key
    }

    pub(crate) fn value(&self) -> &Bytes {
        &self.value
    }

    /// Whether new work may begin under it.
    pub(crate) fn check(&self) -> Result<(), Halt> {
        self.gate.check()?;
        if self.deadline.has_passed() {
            return Err(Halt::Fenced);
        }
        Ok(())
    }
}

/// The leases that this engine holds, by shard.
#[derive(Debug)]
pub(crate) struct Leases {
    shards: RwLock<Vec<Option<Arc<Lease>>>>,
    /// Leases that ended a short while ago.
    former: Mutex<Vec<(Arc<Lease>, Instant)>>,
    keys: Keys,
}

impl Leases {
    pub(crate) fn new(keys: Keys) -> Self {
        Leases {
            shards: RwLock::new(vec![None; keys.shards().len()]),
            former: Mutex::default(),
            keys,
        }
    }

    fn read<T>(&self, work: impl FnOnce(&[Option<Arc<Lease>>]) -> T) -> T {
        work(&self.shards.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lease of an instance's shard, if it is this engine's.
    pub(crate) fn of(&self, id: &InstanceId) -> Option<Arc<Lease>> {
        self.at(self.keys.shard(id))
    }

    pub(crate) fn at(&self, shard: u16) -> Option<Arc<Lease>> {
        self.read(|shards| shards.get(usize::from(shard)).cloned().flatten())
    }

    pub(crate) fn all(&self) -> Vec<Arc<Lease>> {
        self.read(|shards| shards.iter().flatten().cloned().collect())
    }

    pub(crate) fn insert(&self, lease: Arc<Lease>) {
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = shards.get_mut(usize::from(lease.shard)) {
            *place = Some(lease);
        }
    }

    /// Forgets this lease; false when it is not held any more.
    pub(crate) fn remove(&self, lease: &Arc<Lease>) -> bool {
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        match shards.get_mut(usize::from(lease.shard)) {
            Some(place) if place.as_ref().is_some_and(|held| Arc::ptr_eq(held, lease)) => {
                *place = None;
                let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
                former.retain(|(lease, ended)| lease.gate.inside() > 0 || ended.elapsed() < LATELY);
                former.push((lease.clone(), Instant::now()));
                true
            }
            _ => false,
        }
    }

    fn former(&self, holds: impl Fn(&Lease, Instant) -> bool) -> bool {
        let former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        former.iter().any(|(lease, ended)| holds(lease, *ended))
    }

    /// Whether nothing runs any more under the former leases of a shard.
    pub(crate) fn is_clear(&self, shard: u16) -> bool {
        !self.former(|lease, _| lease.shard == shard && lease.gate.inside() > 0)
    }

    /// Whether a shard was this engine's a short while ago: a batch that was made then may be committed now.
    pub(crate) fn was_lately(&self, shard: u16) -> bool {
        self.former(|lease, ended| lease.shard == shard && ended.elapsed() < LATELY)
    }
}
