//! Wakes instances whose timer is due. The timers are ordered keys in the store; memory holds one time per shard.
//!
//! A timer's record stays until the instance's next batch removes it, so a timer that fired just before a crash fires
//! again. Within one life of the engine a shard is not scanned twice for the same timers: `seen` says how far it was.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::core::{Core, PAGE};
use super::runner;
use crate::keys::{self, Kind};
use crate::store::Error;

/// The longest time between two looks at the store's clock.
const CLOCK_PERIOD: Duration = Duration::from_secs(60);

/// When each shard has to be looked at next.
#[derive(Debug)]
pub(crate) struct Timers {
    shards: Mutex<Vec<Shard>>,
    notify: Notify,
}

#[derive(Debug, Clone)]
struct Shard {
    /// Whether its instances are this engine's to wake.
    open: bool,
    /// The time of the first timer that was not seen; 0 before the first scan.
    next_ms: u64,
    /// Timers before this key were seen.
    seen: Option<Bytes>,
}

impl Timers {
    pub(crate) fn new(shards: usize) -> Self {
        Timers {
            shards: Mutex::new(vec![
                Shard {
                    open: false,
                    next_ms: u64::MAX,
                    seen: None
                };
                shards
            ]),
            notify: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The timers of a shard are this engine's from now on.
    pub(crate) fn open(&self, shard: u16) {
        self.set(
            shard,
            Shard {
                open: true,
                next_ms: 0,
                seen: None,
            },
        );
        self.notify.notify_one();
    }

    /// The timers of a shard are not this engine's any more.
    pub(crate) fn close(&self, shard: u16) {
        self.set(
            shard,
            Shard {
                open: false,
                next_ms: u64::MAX,
                seen: None,
            },
        );
    }

    fn set(&self, shard: u16, state: Shard) {
        if let Some(shard) = self.lock().get_mut(usize::from(shard)) {
            *shard = state;
        }
    }

    /// A timer in the store that no instance in memory waits for any more.
    pub(crate) fn add(&self, shard: u16, due_ms: u64) {
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(usize::from(shard)) else {
            return;
        };
        if !shard.open {
            return;
        }
        if due_ms < shard.next_ms {
            shard.next_ms = due_ms;
        }
        // The scan may have passed this time while the instance was in memory and needed no waking.
        shard.seen = None;
        drop(shards);
        self.notify.notify_one();
    }

    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    fn next_ms(&self) -> u64 {
        self.lock()
            .iter()
            .map(|shard| shard.next_ms)
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// Fires due timers until the engine ends.
pub(crate) async fn run(core: Weak<Core>) {
    loop {
        let Some(strong) = core.upgrade() else { return };
        if strong.gate.check().is_err() {
            return;
        }
        strong.follow_clock().await;
        let now_ms = strong.now_ms();
        for shard in strong.keys.shards() {
            let due = strong
                .timers
                .lock()
                .get(usize::from(shard))
                .is_some_and(|shard| shard.open && shard.next_ms <= now_ms);
            if due && fire(&strong, shard, now_ms).await.is_err() {
                // The store cannot be read now: the shard stays due.
                tokio::time::sleep(Duration::from_secs(1)).await;
                break;
            }
        }
        let pause = strong.until(strong.timers.next_ms()).min(CLOCK_PERIOD);
        let timers = TimersHandle(strong);
        tokio::select! {
            biased;
            () = tokio::time::sleep(pause) => {}
            () = timers.0.timers.notify.notified() => {}
        }
    }
}

/// Keeps the engine's parts alive while the loop waits; the engine's end wakes it.
struct TimersHandle(Arc<Core>);

async fn fire(core: &Arc<Core>, shard: u16, now_ms: u64) -> Result<(), Error> {
    let index = usize::from(shard);
    let due = core.keys.due(shard, now_ms);
    let all = core.keys.range(shard, Kind::Timer);
    // A timer that is added from now on brings the scan back.
    let start = {
        let mut shards = core.timers.lock();
        let seen = shards[index].seen.clone();
        shards[index].next_ms = u64::MAX;
        seen.filter(|seen| *seen > due.start).unwrap_or(due.start)
    };
    let mut start = start;
    let result = loop {
        match core.store.scan(start.clone()..all.end.clone(), PAGE).await {
            Err(error) => break Err(error),
            Ok(page) => {
                let full = page.len() == PAGE;
                let mut later = None;
                for (key, _) in page {
                    if key >= due.end {
                        later = core.keys.timer_of(&key).map(|(due_ms, _)| due_ms);
                        break;
                    }
                    if let Some((_, id)) = core.keys.timer_of(&key) {
                        runner::activate(core, id, false);
                    }
                    start = keys::after(&key);
                }
                if later.is_some() || !full {
                    break Ok(later.unwrap_or(u64::MAX));
                }
            }
        }
    };
    let mut shards = core.timers.lock();
    match result {
        _ if !shards[index].open => Ok(()),
        Ok(next_ms) => {
            if shards[index].next_ms == u64::MAX {
                shards[index].seen = Some(start);
            }
            shards[index].next_ms = shards[index].next_ms.min(next_ms);
            Ok(())
        }
        Err(error) => {
            shards[index].next_ms = 0;
            Err(error)
        }
    }
}
