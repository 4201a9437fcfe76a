//! One transaction over many batches: read what their conditions name, judge, write, commit, and find out what became
//! of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use tikv_client::{Timestamp, Transaction};

use super::client::{Client, Patience, number};
use super::failure::{self, Failure};
use super::judge::{Judged, Snapshot, judge};
use super::layout::{Layout, Stamped, stamp, unstamp};
use crate::store::{Batch, Error, Verdict};

/// What became of an attempt to commit batches together.
pub(super) enum Attempt {
    /// It is committed, or there was nothing to commit.
    Done(Vec<Verdict>),
    /// Nothing of it is applied and nothing will be: another transaction was faster.
    Conflict,
    /// Nothing of it is applied and nothing will be: TiKV did not do it in one phase.
    NotOnePhase,
    /// Nothing of it is applied and nothing will be: TiKV takes no entry of so many bytes.
    TooLarge(usize),
    /// Nothing of it is applied and nothing will be.
    Failed(Error),
    /// It may be applied; what is left to do to find out is in the store's list.
    Undecided(Box<Undecided>),
}

/// A transaction whose outcome could not be found out.
pub(super) struct Undecided {
    transaction: Transaction,
    written: Written,
    pub(super) error: String,
}

/// What a transaction wrote and what it knew before.
struct Written {
    start: u64,
    primary: Vec<u8>,
    /// Keys that got a value, in descending order, with the writer of the value that they had before. There is one.
    puts: Vec<(Vec<u8>, Option<u64>)>,
    /// Keys that got none.
    deletes: Vec<Vec<u8>>,
}

impl Written {
    fn keys(&self) -> Vec<Vec<u8>> {
        let puts = self.puts.iter().map(|(key, _)| key);
        puts.chain(&self.deletes).cloned().collect()
    }
}

/// Commits batches in one transaction.
pub(super) async fn attempt(
    client: &Client,
    layout: &Layout,
    batches: &[&Batch],
    patience: &mut Patience,
    one_phase: bool,
) -> Attempt {
    let (transaction, judged, snapshot) = match prepare(client, layout, batches, patience, one_phase).await {
        Ok(prepared) => prepared,
        Err(error) => return Attempt::Failed(error),
    };
    if judged.writes.is_empty() {
        return Attempt::Done(judged.verdicts);
    }
    let verdicts = judged.verdicts.clone();
    match write(client, layout, transaction, judged, &snapshot, patience).await {
        Ok(()) => Attempt::Done(verdicts),
        Err(other) => other,
    }
}

/// Reads and judges.
async fn prepare(
    client: &Client,
    layout: &Layout,
    batches: &[&Batch],
    patience: &mut Patience,
    one_phase: bool,
) -> Result<(Transaction, Judged, Snapshot), Error> {
    let transaction = client.begin(patience, one_phase).await?;
    let conditions = batches.iter().flat_map(|batch| &batch.conditions);
    let keys: BTreeSet<&Bytes> = conditions.map(|condition| condition.key()).collect();
    let full: Vec<_> = keys.iter().map(|key| layout.key(key)).collect();
    // The later timestamp comes meanwhile; it may save the look of `is_committed`.
    let (start, mut other) = (transaction.start_timestamp(), patience.clone());
    let (found, later) = tokio::join!(client.read(patience, &start, &full), client.timestamp(&mut other));
    let mut found = found?;
    later?;
    let mut snapshot = Snapshot::with_capacity(keys.len());
    for (key, full) in keys.into_iter().zip(&full) {
        if let Some(value) = found.remove(full) {
            snapshot.insert(key.clone(), unstamp(value)?);
        }
    }
    let judged = judge(batches.iter().copied(), &snapshot);
    Ok((transaction, judged, snapshot))
}

/// Commits what was judged; or says what became of it.
async fn write(
    client: &Client,
    layout: &Layout,
    mut transaction: Transaction,
    judged: Judged,
    snapshot: &Snapshot,
    patience: &mut Patience,
) -> Result<(), Attempt> {
    let written = buffer(layout, &mut transaction, judged, snapshot)
        .await
        .map_err(Attempt::Failed)?;
    let limit = client.attempt(patience);
    let before = client.latest();
    let (failure, error) = match tokio::time::timeout(limit, transaction.commit()).await {
        Ok(Ok(commit)) => match is_committed(client, &written, commit, before, patience).await {
            Ok(true) => return Ok(()),
            Ok(false) => (Failure::Unclear, "it was acknowledged and not made".to_owned()),
            Err(error) => (Failure::Unclear, error.to_string()),
        },
        Ok(Err(error)) => (failure::of_commit(&error), failure::text(&error)),
        Err(_) => {
            client.renew(patience).await;
            (Failure::Unclear, format!("no answer within {limit:?}"))
        }
    };
    // Prewriting failed, or fell short of one phase: nobody can have committed the locks that are left. Rolling back
    // removes them; that it succeeds says that no key is committed and none will be.
    let rolled_back = matches!(failure, Failure::Conflict | Failure::NotOnePhase)
        && roll_back(client, &mut transaction, patience).await == Rollback::Done;
    let decided = if rolled_back {
        Ok(false)
    } else {
        decide(client, &mut transaction, &written, patience).await
    };
    match decided {
        Ok(true) => Ok(()),
        Ok(false) => Err(match failure {
            Failure::Conflict => Attempt::Conflict,
            Failure::NotOnePhase => Attempt::NotOnePhase,
            Failure::TooLarge(size) => Attempt::TooLarge(size),
            Failure::Unclear => Attempt::Failed(Error::Unavailable(format!("a commit: {error}"))),
        }),
        Err(why) => Err(Attempt::Undecided(Box::new(Undecided {
            transaction,
            written,
            error: format!("a commit: {error}; what became of it: {why}"),
        }))),
    }
}

/// Whether a commit that the client reports is one.
///
/// The client looks up the region of each key, in their order, before it sends a request. If PD cannot tell one, it
/// leaves out that key and all behind it, without an error: a commit of which nothing was sent is reported as made. That
/// no transaction is torn in this way is why the last key is the primary one: if a key is left out, the primary key is,
/// and without it nothing is committed. That none is lost is why this looks.
///
/// A commit in one phase gets its timestamp from TiKV, right behind the latest read; every other one, and one that was
/// never sent, from PD during the commit. So one that is not later than what PD gave before was made in one phase.
async fn is_committed(
    client: &Client,
    written: &Written,
    commit: Option<Timestamp>,
    before: u64,
    patience: &mut Patience,
) -> Result<bool, Error> {
    let Some(commit) = commit else { return Ok(false) };
    if number(&commit) <= before {
        return Ok(true);
    }
    let primary = written.puts.iter().find(|(key, _)| *key == written.primary);
    let Some((key, _)) = primary.or(written.puts.first()) else {
        return Ok(false);
    };
    let mut found = client.read(patience, &commit, std::slice::from_ref(key)).await?;
    match found.remove(key) {
        Some(value) => Ok(unstamp(value)?.writer == written.start),
        None => Ok(false),
    }
}

/// How many keys there are for the marks of transactions that write no value.
const MARKS: u64 = 64;

/// Puts the writes into the transaction.
async fn buffer(
    layout: &Layout,
    transaction: &mut Transaction,
    judged: Judged,
    snapshot: &Snapshot,
) -> Result<Written, Error> {
    let unusable = |error| Error::Unavailable(format!("a transaction: {}", failure::text(&error)));
    let start = number(&transaction.start_timestamp());
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    let mut primary = None;
    // The first key that a transaction gets is its primary one: see `is_committed`.
    for (key, value) in judged.writes.into_iter().rev() {
        let full = layout.key(&key);
        primary.get_or_insert_with(|| full.clone());
        match value {
            Some(value) => {
                let value = stamp(&value, start);
                transaction.put(full.clone(), value).await.map_err(unusable)?;
                puts.push((full, snapshot.get(&key).map(|before| before.writer)));
            }
            None => {
                transaction.delete(full.clone()).await.map_err(unusable)?;
                deletes.push(full);
            }
        }
    }
    if puts.is_empty() {
        // Without a value there would be nothing to recognise the transaction by.
        let mark = layout.own(&format!("mark {}", start % MARKS));
        transaction
            .put(mark.clone(), stamp(&[], start))
            .await
            .map_err(unusable)?;
        puts.push((mark, None));
    }
    Ok(Written {
        start,
        primary: primary.unwrap_or_default(),
        puts,
        deletes,
    })
}

/// What became of rolling a transaction back.
#[derive(PartialEq, Eq)]
enum Rollback {
    /// No key of it is committed and none will be.
    Done,
    /// A key of it is committed.
    Refused,
    /// It is not known: the cluster did not answer, or regions have moved.
    Failed,
}

async fn roll_back(client: &Client, transaction: &mut Transaction, patience: &Patience) -> Rollback {
    let limit = client.attempt(patience);
    match tokio::time::timeout(limit, transaction.rollback()).await {
        Ok(Ok(())) => Rollback::Done,
        Ok(Err(error)) if failure::is_refusal(&error) => Rollback::Refused,
        _ => Rollback::Failed,
    }
}

impl Undecided {
    /// Fixes the outcome: what is read afterwards is final.
    pub(super) async fn foreclose(&mut self, client: &Client, patience: &mut Patience) -> Result<(), Error> {
        foreclose(client, &mut self.transaction, &self.written, patience).await?;
        Ok(())
    }
}

/// Fixes the outcome of a transaction: a request that is still on its way is refused from then on. Says whether it is
/// known by that to be rolled back.
async fn foreclose(
    client: &Client,
    transaction: &mut Transaction,
    written: &Written,
    patience: &mut Patience,
) -> Result<bool, Error> {
    loop {
        if client.resolve(patience, written.start, &written.primary).await? {
            return Ok(false);
        }
        // The primary key is neither locked nor committed. Only a commit in one phase can still arrive, which locks
        // nothing and is applied whole; so rolling all keys back cannot tear it. It leaves marks that refuse it, or finds
        // it committed.
        if roll_back(client, transaction, patience).await == Rollback::Done {
            return Ok(true);
        }
        // It may have failed because regions have moved; reading looks for them.
        let now = client.timestamp(patience).await?;
        client.read(patience, &now, &written.keys()).await?;
        if !patience.pause().await {
            return Err(Error::Unavailable(
                "a transaction in doubt can neither be found nor be rolled back".to_owned(),
            ));
        }
    }
}

/// Finds out whether a transaction is applied, such that the answer never changes.
async fn decide(
    client: &Client,
    transaction: &mut Transaction,
    written: &Written,
    patience: &mut Patience,
) -> Result<bool, Error> {
    patience.calm();
    if foreclose(client, transaction, written, patience).await? {
        return Ok(false);
    }
    // Reading each key resolves the locks that are left on it, one way or the other.
    let now = client.timestamp(patience).await?;
    let mut found = client.read(patience, &now, &written.keys()).await?;
    let mut unchanged = false;
    for (key, before) in &written.puts {
        let Some(value) = found.remove(key) else { continue };
        let Stamped { writer, .. } = unstamp(value)?;
        if writer == written.start {
            return Ok(true);
        }
        // Each write has a writer of its own, so a value that was not replaced was not replaced by us either.
        unchanged |= *before == Some(writer);
    }
    if unchanged {
        return Ok(false);
    }
    // Others have written all keys since, or there was no value to recognise. No lock of ours is left, so rolling back
    // changes nothing; but it is refused where a key is committed.
    loop {
        match roll_back(client, transaction, patience).await {
            Rollback::Done => return Ok(false),
            Rollback::Refused => return Ok(true),
            Rollback::Failed => {}
        }
        if !patience.pause().await {
            return Err(Error::Unavailable("it cannot be rolled back".to_owned()));
        }
        // Regions may have moved; reading looks for them.
        let now = client.timestamp(patience).await?;
        client.read(patience, &now, &written.keys()).await?;
    }
}
