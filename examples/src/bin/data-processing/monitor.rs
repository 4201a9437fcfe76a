//! What tasks tell the program that runs them. Nothing of it is stored: it serves the person at the terminal.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::problem::Outage;

/// What a task tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// A step begins after so many chunks of all are done; before the file was inspected nobody knows.
    Began { chunks: Option<(u64, u64)> },
    /// So many chunks of all are done.
    Progress { done: u64, chunks: u64 },
    /// An attempt failed for a reason outside of the program; the task is attempted again.
    Trouble(Outage),
}

/// A task's line to the program, given to the engine as a dependency.
#[derive(Debug, Clone)]
pub(crate) struct Monitor {
    events: mpsc::UnboundedSender<Event>,
    gate: Arc<OnceLock<()>>,
    pub(crate) delay: Duration,
}

impl Monitor {
    pub(crate) fn new(delay: Duration) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        (
            Monitor {
                events,
                gate: Arc::default(),
                delay,
            },
            receiver,
        )
    }

    /// Lets tasks begin. An engine continues an unfinished instance as soon as it is built; the gate gives the program
    /// the time to look where the instance is before it moves on.
    pub(crate) fn open(&self) {
        let _ = self.gate.set(());
    }

    pub(crate) fn begins(&self, chunks: Option<(u64, u64)>) {
        self.gate.wait();
        self.tell(Event::Began { chunks });
    }

    pub(crate) fn progress(&self, done: u64, chunks: u64) {
        self.tell(Event::Progress { done, chunks });
    }

    /// Tells of a failed attempt.
    pub(crate) fn watch<T>(&self, result: Result<T, Outage>) -> Result<T, Outage> {
        result.inspect_err(|outage| self.tell(Event::Trouble(outage.clone())))
    }

    fn tell(&self, event: Event) {
        // When the program no longer listens it is about to end.
        let _ = self.events.send(event);
    }
}
