//! Elections: a lock whose holder is seen by name.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::lock::{self, LockGuard, Place, Standing};
use super::{CoordinationError, Coordinator, Kind};
use crate::store::Store;

/// Until a leader that died is replaced.
const TTL: Duration = Duration::from_secs(10);

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// The name that the candidate gave itself.
    pub name: String,
    /// Its fencing token: each leader has a higher one than all before.
    pub token: u64,
}

impl Coordinator {
    /// Stands for election: awaiting it waits until this candidate leads. Candidates are elected in no order.
    ///
    /// ```
    /// use workflow_runtime::coordination::Coordinator;
    /// use workflow_runtime::store::MemoryStore;
    ///
    /// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
    /// let coordinator = Coordinator::new(MemoryStore::new()).name("node-1");
    /// let mut observer = coordinator.observe_leader("cleaner")?;
    ///
    /// let leadership = coordinator.elect_leader("cleaner").await?;
    /// assert_eq!(observer.changed().await?.unwrap().name, "node-1");
    ///
    /// leadership.resign().await?;
    /// assert_eq!(observer.changed().await?, None);
    /// # Ok::<(), workflow_runtime::coordination::CoordinationError>(())
    /// # }).unwrap();
    /// ```
    pub fn elect_leader(&self, key: impl Into<String>) -> Elect {
        Elect {
            coordinator: self.clone(),
            key: key.into(),
            ttl: TTL,
        }
    }

    /// Who leads now; `None` when nobody does.
    ///
    /// # Errors
    /// [`CoordinationError::Key`], and [`CoordinationError::Store`] when the store fails.
    pub async fn leader(&self, key: impl AsRef<str>) -> Result<Option<Leader>, CoordinationError> {
        look(&self.store, &self.election_place(key.as_ref())?).await
    }

    /// Watches who leads.
    ///
    /// # Errors
    /// [`CoordinationError::Key`].
    pub fn observe_leader(&self, key: impl AsRef<str>) -> Result<LeaderObserver, CoordinationError> {
        Ok(LeaderObserver {
            store: self.store.clone(),
            place: self.election_place(key.as_ref())?,
            last: None,
        })
    }

    fn election_place(&self, key: &str) -> Result<Place, CoordinationError> {
        Ok(Place {
            owner: self.key(Kind::Leader, key.as_bytes())?,
            expiry: self.key(Kind::LeaderExpiry, key.as_bytes())?,
        })
    }
}

async fn look(store: &Arc<dyn Store>, place: &Place) -> Result<Option<Leader>, CoordinationError> {
    let standing = Standing::read(store.as_ref(), place).await?;
    let now_ms = store.now_ms().await?;
    Ok(standing.holder(now_ms).map(|record| Leader {
        name: record.name.clone(),
        token: record.token,
    }))
}

/// A candidacy; await it. Dropping it before it is elected withdraws it.
#[must_use = "nobody is elected unless this is awaited"]
#[derive(Debug)]
pub struct Elect {
    coordinator: Coordinator,
    key: String,
    ttl: Duration,
}

impl Elect {
    /// How long a leader that died is still taken for one; 10 seconds unless told.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }
}

impl IntoFuture for Elect {
    type Output = Result<Leadership, CoordinationError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let place = self.coordinator.election_place(&self.key)?;
            let Coordinator { store, name, .. } = &self.coordinator;
            let lock = lock::acquire(store, &place, &self.key, name, self.ttl).await?;
            Ok(Leadership { lock })
        })
    }
}

/// This process leads, until it resigns, is dropped, or loses touch with the store. See [`LockGuard`] for what can be
/// relied upon.
#[must_use = "the leadership ends when this is dropped"]
pub struct Leadership {
    lock: LockGuard,
}

impl Leadership {
    /// Higher than that of every leader before.
    pub fn token(&self) -> u64 {
        self.lock.token()
    }

    /// Whether this process leads for certain.
    pub fn is_leader(&self) -> bool {
        self.lock.is_held()
    }

    /// Waits until this process leads no more. It does not come back: stand for election again.
    pub async fn lost(&self) {
        self.lock.lost().await;
    }

    /// Lets another candidate lead.
    ///
    /// # Errors
    /// When the store fails; another one leads after the time to live then.
    pub async fn resign(self) -> Result<(), CoordinationError> {
        self.lock.release().await
    }

    /// The lock behind it, for [`Transaction::require`](super::Transaction::require).
    pub fn lock(&self) -> &LockGuard {
        &self.lock
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Leadership").field(&self.lock).finish()
    }
}

/// Watches an election. Leaders that follow each other within a fraction of a second may be seen as one change.
pub struct LeaderObserver {
    store: Arc<dyn Store>,
    place: Place,
    last: Option<Leader>,
}

impl LeaderObserver {
    /// Waits until the leader is another one than at the last call (at first: until there is one).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn changed(&mut self) -> Result<Option<Leader>, CoordinationError> {
        let mut pause = Duration::from_millis(10);
        loop {
            let now = look(&self.store, &self.place).await?;
            if now != self.last {
                self.last.clone_from(&now);
                return Ok(now);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }
}

impl fmt::Debug for LeaderObserver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LeaderObserver")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
