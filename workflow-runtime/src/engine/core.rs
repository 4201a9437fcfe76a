//! What the parts of an engine share: the store and its keys, the instances in memory, the clock, the end of the engine.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use workflow_model::{InstanceId, codec};

use super::committer::Committer;
use super::gate::Gate;
use super::hot::HotMap;
use super::lease::{Lease, Leases};
use super::registry::{Entry, MessageEntry};
use super::timers::Timers;
use crate::cluster::Membership;
use crate::join::timers_of;
use crate::keys::{self, Keys, Kind};
use crate::record::{AttemptsRecord, MessageRecord, OutcomeRecord, Position, StateRecord, UpdateRecord};
use crate::store::{Error, Store};
use crate::task_context::States;

/// How many records one scan reads.
pub(crate) const PAGE: usize = 1000;

/// The shared parts of an engine.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
    /// The shards whose instances this engine may run.
    pub(crate) leases: Leases,
    pub(crate) committer: Committer,
    pub(crate) hot: HotMap,
    pub(crate) timers: Timers,
    pub(crate) states: Arc<States>,
    pub(crate) entries: HashMap<&'static str, Entry>,
    /// What each workflow receives.
    pub(crate) inboxes: HashMap<&'static str, Vec<MessageEntry>>,
    pub(crate) counters: Counters,
    /// After so many deaths of the process at one step, the step counts as their cause.
    pub(crate) poison_limit: u32,
    /// The engine's place among others; `None` when it has the store alone.
    pub(crate) membership: Option<Membership>,
    clock: Clock,
    waiters: Mutex<HashMap<InstanceId, Vec<oneshot::Sender<OutcomeRecord>>>>,
    /// All work of the engine; that of a shard passes the gate of its lease, too.
    pub(crate) gate: Gate,
    /// Those who wait for the replies to updates, by the updates' keys.
    askers: Mutex<HashMap<Bytes, Vec<oneshot::Sender<UpdateRecord>>>>,
    message_count: AtomicU64,
    tokens: AtomicU64,
}

/// A message that is stored and not received yet.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) key: Bytes,
    pub(crate) signal: String,
    pub(crate) payload: Bytes,
    /// The name of the request, if somebody waits for a reply.
    pub(crate) request: Option<String>,
}

/// What an engine has done since it was built.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    loads: AtomicU64,
}

impl Counters {
    pub(crate) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn loaded(&self) {
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }
}

/// The store's clock, followed with the process's own monotonic one between two looks at it.
#[derive(Debug)]
struct Clock {
    base_ms: AtomicU64,
    start: Instant,
}

/// The parts that [`Core::new`] puts together.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
    /// How many engines had opened the store when this one had: no other one has its number.
    pub(crate) epoch: u64,
    pub(crate) states: States,
    pub(crate) entries: HashMap<&'static str, Entry>,
    pub(crate) inboxes: HashMap<&'static str, Vec<MessageEntry>>,
    pub(crate) poison_limit: u32,
    pub(crate) waiting_limit: usize,
    pub(crate) membership: Option<Membership>,
}

impl Core {
    pub(crate) async fn new(parts: Parts) -> Result<Self, Error> {
        let now_ms = parts.store.now_ms().await?;
        let committer =
            Committer::new(parts.store.clone()).map_err(|error| Error::Unavailable(error.to_string()))?;
        let timers = Timers::new(parts.keys.shards().len());
        let leases = Leases::new(parts.keys.clone());
        Ok(Core {
            store: parts.store,
            keys: parts.keys,
            leases,
            committer,
            hot: HotMap::new(parts.waiting_limit),
            timers,
            states: Arc::new(parts.states),
            entries: parts.entries,
            inboxes: parts.inboxes,
            counters: Counters::default(),
            poison_limit: parts.poison_limit,
            membership: parts.membership,
            clock: Clock {
                base_ms: AtomicU64::new(now_ms),
                start: Instant::now(),
            },
            waiters: Mutex::default(),
            gate: Gate::default(),
            askers: Mutex::default(),
            message_count: AtomicU64::new(parts.epoch << 32),
            // Unique among all engines that ever open this store: the epoch is.
            tokens: AtomicU64::new(parts.epoch << 32),
        })
    }

    pub(crate) fn new_token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_message(&self) -> u64 {
        self.message_count.fetch_add(1, Ordering::Relaxed)
    }

    // Time.

    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.clock.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.clock.base_ms.load(Ordering::Relaxed).saturating_add(elapsed)
    }

    /// Looks at the store's clock again; the engine's time never goes back.
    pub(crate) async fn follow_clock(&self) {
        if let Ok(store_ms) = self.store.now_ms().await {
            let ahead = store_ms.saturating_sub(self.now_ms());
            self.clock.base_ms.fetch_add(ahead, Ordering::Relaxed);
        }
    }

    pub(crate) fn until(&self, due_ms: u64) -> Duration {
        Duration::from_millis(due_ms.saturating_sub(self.now_ms()))
    }

    // Reads.

    pub(crate) async fn read_one(&self, key: &Bytes) -> Result<Option<Bytes>, Error> {
        Ok(self.store.get(std::slice::from_ref(key)).await?.pop().flatten())
    }

    pub(crate) async fn read_all(&self, range: std::ops::Range<Bytes>) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let mut all = Vec::new();
        let mut start = range.start;
        loop {
            let page = self.store.scan(start..range.end.clone(), PAGE).await?;
            let full = page.len() == PAGE;
            start = match page.last() {
                Some((key, _)) => keys::after(key),
                None => return Ok(all),
            };
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn read_messages(&self, id: &InstanceId) -> Result<Vec<Message>, Error> {
        let records = self.read_all(self.keys.numbered_range(Kind::Message, id)).await?;
        records
            .into_iter()
            .map(|(key, value)| {
                let record: MessageRecord = decode(&key, &value)?;
                Ok(Message {
                    key,
                    signal: record.signal,
                    payload: record.payload,
                    request: record.request,
                })
            })
            .collect()
    }

    /// The keys of what the pending step of an instance has in the store besides the state: results and positions of
    /// branches, failed attempts, large values, timers.
    pub(crate) async fn step_records(&self, id: &InstanceId) -> Result<Vec<Bytes>, Error> {
        let mut keys = vec![self.keys.of(Kind::Given, id), self.keys.of(Kind::Attempts, id)];
        let mut timers = Vec::new();
        let own = self
            .store
            .get(&[self.keys.of(Kind::State, id), keys[1].clone()])
            .await?;
        let mut own = own.into_iter();
        if let Some(state) = own
            .next()
            .flatten()
            .and_then(|state| StateRecord::read(state).ok())
        {
            timers.extend(timers_of(&state.operation));
        }
        timers.extend(
            own.next()
                .flatten()
                .and_then(|attempts| attempts_timer(&attempts)),
        );
        for kind in [
            Kind::Branch,
            Kind::Position,
            Kind::Attempts,
            Kind::Side,
            Kind::Given,
        ] {
            for (key, value) in self.read_all(self.keys.numbered_range(kind, id)).await? {
                match kind {
                    Kind::Position => {
                        let position = Position::read(value).map(|position| position.state.operation);
                        timers.extend(position.iter().flat_map(timers_of));
                    }
                    Kind::Attempts => timers.extend(attempts_timer(&value)),
                    _ => {}
                }
                keys.push(key);
            }
        }
        keys.extend(timers.into_iter().map(|due_ms| self.keys.timer(id, due_ms)));
        Ok(keys)
    }

    pub(crate) async fn read_outcome(&self, id: &InstanceId) -> Result<Option<OutcomeRecord>, Error> {
        let key = self.keys.of(Kind::Outcome, id);
        self.read_one(&key)
            .await?
            .map(|value| decode(&key, &value))
            .transpose()
    }

    // Results.

    pub(crate) fn wait_for_outcome(&self, id: &InstanceId) -> oneshot::Receiver<OutcomeRecord> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let list = waiters.entry(id.clone()).or_default();
        list.retain(|waiter| !waiter.is_closed());
        list.push(sender);
        receiver
    }

    pub(crate) fn announce(&self, id: &InstanceId, outcome: &OutcomeRecord) {
        let waiters = self
            .waiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        for waiter in waiters.into_iter().flatten() {
            let _ = waiter.send(outcome.clone());
        }
        if let Some(membership) = &self.membership {
            membership.tell_watchers(id);
        }
    }

    /// The instances whose ends somebody here waits for, in a fixed order.
    pub(crate) fn waited_for(&self) -> Vec<InstanceId> {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        let mut ids: Vec<InstanceId> = waiters.keys().cloned().collect();
        ids.sort();
        ids
    }

    pub(crate) fn wait_for_reply(&self, update: &Bytes) -> oneshot::Receiver<UpdateRecord> {
        let (sender, receiver) = oneshot::channel();
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        let list = askers.entry(update.clone()).or_default();
        list.retain(|asker| !asker.is_closed());
        list.push(sender);
        receiver
    }

    pub(crate) fn announce_reply(&self, update: &Bytes, record: &UpdateRecord) {
        let askers = self
            .askers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(update);
        for asker in askers.into_iter().flatten() {
            let _ = asker.send(record.clone());
        }
    }

    /// The updates for whose replies somebody here waits, by their keys, in a fixed order.
    pub(crate) fn asked_for(&self) -> Vec<Bytes> {
        let askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<Bytes> = askers.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// Removes the entry of an update for whose reply nobody waits any more.
    pub(crate) fn forget_asker(&self, update: &Bytes) {
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = askers.get_mut(update) {
            list.retain(|asker| !asker.is_closed());
            if list.is_empty() {
                askers.remove(update);
            }
        }
    }

    /// Nobody will ever be told: the engine has ended.
    pub(crate) fn forget_waiters(&self) {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.waiters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    // Leases, and the end of the engine.

    /// Takes up the instances of a shard. Nothing runs before this.
    pub(crate) fn adopt(&self, lease: Lease) -> Arc<Lease> {
        let lease = Arc::new(lease);
        self.leases.insert(lease.clone());
        self.timers.open(lease.shard);
        lease
    }

    /// Lets nothing new begin under a lease that is to be given away.
    pub(crate) fn close(&self, lease: &Arc<Lease>) {
        if self.leases.remove(lease) {
            self.timers.close(lease.shard);
        }
        lease.gate.drain();
        self.hot.wake(Some(lease));
    }

    /// What a lease gave is over: its shard belongs to somebody else, or may.
    pub(crate) fn lose(&self, lease: &Arc<Lease>) {
        if self.leases.remove(lease) {
            self.timers.close(lease.shard);
        }
        lease.gate.stop();
        self.hot.wake(Some(lease));
        if let Some(membership) = &self.membership {
            membership.look();
        }
    }

    /// No new attempts begin; waiting instances leave.
    pub(crate) fn drain(&self) {
        self.gate.drain();
        for lease in self.leases.all() {
            lease.gate.drain();
        }
        self.hot.wake(None);
        self.timers.wake();
    }

    /// Attempts that run are dropped.
    pub(crate) fn stop(&self) {
        self.gate.stop();
        for lease in self.leases.all() {
            lease.gate.stop();
        }
        self.drain();
    }

    /// Lets an instance begin to run under a lease; false when nothing may any more.
    pub(crate) fn instance_begins(&self, lease: &Lease) -> bool {
        if !self.gate.enter() {
            return false;
        }
        if lease.check().is_err() || !lease.gate.enter() {
            self.gate.leave();
            return false;
        }
        self.committer.instance_begins();
        true
    }

    pub(crate) fn instance_ends(&self, lease: &Lease) {
        self.committer.instance_ends();
        lease.gate.leave();
        self.gate.leave();
    }
}

/// The timer that wakes an instance for its next attempt.
fn attempts_timer(attempts: &Bytes) -> Option<u64> {
    let attempts: AttemptsRecord = codec::decode(attempts).ok()?;
    attempts.timer.then_some(attempts.due_ms)
}

/// Decodes a record of the engine.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(key: &Bytes, value: &Bytes) -> Result<T, Error> {
    codec::decode(value)
        .map_err(|error| Error::Corrupt(format!("the record {key:?} cannot be read: {error}")))
}
