//! A store's clock that follows tokio's time, which a test can pause.

use tokio::time::Instant;

use crate::store::Clock;

/// Shows tokio's time, counted from a fixed date: in a test with paused time it goes on only while everything waits.
///
/// ```
/// use std::time::Duration;
/// use workflow_runtime::store::{MemoryStore, Store};
/// use workflow_runtime::testing::VirtualClock;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let store = MemoryStore::with_clock(VirtualClock::new());
/// let before = store.now_ms().await.unwrap();
/// tokio::time::sleep(Duration::from_secs(3600)).await;
/// assert_eq!(store.now_ms().await.unwrap() - before, 3_600_000);
/// # });
/// ```
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    start: Instant,
}

/// 2030-01-01, so that a mix with the operating system's clock is noticed.
const START_MS: u64 = 1_893_456_000_000;

impl VirtualClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        VirtualClock { start: Instant::now() }
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        START_MS + u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - START_MS)
    }
}
