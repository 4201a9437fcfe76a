//! The instances in memory, one entry each.
//!
//! Invariant: an instance that is in the map is run by exactly one task of this engine, and is told after each message
//! that is committed for it. It leaves the map under the map's lock, and only when it was told nothing since it last
//! read its messages; whoever commits a message afterwards finds it gone and loads it again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use workflow_model::InstanceId;

use super::lease::Lease;
use crate::keys;

/// An instance in memory.
#[derive(Debug)]
pub(crate) struct Hot {
    /// What lets this engine run the instance.
    pub(crate) lease: Arc<Lease>,
    pub(crate) notify: Notify,
    /// How often the instance was told that there may be new messages.
    told: AtomicU64,
    /// What it had been told when it last read its messages.
    read_at: AtomicU64,
    leave: AtomicBool,
    /// A hash of the ready record that the instance knows.
    ready: AtomicU64,
    control: Mutex<Option<Control>>,
    /// Orders that it was given, so that none is given twice.
    given: Mutex<Vec<Bytes>>,
    /// Wakes the instance's task, whatever it is doing.
    pub(crate) waker: AtomicWaker,
}

/// What an instance was told to do from outside.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) verb: Verb,
    /// The stored message that says so.
    pub(crate) key: Bytes,
    pub(crate) reason: String,
}

/// Weaker verbs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// Its code is told at an await, and may clean up.
    Cancel,
    /// It stops until it is resumed.
    Pause,
    /// It ends at once.
    Terminate,
}

impl Verb {
    pub(crate) const ALL: [Verb; 3] = [Verb::Cancel, Verb::Pause, Verb::Terminate];

    /// The name of the stored message; users' signals hold no control characters.
    pub(crate) fn signal(self) -> &'static str {
        match self {
            Verb::Cancel => "\u{1}cancel",
            Verb::Pause => "\u{1}pause",
            Verb::Terminate => "\u{1}terminate",
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hot {
    /// How often the instance was told that there may be new messages.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    /// Notes that the instance has read its messages.
    pub(crate) fn note_read(&self, told: u64) {
        self.read_at.store(told, Ordering::Release);
    }

    /// Whether it was told of messages that it has not read.
    pub(crate) fn has_unread(&self) -> bool {
        self.told() > self.read_at.load(Ordering::Acquire)
    }

    /// Tells the instance that there may be new messages.
    pub(crate) fn tell(&self) {
        self.told.fetch_add(1, Ordering::AcqRel);
        self.notify.notify_waiters();
    }

    /// Asks a waiting instance to leave the memory.
    pub(crate) fn ask_to_leave(&self) {
        self.leave.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Gives the instance an order, unless it has a stronger one.
    pub(crate) fn order(&self, control: Control) {
        {
            let mut given = lock(&self.given);
            if given.contains(&control.key) {
                return;
            }
            given.push(control.key.clone());
        }
        let mut current = lock(&self.control);
        if current.as_ref().is_none_or(|current| current.verb < control.verb) {
            *current = Some(control);
        }
        drop(current);
        self.notify.notify_waiters();
        self.waker.wake();
    }

    /// The instance has read, or written, this ready record.
    pub(crate) fn note_ready(&self, value: &Bytes) {
        self.ready.store(keys::hash(value), Ordering::Release);
    }

    /// Whether the instance has looked at its messages since the ready record got this value.
    pub(crate) fn knows_ready(&self, value: &Bytes) -> bool {
        self.ready.load(Ordering::Acquire) == keys::hash(value)
    }

    /// The pending order, if it is of this kind.
    pub(crate) fn ordered(&self, wanted: impl Fn(Verb) -> bool) -> Option<Control> {
        lock(&self.control)
            .as_ref()
            .filter(|control| wanted(control.verb))
            .cloned()
    }

    /// The order to cancel has been passed on.
    pub(crate) fn take_cancel(&self) -> Option<Control> {
        lock(&self.control).take_if(|control| control.verb == Verb::Cancel)
    }

    /// Waits for an order to cancel.
    pub(crate) async fn cancelled(&self) {
        loop {
            let notified = self.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.ordered(|verb| verb == Verb::Cancel).is_some() {
                return;
            }
            notified.await;
        }
    }

    pub(crate) fn should_leave(&self) -> bool {
        self.leave.load(Ordering::Acquire)
    }
}

/// All instances in memory.
#[derive(Debug)]
pub(crate) struct HotMap {
    parts: Vec<Mutex<HashMap<InstanceId, Arc<Hot>>>>,
    hasher: RandomState,
    /// Waiting instances that are still in memory, oldest first.
    waiting: Mutex<VecDeque<(InstanceId, std::sync::Weak<Hot>)>>,
    waiting_limit: usize,
}

impl HotMap {
    pub(crate) fn new(waiting_limit: usize) -> Self {
        HotMap {
            parts: (0..16).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            waiting: Mutex::default(),
            waiting_limit,
        }
    }

    fn part(&self, id: &InstanceId) -> MutexGuard<'_, HashMap<InstanceId, Arc<Hot>>> {
        let index = usize::try_from(self.hasher.hash_one(id) % 16).unwrap_or(0);
        lock(&self.parts[index])
    }

    /// Enters an instance; `None` when it is there already. `unread` says that it may have messages in the store.
    pub(crate) fn enter(&self, id: &InstanceId, lease: Arc<Lease>, unread: bool) -> Option<Arc<Hot>> {
        let mut part = self.part(id);
        if part.contains_key(id) {
            return None;
        }
        let hot = Arc::new(Hot {
            lease,
            notify: Notify::new(),
            told: AtomicU64::new(u64::from(unread)),
            read_at: AtomicU64::new(0),
            leave: AtomicBool::new(false),
            ready: AtomicU64::new(0),
            control: Mutex::default(),
            given: Mutex::default(),
            waker: AtomicWaker::new(),
        });
        part.insert(id.clone(), hot.clone());
        Some(hot)
    }

    pub(crate) fn get(&self, id: &InstanceId) -> Option<Arc<Hot>> {
        self.part(id).get(id).cloned()
    }

    pub(crate) fn contains(&self, id: &InstanceId) -> bool {
        self.part(id).contains_key(id)
    }

    pub(crate) fn count(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len()).sum()
    }

    /// Tells an instance of a message that was committed for it; false when it is not in memory.
    pub(crate) fn tell(&self, id: &InstanceId) -> bool {
        let part = self.part(id);
        let Some(hot) = part.get(id) else { return false };
        hot.tell();
        true
    }

    /// Gives an instance an order that is committed; false when it is not in memory.
    pub(crate) fn order(&self, id: &InstanceId, control: Control) -> bool {
        let part = self.part(id);
        let Some(hot) = part.get(id) else { return false };
        hot.told.fetch_add(1, Ordering::AcqRel);
        hot.order(control);
        true
    }

    /// Removes an instance that has ended.
    pub(crate) fn remove(&self, id: &InstanceId) {
        self.part(id).remove(id);
    }

    /// Removes a waiting instance unless it was told of something since `read_at`, when it last read its messages.
    pub(crate) fn try_leave(&self, id: &InstanceId, hot: &Hot, read_at: u64) -> bool {
        let mut part = self.part(id);
        if hot.told() != read_at {
            return false;
        }
        part.remove(id);
        true
    }

    /// Notes that an instance waits; when too many do, the one that has waited longest is asked to leave.
    pub(crate) fn note_waiting(&self, id: &InstanceId, hot: &Arc<Hot>) {
        let mut waiting = lock(&self.waiting);
        waiting.push_back((id.clone(), Arc::downgrade(hot)));
        while waiting.len() > self.waiting_limit {
            let Some((_, oldest)) = waiting.pop_front() else {
                break;
            };
            if let Some(oldest) = oldest.upgrade() {
                oldest.ask_to_leave();
            }
        }
    }

    /// Wakes what runs under a lease, or everything, so that it sees that it has to stop.
    pub(crate) fn wake(&self, lease: Option<&Arc<Lease>>) {
        for part in &self.parts {
            for hot in lock(part).values() {
                if lease.is_none_or(|lease| Arc::ptr_eq(lease, &hot.lease)) {
                    hot.notify.notify_waiters();
                }
            }
        }
    }
}
