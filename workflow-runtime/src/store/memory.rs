//! A store in memory, for tests and for work that need not survive the process.
//!
//! Clones share the data: an engine that is dropped together with its store has crashed, and a new engine on another
//! clone finds what was committed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::{Batch, Clock, CommitProfile, Error, Store, StoreFuture, Verdict, WallClock, Write, group};

const BATCH_BYTES: usize = 64 << 20;
const GROUP_BYTES: usize = 4 << 20;

/// A [`Store`] in memory.
///
/// ```
/// use bytes::Bytes;
/// use workflow_runtime::store::{Batch, Condition, MemoryStore, Store, Verdict, Write};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let key = Bytes::from_static(b"order/1");
/// let batch = Batch {
///     conditions: vec![Condition::Absent(key.clone())],
///     writes: vec![Write::Put(key.clone(), Bytes::from_static(b"paid"))],
/// };
/// // The second batch sees what the first one wrote.
/// let verdicts = store.commit(&[batch.clone(), batch]).await?;
/// assert_eq!(verdicts, [Verdict::Applied, Verdict::Conflict(0)]);
///
/// let after_the_crash = store.clone();
/// assert_eq!(after_the_crash.get(&[key]).await?, [Some(Bytes::from_static(b"paid"))]);
/// # Ok::<(), workflow_runtime::store::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    data: RwLock<BTreeMap<Bytes, Bytes>>,
    clock: Box<dyn Clock>,
    latest_ms: AtomicU64,
}

impl MemoryStore {
    /// An empty store on the operating system's clock.
    pub fn new() -> Self {
        Self::with_clock(WallClock)
    }

    /// An empty store on another clock, such as a [`ManualClock`](super::ManualClock) that a test or a simulator moves.
    ///
    /// ```
    /// use workflow_runtime::store::{ManualClock, MemoryStore, Store};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let clock = ManualClock::new(5_000);
    /// let store = MemoryStore::with_clock(clock.clone());
    /// clock.advance(1_000);
    /// assert_eq!(store.now_ms().await?, 6_000);
    /// clock.set(0);
    /// assert_eq!(store.now_ms().await?, 6_000, "a store's clock never goes back");
    /// # Ok::<(), workflow_runtime::store::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn with_clock(clock: impl Clock) -> Self {
        let shared = Shared {
            data: RwLock::default(),
            clock: Box::new(clock),
            latest_ms: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.read(BTreeMap::len)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read<T>(&self, work: impl FnOnce(&BTreeMap<Bytes, Bytes>) -> T) -> T {
        // A panic cannot leave the map half changed in a way that matters more than the panic itself.
        work(&self.shared.data.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn apply(&self, group: &[Batch]) -> Result<Vec<Verdict>, Error> {
        group::check(group, BATCH_BYTES)?;
        let mut data = self.shared.data.write().unwrap_or_else(PoisonError::into_inner);
        Ok(group
            .iter()
            .map(|batch| apply_batch(&mut data, batch))
            .collect())
    }
}

fn apply_batch(data: &mut BTreeMap<Bytes, Bytes>, batch: &Batch) -> Verdict {
    let failed = batch
        .conditions
        .iter()
        .position(|condition| !condition.holds(data.get(condition.key())));
    if let Some(index) = failed {
        return Verdict::Conflict(index);
    }
    for write in &batch.writes {
        match write {
            Write::Put(key, value) => data.insert(key.clone(), value.clone()),
            Write::Delete(key) => data.remove(key),
        };
    }
    Verdict::Applied
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("keys", &self.len())
            .field("clock", &self.shared.clock)
            .finish()
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(async move { Ok(self.read(|data| keys.iter().map(|key| data.get(key).cloned()).collect())) })
    }

    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        Box::pin(async move {
            if range.start >= range.end {
                return Ok(Vec::new());
            }
            Ok(self.read(|data| {
                let pairs = data.range(range).take(limit);
                pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
            }))
        })
    }

    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(async move { self.apply(group) })
    }

    fn now_ms(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let now_ms = self.shared.clock.now_ms();
            Ok(self
                .shared
                .latest_ms
                .fetch_max(now_ms, Ordering::SeqCst)
                .max(now_ms))
        })
    }

    fn profile(&self) -> CommitProfile {
        CommitProfile {
            blocking: false,
            in_flight: 1,
            group_bytes: GROUP_BYTES,
            batch_bytes: BATCH_BYTES,
        }
    }
}
