//! Lets work in, tells it to stop, and waits until it has gone.
//!
//! A draining gate lets nothing new in, and what is inside leaves at its next durable point. A stopped one drops running
//! attempts, too. Invariant: work that came in counts until it has gone, so a drained gate that is empty stays empty.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::halt::Halt;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    draining: AtomicBool,
    stopped: AtomicBool,
    notify: Notify,
    inside: AtomicUsize,
    empty: Notify,
}

impl Gate {
    /// Whether new work may begin.
    pub(crate) fn check(&self) -> Result<(), Halt> {
        if self.draining.load(Ordering::SeqCst) {
            Err(Halt::Shutdown)
        } else {
            Ok(())
        }
    }

    /// Lets one piece of work in, unless the gate drains. What came in must [`leave`](Gate::leave).
    pub(crate) fn enter(&self) -> bool {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let open = self.check().is_ok();
        if !open {
            self.leave();
        }
        open
    }

    pub(crate) fn leave(&self) {
        if self.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.empty.notify_waiters();
        }
    }

    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.drain();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits until running attempts are to be dropped.
    pub(crate) async fn stopped(&self) {
        wait_for(&self.notify, || self.is_stopped()).await;
    }

    /// Waits until nothing new may begin.
    pub(crate) async fn draining(&self) {
        wait_for(&self.notify, || self.check().is_err()).await;
    }

    /// Waits until nothing is inside.
    pub(crate) async fn emptied(&self) {
        wait_for(&self.empty, || self.inside() == 0).await;
    }

    /// The pause before a store that failed is asked again. While draining a commit still gets a few tries; then its
    /// step is given up, which was not acknowledged.
    pub(crate) async fn wait_for_store(&self, failures: u32) -> Result<(), Halt> {
        let pause = Duration::from_millis(10).saturating_mul(1 << failures.min(8));
        tokio::select! {
            biased;
            () = self.draining() => {
                if self.is_stopped() || failures > 3 {
                    return Err(Halt::Shutdown);
                }
                tokio::time::sleep(pause).await;
                Ok(())
            }
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

async fn wait_for(notify: &Notify, holds: impl Fn() -> bool) {
    loop {
        let notified = notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if holds() {
            return;
        }
        notified.await;
    }
}
