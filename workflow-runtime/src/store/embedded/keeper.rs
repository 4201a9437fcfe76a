//! The thread that keeps the journal short, so that the next process opens the store fast.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::guarded::GuardedTree;
use crate::store::Error;

/// The store is idle after that long without a commit.
const IDLE: Duration = Duration::from_millis(100);
/// Under load a journal is shortened from this length on.
const LOADED_BYTES: u64 = 8 << 20;
/// Under load, shortening may take that part of the time.
const LOADED_SHARE: u32 = 100;

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
