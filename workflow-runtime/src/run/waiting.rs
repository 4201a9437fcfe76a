//! Waiting for something outside of the instance, and leaving the memory when every line does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Run, Shared, SharedState};
use crate::engine::core::Core;
use crate::engine::hot::Hot;
use crate::halt::Halt;
use crate::keys::Kind;
use crate::store::{Batch, Condition, Write};

impl Run {
    /// Waits until a time that stands in a timer record.
    pub(crate) async fn wait_until(&mut self, due_ms: u64) -> Result<(), Halt> {
        self.wait(Wait::Timer { due_ms }).await
    }

    /// Waits for the time of the next attempt.
    pub(crate) async fn pause_until(&mut self, due_ms: u64, timer: bool) -> Result<(), Halt> {
        if !timer {
            return self.wait(Wait::Pause { due_ms }).await;
        }
        self.wait_until(due_ms).await?;
        self.obsolete.push(self.core.keys.timer(&self.id, due_ms));
        Ok(())
    }

    pub(super) async fn wait(&mut self, wait: Wait) -> Result<(), Halt> {
        let waiting = match wait {
            Wait::Pause { .. } => None,
            Wait::Timer { due_ms } if self.core.now_ms() >= due_ms => return Ok(()),
            Wait::Timer { due_ms } => Some(Waiting::begin(self, Some(due_ms))),
            Wait::Message { .. } => Some(Waiting::begin(self, None)),
        };
        let hot = self.hot.clone();
        loop {
            let notified = hot.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            hot.lease.check()?;
            self.check_cancelled()?;
            if wait.is_over(&self.core, &hot) {
                return Ok(());
            }
            if waiting.is_some() && hot.should_leave() && self.try_leave().await? {
                return Err(Halt::Evicted);
            }
            match wait {
                Wait::Message { .. } => notified.await,
                Wait::Timer { due_ms } | Wait::Pause { due_ms } => {
                    tokio::select! {
                        biased;
                        () = notified => {}
                        () = tokio::time::sleep(self.core.until(due_ms)) => {}
                    }
                }
            }
        }
    }

    /// Leaves the memory if every line waits.
    async fn try_leave(&mut self) -> Result<bool, Halt> {
        let all_wait = |shared: &SharedState| shared.waiting.len() == shared.lines;
        let ready = {
            let shared = self.shared.lock();
            if !all_wait(&shared) {
                return Ok(false);
            }
            shared.ready.is_some()
        };
        if self.hot.lease.is_claim() {
            return self.try_end_claim().await;
        }
        if ready {
            let batch = Batch {
                conditions: vec![self.hot.lease.fence()],
                writes: Vec::new(),
            };
            self.commit_ready(batch, false).await?;
        }
        let shared = self.shared.lock();
        if !all_wait(&shared) || shared.ready.is_some() {
            return Ok(false);
        }
        let first_due = shared.waiting.iter().flatten().min().copied();
        if !self.core.hot.try_leave(&self.id, &self.hot, shared.read_at) {
            return Ok(false);
        }
        if let Some(due_ms) = first_due {
            self.core.timers.add(self.core.keys.shard(&self.id), due_ms);
        }
        Ok(true)
    }
}

impl Run {
    /// Leaves the memory of a node that does not have the instance's shard: the claim ends with the ready record, and
    /// the node of the shard looks after the instance again. It knows nothing of timers that were set here, so an
    /// instance that waits for one stays.
    async fn try_end_claim(&mut self) -> Result<bool, Halt> {
        let (ready, read_at) = {
            let shared = self.shared.lock();
            if shared.waiting.iter().any(Option::is_some) {
                return Ok(false);
            }
            (shared.ready.clone(), shared.read_at)
        };
        let key = self.core.keys.of(Kind::Ready, &self.id);
        let mut batch = Batch {
            conditions: vec![self.hot.lease.fence()],
            writes: vec![Write::Delete(key.clone())],
        };
        batch.conditions.push(match ready {
            None => Condition::Absent(key),
            Some(value) => Condition::Equals(key, value),
        });
        batch.writes.extend(self.hot.lease.end());
        if self.commit(batch).await?.is_some() {
            // A message came.
            self.hot.tell();
            self.look_at_messages().await?;
            return Ok(false);
        }
        // Nobody else runs it here: what it is told from now on it is told by way of its shard's node.
        let _ = self.core.hot.try_leave(&self.id, &self.hot, read_at);
        self.core.hot.remove(&self.id);
        Ok(true)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    /// For the pause between two attempts, which nothing in the store would end.
    Pause {
        due_ms: u64,
    },
    Timer {
        due_ms: u64,
    },
    /// For anything that the instance is told after `told`.
    Message {
        told: u64,
    },
}

impl Wait {
    fn is_over(self, core: &Core, hot: &Hot) -> bool {
        match self {
            Wait::Pause { due_ms } | Wait::Timer { due_ms } => core.now_ms() >= due_ms,
            Wait::Message { told } => hot.told() > told,
        }
    }
}

/// A line that waits, until it is dropped.
struct Waiting {
    core: Arc<Core>,
    shared: Arc<Shared>,
    due_ms: Option<u64>,
}

impl Waiting {
    fn begin(run: &Run, due_ms: Option<u64>) -> Self {
        let mut shared = run.shared.lock();
        shared.waiting.push(due_ms);
        if shared.waiting.len() == shared.lines && !shared.idle {
            shared.idle = true;
            run.core.committer.instance_ends();
            run.core.hot.note_waiting(&run.id, &run.hot);
            if run.hot.lease.is_claim() {
                run.hot.ask_to_leave();
            }
        }
        drop(shared);
        Waiting {
            core: run.core.clone(),
            shared: run.shared.clone(),
            due_ms,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut shared = self.shared.lock();
        if let Some(index) = shared.waiting.iter().position(|due_ms| *due_ms == self.due_ms) {
            shared.waiting.swap_remove(index);
        }
        if shared.idle {
            shared.idle = false;
            self.core.committer.instance_begins();
        }
    }
}

/// The lines of a join or select, in the place of the line that they split.
pub(crate) struct Lines {
    shared: Arc<Shared>,
    live: AtomicUsize,
}

impl Lines {
    pub(crate) fn split(run: &Run, branches: usize) -> Self {
        let mut shared = run.shared.lock();
        shared.lines = shared.lines + branches - 1;
        drop(shared);
        Lines {
            shared: run.shared.clone(),
            live: AtomicUsize::new(branches),
        }
    }

    /// One more branch begins.
    pub(crate) fn begins(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
        self.shared.lock().lines += 1;
    }

    /// A branch has ended.
    pub(crate) fn ended(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
        let mut shared = self.shared.lock();
        shared.lines = shared.lines.saturating_sub(1);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let mut shared = self.shared.lock();
        shared.lines = (shared.lines + 1).saturating_sub(self.live.load(Ordering::Relaxed));
    }
}
