//! The instances in memory, one entry each.
//!
//! Invariant: an instance that is in the map is run by exactly one task of this engine, and is told after each message
//! that is committed for it. It leaves the map under the map's lock, and only when it was told nothing since it last
//! read its messages; whoever commits a message afterwards finds it gone and loads it again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use workflow_model::InstanceId;

/// An instance in memory.
#[derive(Debug)]
pub(crate) struct Hot {
    pub(crate) notify: Notify,
    /// Messages were stored since the instance last read them.
    unread: AtomicBool,
    leave: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hot {
    /// Takes note that the instance reads its messages now.
    pub(crate) fn take_unread(&self) -> bool {
        self.unread.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Acquire)
    }

    /// The messages could not be read.
    pub(crate) fn set_unread(&self) {
        self.unread.store(true, Ordering::Release);
    }

    /// Asks a waiting instance to leave the memory.
    fn ask_to_leave(&self) {
        self.leave.store(true, Ordering::Release);
        self.notify.notify_one();
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
    pub(crate) fn enter(&self, id: &InstanceId, unread: bool) -> Option<Arc<Hot>> {
        let mut part = self.part(id);
        if part.contains_key(id) {
            return None;
        }
        let hot = Arc::new(Hot {
            notify: Notify::new(),
            unread: AtomicBool::new(unread),
            leave: AtomicBool::new(false),
        });
        part.insert(id.clone(), hot.clone());
        Some(hot)
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
        hot.unread.store(true, Ordering::Release);
        hot.notify.notify_one();
        true
    }

    /// Removes an instance that has ended.
    pub(crate) fn remove(&self, id: &InstanceId) {
        self.part(id).remove(id);
    }

    /// Removes a waiting instance unless it was told of something that it has not read.
    pub(crate) fn try_leave(&self, id: &InstanceId, hot: &Hot) -> bool {
        let mut part = self.part(id);
        if hot.unread.load(Ordering::Acquire) {
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

    /// Wakes everything, so that it sees that the engine shuts down.
    pub(crate) fn wake_all(&self) {
        for part in &self.parts {
            lock(part).values().for_each(|hot| hot.notify.notify_one());
        }
    }
}
