//! How long the journal is, and when that should change: what the writer tells the [`super::keeper`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A journal that is longer than twice its length after the last look, plus this, is looked at again. At 200 bytes an
/// item, so much is replayed in a quarter of a millisecond.
const DUE_BYTES: u64 = 32 << 10;

/// The writer's side is two additions per group; it takes the lock only when something becomes due.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    bytes: AtomicU64,
    due_bytes: AtomicU64,
    groups: AtomicU64,
    is_closing: AtomicBool,
    is_due: Mutex<bool>,
    changed: Condvar,
}

impl Backlog {
    /// A group was written. Only under the writer's lock.
    pub(super) fn add(&self, bytes: u64) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let due = self.due_bytes.load(Ordering::Relaxed);
        if before <= due && before + bytes > due {
            *self.lock() = true;
            self.changed.notify_one();
        }
    }

    /// The journal has this length now, of which so much counts.
    pub(super) fn reset(&self, bytes: u64, latest_bytes: u64) {
        let due = 2 * latest_bytes + DUE_BYTES;
        self.bytes.store(bytes, Ordering::Relaxed);
        self.due_bytes.store(due, Ordering::Relaxed);
        *self.lock() = bytes > due;
        self.changed.notify_one();
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many groups were written.
    pub(super) fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    /// Waits until the journal should be looked at; `false` when the store is dropped.
    pub(super) fn wait_until_due(&self) -> bool {
        let is_waiting = |is_due: &mut bool| !*is_due && !self.is_closing();
        let mut is_due = self
            .changed
            .wait_while(self.lock(), is_waiting)
            .unwrap_or_else(PoisonError::into_inner);
        *is_due = false;
        !self.is_closing()
    }

    /// Waits for that long; `false` when the store is dropped.
    pub(super) fn pause(&self, length: Duration) -> bool {
        let is_waiting = |_: &mut bool| !self.is_closing();
        let _ = self.changed.wait_timeout_while(self.lock(), length, is_waiting);
        !self.is_closing()
    }

    pub(super) fn close(&self) {
        // Under the lock, so that nobody begins to wait just now.
        let _is_due = self.lock();
        self.is_closing.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
