//! What a running attempt tells the engine: that it lives, how far it is, and that another attempt is of no use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A progress of more bytes is refused: it is written again and again.
pub(crate) const MAX_PROGRESS_BYTES: usize = 256 * 1024;

/// The reports of one attempt. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Reports(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    gave_up: AtomicBool,
    notify: Notify,
}

#[derive(Debug)]
struct State {
    last: Instant,
    /// The latest progress, unless the engine has taken it.
    progress: Option<Bytes>,
    refused: Option<String>,
}

impl Default for Reports {
    fn default() -> Self {
        Reports(Arc::new(Inner {
            state: Mutex::new(State {
                last: Instant::now(),
                progress: None,
                refused: None,
            }),
            gave_up: AtomicBool::new(false),
            notify: Notify::new(),
        }))
    }
}

impl Reports {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The task's side.

    /// The attempt lives and is this far.
    pub(crate) fn beat(&self, progress: Result<Vec<u8>, String>) {
        let mut state = self.lock();
        state.last = Instant::now();
        match progress {
            Ok(progress) if progress.len() <= MAX_PROGRESS_BYTES => state.progress = Some(progress.into()),
            Ok(progress) => {
                state.refused = Some(format!(
                    "it takes {} bytes, the limit is {MAX_PROGRESS_BYTES}: report where the work stands, not the work",
                    progress.len()
                ));
            }
            Err(error) => state.refused = Some(error),
        }
        drop(state);
        // A permit is kept when the engine does not wait just now.
        self.0.notify.notify_one();
    }

    pub(crate) fn give_up(&self) {
        self.0.gave_up.store(true, Ordering::Release);
    }

    // The engine's side.

    pub(crate) fn gave_up(&self) -> bool {
        self.0.gave_up.load(Ordering::Acquire)
    }

    /// When the attempt was last heard of.
    pub(crate) fn last(&self) -> Instant {
        self.lock().last
    }

    pub(crate) fn has_progress(&self) -> bool {
        self.lock().progress.is_some()
    }

    pub(crate) fn take_progress(&self) -> Option<Bytes> {
        self.lock().progress.take()
    }

    /// A progress that could not be stored, unless there is a later one.
    pub(crate) fn give_back(&self, progress: Bytes) {
        self.lock().progress.get_or_insert(progress);
    }

    /// Why the latest progress cannot be stored.
    pub(crate) fn refused(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    /// Waits for a sign of life.
    pub(crate) async fn heard(&self) {
        self.0.notify.notified().await;
    }
}
