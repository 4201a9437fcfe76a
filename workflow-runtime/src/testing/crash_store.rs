//! A store that dies at a planned commit, and says so at once.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use tokio::sync::watch;

use crate::store::{Batch, CommitProfile, FaultPlan, FaultyStore, MemoryStore, Store, StoreFuture, Verdict};

/// Where the process dies: before a commit (counted from 1 in each life) reaches the store, or after it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Crash {
    /// The commit is not applied.
    Before(u64),
    /// The commit is applied, and nobody hears of it.
    After(u64),
}

impl Crash {
    /// The number of the commit.
    pub fn commit(self) -> u64 {
        match self {
            Crash::Before(commit) | Crash::After(commit) => commit,
        }
    }

    /// Before and after each of the first `commits` commits.
    pub(super) fn all(commits: u64) -> impl Iterator<Item = Crash> {
        (1..=commits).flat_map(|commit| [Crash::Before(commit), Crash::After(commit)])
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Crash::Before(commit) => write!(formatter, "before commit {commit}"),
            Crash::After(commit) => write!(formatter, "after commit {commit}"),
        }
    }
}

/// One life of a process on a store that outlives it.
#[derive(Debug)]
pub(super) struct CrashStore {
    faulty: FaultyStore<MemoryStore>,
    crashed: watch::Sender<bool>,
}

impl CrashStore {
    pub(super) fn new(memory: MemoryStore, faults: FaultPlan, crash: Option<Crash>) -> Self {
        let plan = match crash {
            None => faults,
            Some(Crash::Before(commit)) => faults.crash_before_commit(commit),
            Some(Crash::After(commit)) => faults.crash_after_commit(commit),
        };
        CrashStore {
            faulty: FaultyStore::new(memory, plan),
            crashed: watch::Sender::new(false),
        }
    }

    pub(super) fn commits(&self) -> u64 {
        self.faulty.commits()
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.faulty.is_crashed()
    }

    /// Waits until the process has died.
    pub(super) async fn crashed(&self) {
        let mut crashed = self.crashed.subscribe();
        // The sender lives as long as `self`.
        let _ = crashed.wait_for(|crashed| *crashed).await;
    }
}

impl Store for CrashStore {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        self.faulty.get(keys)
    }

    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        self.faulty.scan(range, limit)
    }

    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let outcome = self.faulty.commit(group).await;
            if self.faulty.is_crashed() {
                self.crashed.send_replace(true);
            }
            outcome
        })
    }

    fn now_ms(&self) -> StoreFuture<'_, u64> {
        self.faulty.now_ms()
    }

    fn profile(&self) -> CommitProfile {
        self.faulty.profile()
    }
}
