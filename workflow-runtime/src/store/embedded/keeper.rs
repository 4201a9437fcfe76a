//! The thread that keeps the journal short, so that the next process opens the store fast.
//!
//! It sleeps until the journal has grown ([`super::backlog`]), then looks ten times a second whether the store is idle.
//! When nothing was written since the last time, it does not wake up at all.
//!
//! *Idle*: the journal is exchanged for what counts of it. A commit that arrives meanwhile waits for three syncs, a
//! reader for nothing. Where the tree made the journal itself (the first process of a store, or after 64 MB), it cannot
//! be exchanged under the tree; then the tree is closed and opened once, for which readers wait too, about as long as
//! opening the store takes.
//!
//! *Under load*: the same exchange, never the reopening, and not more often than [`LOADED_SHARE`] allows.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::guarded::GuardedTree;
use crate::store::Error;

/// The store is idle after that long without a commit.
const IDLE: Duration = Duration::from_millis(100);
/// Under load a journal is shortened from this length on.
const LOADED_BYTES: u64 = 4 << 20;
/// Under load, the thread may spend one part of so many of the time, most of which it waits for the disk.
const LOADED_SHARE: u32 = 50;

/// Ends the thread when dropped; that takes at most as long as exchanging one journal.
pub(super) struct Keeper {
    tree: Arc<GuardedTree>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(tree: &Arc<GuardedTree>) -> Result<Self, Error> {
        let own = Arc::clone(tree);
        let thread = thread::Builder::new()
            .name("workflow-store".to_owned())
            .spawn(move || keep(&own))
            .map_err(|error| Error::Unavailable(format!("the store's thread: {error}")))?;
        Ok(Self {
            tree: Arc::clone(tree),
            thread: Some(thread),
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.tree.backlog().close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn keep(tree: &GuardedTree) {
    let backlog = tree.backlog();
    let mut next_loaded = Instant::now();
    while backlog.wait_until_due() {
        let mut groups = backlog.groups();
        loop {
            if !backlog.pause(IDLE) {
                return;
            }
            let before = std::mem::replace(&mut groups, backlog.groups());
            let is_idle = before == groups;
            let start = Instant::now();
            if !is_idle && (backlog.bytes() < LOADED_BYTES || start < next_loaded) {
                continue;
            }
            let is_done = tree.shorten(is_idle);
            next_loaded = Instant::now() + LOADED_SHARE * start.elapsed();
            if is_done {
                break;
            }
        }
    }
}
