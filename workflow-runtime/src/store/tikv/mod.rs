//! The store on a TiKV cluster.
//!
//! # Why it is safe
//!
//! A transaction reads under one timestamp, judges its batches over what it read, and commits optimistically: TiKV
//! refuses it if another transaction has committed a write to one of the keys that it *writes* since that timestamp. It
//! does not notice changes of keys that it only read. So it writes those too, with the value that they have
//! ([`judge`]: guards). With that, all that a verdict rests on holds when the transaction commits.
//!
//! A lock-only mutation (`Op::Lock`) would do the same with fewer bytes, since TiKV keeps a record of it; but two of them
//! conflict just as two writes do, fences are short, and the store that the tests run on keeps no such record. A
//! pessimistic lock costs a round trip of its own, and lasts when its owner dies. So a guard is a plain write.
//!
//! Two transactions with a guard on one key conflict, although neither changes it. Engines have a fence in every batch,
//! so each pair of their transactions would. Therefore the store puts batches that share a key into one transaction, and
//! lets the others wait until it has ended ([`schedule`]): within one process no two transactions meet. Batches of
//! different fences have no key in common and are committed side by side. Between processes a fence is shared only at the
//! moment when it changes hands, and there the conflict is its purpose.
//!
//! # What became of a commit
//!
//! An error of a commit says little: its answer may be lost, and the client sends some requests again by itself, so that
//! even a conflict may be one with the commit's own first try. So after every error ([`transaction`]):
//!
//! 1. The transaction is *foreclosed*: TiKV is asked for the status of its primary key, with the order to roll it back
//!    unless it is committed. From then on the outcome is fixed; a request that arrives late is refused.
//! 2. Its keys are read, which resolves its locks. Each value carries the start timestamp of its writer: if one is ours,
//!    all is applied; if one is still what we read before, nothing is.
//! 3. If others have written all keys since, rolling back tells: it succeeds where nothing is committed, and is refused
//!    where something is.
//!
//! And after each success, unless its timestamp proves it: the client reports some commits that it never sent
//! (`transaction::is_committed`).
//!
//! While the cluster does not answer, this is tried again; when patience ends, the caller gets [`Error::Unknown`], and
//! the store remembers to foreclose the transaction before it does anything else.
//!
//! Commits use one phase where all writes are in one region and small, else two. Async commit is not used: after the
//! death of a client in the middle of one, readers of this client never resolve it.

mod client;
mod failure;
mod judge;
mod layout;
mod schedule;
mod settings;
mod transaction;
mod writer;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use self::client::Client;
use self::layout::{Layout, stamp, unstamp};
pub use self::settings::TikvStoreBuilder;
use self::writer::Writer;
use super::{Batch, CommitProfile, Error, MAX_KEY_BYTES, Store, StoreFuture, Verdict, group};

/// Fits into one entry of TiKV's log, with its key and what TiKV adds.
const BATCH_BYTES: usize = 6 << 20;

/// How many pairs one request scans.
const SCAN_PAGE: usize = 1024;

/// The version of what this store adds to keys and values.
const FORMAT: &[u8] = b"1";

/// A [`Store`] on a TiKV cluster, for many processes at once.
///
/// Clones share the connection. It needs a tokio runtime with time and input/output enabled. Commits are grouped by the
/// store itself. Its clock is that of the cluster.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use workflow_runtime::prelude::*;
/// use workflow_runtime::store::TikvStore;
///
/// # #[task] async fn half(n: u64) -> u64 { n / 2 }
/// # #[workflow] async fn halve(n: u64) -> u64 { half(n).await }
/// let store = TikvStore::connect(["127.0.0.1:2379"]).await?;
/// let engine = WorkflowEngine::<halve>::builder().store(store).build().await?;
/// assert_eq!(engine.start(halve(10)).await?.result().await?, 5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TikvStore {
    shared: Arc<Shared>,
}

struct Shared {
    client: Arc<Client>,
    layout: Layout,
    writer: Arc<Writer>,
    batch_bytes: usize,
    deployment: String,
}

impl TikvStore {
    /// Connects to the cluster whose PDs are at these endpoints (host and port), with the default settings.
    ///
    /// # Errors
    /// As [`TikvStoreBuilder::connect`].
    pub async fn connect(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, Error> {
        Self::builder(endpoints).connect().await
    }

    /// Chooses settings before connecting. The endpoints are those of the cluster's PDs: host and port.
    pub fn builder(endpoints: impl IntoIterator<Item = impl Into<String>>) -> TikvStoreBuilder {
        TikvStoreBuilder::new(endpoints)
    }

    async fn connect_with(settings: TikvStoreBuilder) -> Result<Self, Error> {
        let layout = Layout::new(&settings.deployment);
        let client = Arc::new(Client::connect(&settings).await?);
        check_format(&client, &layout, &settings).await?;
        let shared = Shared {
            writer: Arc::new(Writer::new(client.clone(), layout.clone())),
            client,
            layout,
            batch_bytes: settings.batch_bytes,
            deployment: settings.deployment,
        };
        Ok(TikvStore {
            shared: Arc::new(shared),
        })
    }
}

/// Checks the version of the deployment's records, and writes it where there is none.
async fn check_format(client: &Client, layout: &Layout, settings: &TikvStoreBuilder) -> Result<(), Error> {
    let key = layout.own("format");
    let mut patience = client.patience();
    loop {
        let now = client.timestamp(&mut patience).await?;
        let mut found = client
            .read(&mut patience, &now, std::slice::from_ref(&key))
            .await?;
        if let Some(value) = found.remove(&key) {
            let found = unstamp(value)?.value;
            if found == FORMAT {
                return Ok(());
            }
            return Err(Error::Format {
                path: format!(
                    "deployment {} at {}",
                    settings.deployment,
                    settings.endpoints.join(",")
                ),
                found: String::from_utf8_lossy(&found).into_owned(),
                supported: String::from_utf8_lossy(FORMAT).into_owned(),
                fix: "use a program of that version, or another deployment".to_owned(),
            });
        }
        let mut transaction = client.begin(&mut patience, true).await?;
        let value = stamp(FORMAT, client::number(&transaction.start_timestamp()));
        let limit = client.attempt(&patience);
        let result = tokio::time::timeout(limit, async {
            transaction.put(key.clone(), value).await?;
            transaction.commit().await
        });
        // Whatever became of it, the next look tells: all who open the deployment write the same.
        let problem = match result.await {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => failure::text(&error),
            Err(_) => format!("no answer within {limit:?}"),
        };
        if !patience.pause().await {
            return Err(Error::Unavailable(format!(
                "the first write to the cluster: {problem}"
            )));
        }
    }
}

impl Shared {
    async fn get(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, Error> {
        let mut patience = self.client.patience();
        self.writer.settle(&mut patience).await?;
        // No value stands under a key that cannot be.
        let possible = |key: &&Bytes| (1..=MAX_KEY_BYTES).contains(&key.len());
        let wanted: BTreeSet<&Bytes> = keys.iter().filter(possible).collect();
        if wanted.is_empty() {
            return Ok(vec![None; keys.len()]);
        }
        let full: Vec<_> = wanted.iter().map(|key| self.layout.key(key)).collect();
        let now = self.client.timestamp(&mut patience).await?;
        let mut found = self.client.read(&mut patience, &now, &full).await?;
        let mut values = HashMap::with_capacity(found.len());
        for (key, full) in wanted.into_iter().zip(&full) {
            if let Some(value) = found.remove(full) {
                values.insert(key, unstamp(value)?.value);
            }
        }
        Ok(keys.iter().map(|key| values.get(key).cloned()).collect())
    }

    async fn scan(&self, range: Range<Bytes>, limit: usize) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let mut patience = self.client.patience();
        self.writer.settle(&mut patience).await?;
        if range.start >= range.end || limit == 0 {
            return Ok(Vec::new());
        }
        let mut left = self.layout.range(&range);
        if left.start >= left.end {
            return Ok(Vec::new());
        }
        let now = self.client.timestamp(&mut patience).await?;
        let mut pairs = Vec::new();
        loop {
            let page = SCAN_PAGE.min(limit - pairs.len());
            let size = u32::try_from(page).unwrap_or(u32::MAX);
            let found = self.client.scan(&mut patience, &now, left.clone(), size).await?;
            let is_last = found.len() < page;
            if let Some((last, _)) = found.last() {
                // The key that follows immediately.
                left.start = [last, &[0][..]].concat();
            }
            for (key, value) in found {
                pairs.push((self.layout.user_key(key)?, unstamp(value)?.value));
            }
            if is_last || pairs.len() == limit {
                return Ok(pairs);
            }
            // What was found is done: the next page has its own patience.
            patience = self.client.patience();
        }
    }
}

impl fmt::Debug for TikvStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TikvStore")
            .field("endpoints", &self.shared.client.endpoints())
            .field("deployment", &self.shared.deployment)
            .finish_non_exhaustive()
    }
}

impl Store for TikvStore {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(self.shared.get(keys))
    }

    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        Box::pin(self.shared.scan(range, limit))
    }

    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            group::check(group, self.shared.batch_bytes)?;
            self.shared.writer.commit(group).await
        })
    }

    fn now_ms(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let mut patience = self.shared.client.patience();
            let now = self.shared.client.timestamp(&mut patience).await?;
            u64::try_from(now.physical)
                .map_err(|_| Error::Corrupt(format!("the time of PD is {}", now.physical)))
        })
    }

    fn profile(&self) -> CommitProfile {
        CommitProfile {
            blocking: false,
            // The store groups by itself and answers each call as soon as its own batches are decided; so the caller
            // should not wait with one batch for another.
            in_flight: 1024,
            group_bytes: 1,
            batch_bytes: self.shared.batch_bytes,
        }
    }
}
