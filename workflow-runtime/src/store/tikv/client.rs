//! The connection to the cluster: every request has a time limit, is tried again, and gives up at a deadline.
//!
//! The client survives region errors, moved leaders and restarts of TiKV nodes by itself. What it does not survive is a
//! PD that stops answering on an open stream: it would wait for ever. So a request that takes too long counts as lost,
//! and the connection is made anew.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tikv_client::transaction::{HeartbeatOption, ResolveLocksOptions};
use tikv_client::{
    Backoff, CheckLevel, Config, Error as ClientError, ProtoLockInfo, RetryOptions, Timestamp, TimestampExt,
    Transaction, TransactionClient, TransactionOptions,
};
use tokio::time::Instant;

use super::failure;
use super::settings::TikvStoreBuilder;
use crate::store::Error;

/// A read of many large values comes in one message per region.
const MESSAGE_BYTES: usize = 1 << 30;

/// How many keys one request reads at most.
const KEYS_PER_READ: usize = 1024;

/// So many request timeouts may one attempt take: it consists of several requests, and may wait for a lock.
const REQUESTS_PER_ATTEMPT: u32 = 4;

/// A transaction that is not at its primary key after so long has no client any more: its locks live 3 seconds, if it is
/// not a large one.
const LOST_AFTER_MS: i64 = 5_000;

/// How a read looks for regions that have moved.
const REGION_BACKOFF: Backoff = Backoff::no_jitter_backoff(2, 200, 8);

const FIRST_PAUSE_MS: u64 = 5;
const LONGEST_PAUSE_MS: u64 = 1_000;

/// A cluster and how long to wait for it.
pub(super) struct Client {
    endpoints: Vec<String>,
    config: Config,
    request_timeout: Duration,
    patience: Duration,
    current: RwLock<TransactionClient>,
    /// One at a time makes the connection anew.
    renewing: tokio::sync::Mutex<()>,
    /// The latest timestamp that PD has given.
    latest: AtomicU64,
}

impl Client {
    pub(super) async fn connect(settings: &TikvStoreBuilder) -> Result<Self, Error> {
        let mut config = Config::default()
            .with_timeout(settings.request_timeout)
            .with_grpc_max_decoding_message_size(MESSAGE_BYTES);
        if let Some(tls) = &settings.tls {
            config = config.with_security(&tls.authority, &tls.certificate, &tls.key);
        }
        let endpoints = settings.endpoints.clone();
        let mut patience = Patience::new(settings.patience.min(settings.request_timeout * 5));
        // PD may be starting just now.
        let client = loop {
            match connect_once(&endpoints, &config, patience.left()).await {
                Ok(client) => break client,
                Err(error) if !patience.pause().await => return Err(error),
                Err(_) => {}
            }
        };
        Ok(Client {
            endpoints,
            config,
            request_timeout: settings.request_timeout,
            patience: settings.patience,
            current: RwLock::new(client),
            renewing: tokio::sync::Mutex::default(),
            latest: AtomicU64::new(0),
        })
    }

    pub(super) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.patience)
    }

    fn current(&self) -> TransactionClient {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How long an attempt may take.
    pub(super) fn attempt(&self, patience: &Patience) -> Duration {
        (self.request_timeout * REQUESTS_PER_ATTEMPT).min(patience.left())
    }

    /// Does something until it succeeds, patience ends, or it can never succeed. `range` is what it reads: locks of the
    /// dead that the client cannot resolve are removed there.
    async fn persist<T, F, Fut>(
        &self,
        patience: &mut Patience,
        what: &str,
        range: Option<Range<Vec<u8>>>,
        action: F,
    ) -> Result<T, Error>
    where
        F: Fn(TransactionClient) -> Fut + Send,
        Fut: Future<Output = Result<T, ClientError>> + Send,
    {
        loop {
            let attempt = self.attempt(patience);
            let problem = match tokio::time::timeout(attempt, action(self.current())).await {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(error)) => {
                    if let (Some(range), Some(start)) = (&range, failure::lost_transaction(&error)) {
                        self.remove_lost(range, start, attempt).await;
                    }
                    let text = format!("{what}: {}", failure::text(&error));
                    if failure::is_permanent(&error) {
                        return Err(Error::Unavailable(text));
                    }
                    text
                }
                Err(_) => {
                    self.renew(patience).await;
                    format!("{what}: no answer within {attempt:?}")
                }
            };
            if !patience.pause().await {
                return Err(Error::Unavailable(problem));
            }
        }
    }

    /// Rolls back the transactions up to this one that have left locks in a range, if it is so old that its client must
    /// be dead. If it is not, that is safe too: the client finds it rolled back.
    async fn remove_lost(&self, range: &Range<Vec<u8>>, start: u64, limit: Duration) {
        let client = self.current();
        let removing = async {
            let now = client.current_timestamp().await?;
            let lost = Timestamp::from_version(start);
            if now.physical - lost.physical > LOST_AFTER_MS {
                let options = ResolveLocksOptions::default();
                client.cleanup_locks(range.clone(), &lost, options).await?;
            }
            Ok::<_, ClientError>(())
        };
        // If it fails, the caller's next attempt meets the lock again.
        let _ = tokio::time::timeout(limit, removing).await;
    }

    /// Makes the connection anew, because the old one does not answer.
    pub(super) async fn renew(&self, patience: &Patience) {
        let before = Instant::now();
        let _one = self.renewing.lock().await;
        if before.elapsed() > self.request_timeout {
            // Somebody else has done it meanwhile.
            return;
        }
        let limit = (self.request_timeout * 2).min(patience.left());
        if let Ok(client) = connect_once(&self.endpoints, &self.config, limit).await {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = client;
        }
    }

    pub(super) async fn timestamp(&self, patience: &mut Patience) -> Result<Timestamp, Error> {
        let timestamp = self
            .persist(patience, "a timestamp of PD", None, |client| async move {
                client.current_timestamp().await
            })
            .await?;
        self.latest.fetch_max(number(&timestamp), Ordering::SeqCst);
        Ok(timestamp)
    }

    /// The latest timestamp that PD has given: each later one is greater.
    pub(super) fn latest(&self) -> u64 {
        self.latest.load(Ordering::SeqCst)
    }

    /// Begins an optimistic transaction, for its writes alone. It sends no request again by itself.
    pub(super) async fn begin(&self, patience: &mut Patience, one_phase: bool) -> Result<Transaction, Error> {
        let transaction = self
            .persist(
                patience,
                "the begin of a transaction",
                None,
                |client| async move {
                    let options = options(Backoff::no_backoff());
                    let options = if one_phase { options.try_one_pc() } else { options };
                    client.begin_with_options(options).await
                },
            )
            .await?;
        self.latest
            .fetch_max(number(&transaction.start_timestamp()), Ordering::SeqCst);
        Ok(transaction)
    }

    /// Reads keys as they were at a timestamp; those without a value are missing.
    pub(super) async fn read(
        &self,
        patience: &mut Patience,
        at: &Timestamp,
        keys: &[Vec<u8>],
    ) -> Result<HashMap<Vec<u8>, Vec<u8>>, Error> {
        let mut found = HashMap::with_capacity(keys.len());
        for part in keys.chunks(KEYS_PER_READ) {
            let pairs = self
                .persist(patience, "a read", span(part), |client| {
                    let (at, part) = (at.clone(), part.to_vec());
                    async move {
                        let mut snapshot = client.snapshot(at, options(REGION_BACKOFF));
                        Ok(snapshot.batch_get(part).await?.collect::<Vec<_>>())
                    }
                })
                .await?;
            found.extend(pairs.into_iter().map(|pair| (pair.0.into(), pair.1)));
        }
        Ok(found)
    }

    /// Reads the first pairs of a range as they were at a timestamp.
    pub(super) async fn scan(
        &self,
        patience: &mut Patience,
        at: &Timestamp,
        range: Range<Vec<u8>>,
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
        let pairs = self
            .persist(patience, "a scan", Some(range.clone()), |client| {
                let (at, range) = (at.clone(), range.clone());
                async move {
                    let mut snapshot = client.snapshot(at, options(REGION_BACKOFF));
                    Ok(snapshot.scan(range, limit).await?.collect::<Vec<_>>())
                }
            })
            .await?;
        Ok(pairs.into_iter().map(|pair| (pair.0.into(), pair.1)).collect())
    }

    /// Asks TiKV to roll a transaction back unless it is committed, by the lock on its primary key. Says whether its
    /// outcome is fixed with that; it is not if the primary key knows nothing of the transaction.
    pub(super) async fn resolve(
        &self,
        patience: &mut Patience,
        start: u64,
        primary: &[u8],
    ) -> Result<bool, Error> {
        self.persist(patience, "the end of a transaction in doubt", None, |client| {
            // A time to live of zero says that the lock has expired, however young it is.
            let lock = ProtoLockInfo {
                primary_lock: primary.to_vec(),
                key: primary.to_vec(),
                lock_version: start,
                lock_ttl: 0,
                ..ProtoLockInfo::default()
            };
            async move {
                let now = client.current_timestamp().await?;
                match client.resolve_locks(vec![lock], now, Backoff::no_backoff()).await {
                    Ok(live) if live.is_empty() => Ok(true),
                    Ok(live) => Err(ClientError::ResolveLockError(live)),
                    Err(error) if failure::lost_transaction(&error).is_some() => Ok(false),
                    Err(error) => Err(error),
                }
            }
        })
        .await
    }
}

/// The range from the first key to the last one.
fn span(keys: &[Vec<u8>]) -> Option<Range<Vec<u8>>> {
    let (first, last) = (keys.iter().min()?, keys.iter().max()?);
    Some(first.clone()..[last, &[0][..]].concat())
}

async fn connect_once(
    endpoints: &[String],
    config: &Config,
    limit: Duration,
) -> Result<TransactionClient, Error> {
    let connecting = TransactionClient::new_with_config(endpoints.to_vec(), config.clone());
    let problem = match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(client)) => return Ok(client),
        Ok(Err(error)) => failure::text(&error),
        Err(_) => format!("no answer within {limit:?}"),
    };
    Err(Error::Unavailable(format!(
        "no PD of a TiKV cluster answers at {}; check the endpoints, that PD runs, and the TLS settings ({problem})",
        endpoints.join(", ")
    )))
}

fn options(region_backoff: Backoff) -> TransactionOptions {
    TransactionOptions::new_optimistic()
        // A commit ends long before its locks expire, or it may as well be rolled back: no heartbeat, which costs a
        // task for each transaction.
        .heartbeat_option(HeartbeatOption::NoHeartbeat)
        // A transaction that is dropped has left nothing behind, or is in the list of those in doubt.
        .drop_check(CheckLevel::None)
        .retry_options(RetryOptions {
            region_backoff,
            // Up to the time to live of a dead client's lock, 3 seconds for all but large transactions.
            lock_backoff: Backoff::no_jitter_backoff(1, 250, 22),
        })
}

/// A deadline, and pauses before it that grow.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    until: Instant,
    pause_ms: u64,
}

impl Patience {
    fn new(patience: Duration) -> Self {
        Patience {
            until: Instant::now() + patience,
            pause_ms: FIRST_PAUSE_MS,
        }
    }

    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Waits a while, each time about twice as long; or says that patience has ended.
    pub(super) async fn pause(&mut self) -> bool {
        let left = self.left();
        if left.is_zero() {
            return false;
        }
        // Between a half and a whole: those who failed together do not come back together.
        let chance = RandomState::new().hash_one(self.pause_ms) % (self.pause_ms / 2 + 1);
        let pause = Duration::from_millis(self.pause_ms - chance);
        self.pause_ms = (self.pause_ms * 2).min(LONGEST_PAUSE_MS);
        tokio::time::sleep(pause.min(left)).await;
        true
    }

    /// The next pause is short again: something went forward.
    pub(super) fn calm(&mut self) {
        self.pause_ms = FIRST_PAUSE_MS;
    }
}

/// A timestamp as one number.
pub(super) fn number(timestamp: &Timestamp) -> u64 {
    timestamp.version()
}
