//! The thread that keeps the journal short, so that the next process opens the store fast.
//!
//! It sleeps until the journal has grown ([`super::backlog`]), then looks fifty times a second whether the store is idle.
//! When nothing was written since the last time, it does not wake up at all.
//!
//! *Idle*: the journal is exchanged for what counts of it. A commit that arrives meanwhile waits for three syncs, a
//! reader for nothing. Where the tree made the journal itself (after 64 MB that could not be exchanged), it cannot be
//! exchanged under the tree; then the tree is closed and opened once, for which readers wait too, about as long as
//! opening the store takes.
//!
//! *Under load*: the same exchange, never the reopening, and not more often than [`LOADED_SHARE`] allows.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::guarded::GuardedTree;
use crate::store::Error;

/// How often the thread looks while the journal is longer than it should be.
const LOOK: Duration = Duration::from_millis(20);
/// The store is idle after so many looks without a commit.
const IDLE_LOOKS: u32 = 5;
/// Under load a journal is shortened from this length on.
const LOADED_BYTES: u64 = 1 << 20;
/// Under load, the thread may spend one part of so many of the time, most of which it waits for the disk.
const LOADED_SHARE: u32 = 25;

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
        let (mut groups, mut quiet_looks) = (backlog.groups(), 0);
        loop {
            if !backlog.pause(LOOK) {
                return;
            }
            let before = std::mem::replace(&mut groups, backlog.groups());
            quiet_looks = if before == groups { quiet_looks + 1 } else { 0 };
            let is_idle = quiet_looks >= IDLE_LOOKS;
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
