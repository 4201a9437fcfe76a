//! Opening a store: its format, the engine's number, the leases of the shards, and what was ready when it was opened.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::builder::BuildError;
use super::committer::commit_one;
use super::core::{Core, PAGE, decode};
use super::lease::{Deadline, Lease, LeaseRecord};
use super::runner;
use crate::coordination::nonce;
use crate::keys::{self, Keys, Kind, SHARDS};
use crate::store::{self, Batch, Condition, Store, Verdict, Write};

/// The version of the key layout and of the engine's records.
const FORMAT: &[u8] = b"1";

/// A store that was taken over.
pub(crate) struct Opened {
    pub(crate) epoch: u64,
    pub(crate) keys: Keys,
    /// The leases, and whether the one before was left in order.
    pub(crate) leases: Vec<(Lease, bool)>,
}

/// The beginning of the batch that gives an engine its number.
pub(crate) struct Header {
    pub(crate) number: u64,
    pub(crate) shards: u16,
    /// Its first put has a value that no other engine writes.
    pub(crate) batch: Batch,
}

/// Checks the format, and prepares the batch with which an engine gets its number.
pub(crate) async fn header(store: &dyn Store) -> Result<Header, BuildError> {
    let [format, epoch, shards] = ["format", "epoch", "shards"].map(keys::meta);
    let found = store
        .get(&[format.clone(), epoch.clone(), shards.clone()])
        .await?;
    let [found_format, found_epoch, found_shards] = &found[..] else {
        return Err(
            store::Error::Corrupt("a read of three keys gave another number of values".to_owned()).into(),
        );
    };
    if let Some(found) = found_format
        && found != FORMAT
    {
        return Err(BuildError::Format {
            found: String::from_utf8_lossy(found).into_owned(),
            supported: String::from_utf8_lossy(FORMAT).into_owned(),
        });
    }
    let before = match found_epoch {
        None => 0,
        Some(value) => {
            let digits = value.split(|byte| *byte == b' ').next();
            number(digits.unwrap_or_default())
                .ok_or_else(|| store::Error::Corrupt(format!("the epoch is {value:?}")))?
        }
    };
    let shard_count = match found_shards {
        None => SHARDS,
        Some(value) => number(value)
            .and_then(|count| u16::try_from(count).ok())
            .ok_or_else(|| store::Error::Corrupt(format!("the number of shards is {value:?}")))?,
    };
    let number = before + 1;
    let mut batch = Batch {
        conditions: vec![match found_epoch {
            None => Condition::Absent(epoch.clone()),
            Some(found) => Condition::Equals(epoch.clone(), found.clone()),
        }],
        writes: vec![
            // Two engines may begin at the same number; this tells which of them has got it.
            Write::Put(epoch, Bytes::from(format!("{number} {:016x}", nonce()))),
            Write::Put(format.clone(), Bytes::from_static(FORMAT)),
            Write::Put(shards, Bytes::from(shard_count.to_string())),
        ],
    };
    if found_format.is_none() {
        batch.conditions.push(Condition::Absent(format));
    }
    Ok(Header {
        number,
        shards: shard_count,
        batch,
    })
}

/// Takes all shards: whoever had them before cannot write any more.
pub(super) async fn open(store: &dyn Store, namespace: &str) -> Result<Opened, BuildError> {
    let Header {
        number,
        shards,
        mut batch,
    } = header(store).await?;
    let keys = Keys::new(namespace, shards);
    let deadline = Arc::new(Deadline::never());
    let lease_keys: Vec<Bytes> = keys.shards().map(|shard| keys.lease(shard)).collect();
    let found = store.get(&lease_keys).await?;
    let mut leases = Vec::with_capacity(lease_keys.len());
    for ((shard, key), found) in keys.shards().zip(lease_keys).zip(found) {
        let found: Option<LeaseRecord> = found.map(|value| decode(&key, &value)).transpose()?;
        let clean = found.as_ref().is_none_or(|found| found.node == 0 && found.clean);
        let value = LeaseRecord {
            sole: true,
            ..LeaseRecord::next(found.as_ref(), number, clean)
        }
        .encode();
        batch.writes.push(Write::Put(key.clone(), value.clone()));
        leases.push((Lease::new(shard, key, value, deadline.clone()), clean));
    }
    // Claims of a cluster's nodes, and the nodes, are no more.
    for range in [keys.beats(), keys.orphans()] {
        for (key, _) in store.scan(range, PAGE).await? {
            if let Some(id) = keys.orphan_of(&key) {
                batch.writes.push(Write::Delete(keys.of(Kind::Claim, &id)));
            }
            batch.writes.push(Write::Delete(key));
        }
    }
    if commit_one(store, &batch).await? != Verdict::Applied {
        return Err(BuildError::Contended);
    }
    Ok(Opened {
        epoch: number,
        keys,
        leases,
    })
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Reads again where the store cannot serve just now: an engine should not fail to open for a moment's fault.
async fn patiently<'a, T>(read: impl Fn() -> store::StoreFuture<'a, T>) -> Result<T, store::Error> {
    let mut pause = Duration::from_millis(10);
    loop {
        match read().await {
            Err(store::Error::Unavailable(_)) if pause < Duration::from_secs(1) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            read => return read,
        }
    }
}

/// Continues every instance of a shard that has something to do.
pub(crate) async fn recover(core: &Arc<Core>, shard: u16, crashed: bool) -> Result<(), store::Error> {
    let range = core.keys.range(shard, Kind::Ready);
    let mut start = range.start;
    loop {
        let page = patiently(|| core.store.scan(start.clone()..range.end.clone(), PAGE)).await?;
        let full = page.len() == PAGE;
        for (key, _) in &page {
            if let Some(id) = core.keys.id_of(key) {
                runner::activate(core, id, crashed);
            }
        }
        match page.last() {
            Some((key, _)) if full => start = keys::after(key),
            _ => return Ok(()),
        }
    }
}

/// Gives the shards back in order, after everything in memory has stopped: the next holder need not suspect a step of
/// having killed the process.
pub(super) async fn release(core: &Arc<Core>) {
    let mut batch = Batch::default();
    for lease in core.leases.all() {
        let Ok(held) = decode::<LeaseRecord>(lease.key(), lease.value()) else {
            continue;
        };
        batch.conditions.push(lease.fence());
        batch.writes.push(Write::Put(
            lease.key().clone(),
            LeaseRecord {
                node: 0,
                epoch: held.epoch,
                clean: true,
                sole: false,
            }
            .encode(),
        ));
    }
    if !batch.writes.is_empty() {
        let _ = core.committer.commit(batch).await;
    }
}
