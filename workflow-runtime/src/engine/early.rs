//! Messages to instances that do not exist yet: kept for a limited time, and taken over by whoever starts the instance.
//!
//! An early message is an ordinary message record. Beside it stands one early record per id, which says until when the
//! messages are kept; a timer of that time removes them. A start has the condition that this record is as it was read,
//! and removes it, so no message is lost between the two.

use bytes::Bytes;
use workflow_model::InstanceId;

use super::WorkflowEngine;
use super::core::{Core, PAGE, decode};
use super::deliver::Undelivered;
use crate::keys::{self, Kind};
use crate::record::{self, EarlyRecord};
use crate::store::{Condition, Error, Write};

/// How many messages are kept for one id that no instance has.
pub(crate) const MOST_EARLY: u32 = 1000;

/// The run that requests belong to which come before any run.
pub(crate) const NO_RUN: u64 = 0;

/// The signals that are kept for an id that no instance has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EarlySignals {
    /// The id.
    pub id: InstanceId,
    /// The workflow that is to be started under it.
    pub workflow: String,
    /// How many signals.
    pub count: u32,
    /// When they are removed, in milliseconds since the Unix epoch by the store's clock.
    pub expires_ms: u64,
}

/// What a start does about messages that came before it.
pub(crate) struct TakeOver {
    pub(crate) condition: Condition,
    pub(crate) writes: Vec<Write>,
    /// There are messages for the instance.
    pub(crate) tells: bool,
}

/// What a start of `workflow` under `id` does, when the early record is `found`.
pub(crate) async fn take_over(
    core: &Core,
    id: &InstanceId,
    workflow: &str,
    found: Option<Bytes>,
) -> Result<TakeOver, Error> {
    let key = core.keys.of(Kind::Early, id);
    let Some(value) = found else {
        return Ok(TakeOver {
            condition: Condition::Absent(key),
            writes: Vec::new(),
            tells: false,
        });
    };
    let early: EarlyRecord = decode(&key, &value)?;
    let tells = early.workflow == workflow;
    let mut writes = vec![
        Write::Delete(key.clone()),
        Write::Delete(core.keys.timer(id, early.expires_ms)),
    ];
    if !tells {
        // They are for another workflow, whose messages this one does not receive.
        writes.extend(removals(core, id).await?);
    }
    Ok(TakeOver {
        condition: Condition::Equals(key, value),
        writes,
        tells,
    })
}

/// Writes that remove the messages of an id, and the requests that they came with.
async fn removals(core: &Core, id: &InstanceId) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    for kind in [Kind::Message, Kind::Request] {
        let records = core.read_all(core.keys.numbered_range(kind, id)).await?;
        writes.extend(records.into_iter().map(|(key, _)| Write::Delete(key)));
    }
    Ok(writes)
}

/// The early record of an id after one more message: the condition and the writes; `None` when there are too many.
pub(super) fn add(
    core: &Core,
    id: &InstanceId,
    workflow: &str,
    found: Option<&Bytes>,
    expires_ms: u64,
) -> Result<Option<(Condition, Vec<Write>)>, Error> {
    let key = core.keys.of(Kind::Early, id);
    let mut early = EarlyRecord {
        workflow: workflow.to_owned(),
        count: 0,
        expires_ms,
    };
    let mut writes = Vec::new();
    let condition = match found {
        None => Condition::Absent(key.clone()),
        Some(value) => {
            let before: EarlyRecord = decode(&key, value)?;
            writes.push(Write::Delete(core.keys.timer(id, before.expires_ms)));
            early.count = before.count;
            early.expires_ms = expires_ms.max(before.expires_ms);
            Condition::Equals(key.clone(), value.clone())
        }
    };
    if early.count >= MOST_EARLY {
        return Ok(None);
    }
    early.count += 1;
    writes.push(Write::Put(core.keys.timer(id, early.expires_ms), Bytes::new()));
    writes.push(Write::Put(key, record::encode(&early)));
    Ok(Some((condition, writes)))
}

/// Looks at the messages of an id that no instance has: removes them if their time is over, and otherwise sees to it that
/// they are looked at then.
pub(super) async fn look(core: &Core, id: &InstanceId) -> Result<(), Error> {
    let key = core.keys.of(Kind::Early, id);
    let early = core.read_one(&key).await?;
    let early: Option<EarlyRecord> = early.map(|value| decode(&key, &value)).transpose()?;
    match early {
        Some(early) if early.expires_ms > core.now_ms() => {
            core.timers.add(core.keys.shard(id), early.expires_ms);
            let conditions = vec![Condition::Absent(core.keys.of(Kind::Instance, id))];
            let writes = vec![Write::Delete(core.keys.of(Kind::Ready, id))];
            // An instance that was started at this moment sees to itself.
            let _ = core.deliver(id, conditions, writes).await;
            Ok(())
        }
        Some(_) => remove(core, id, true).await.map(|_| ()),
        None => Ok(()),
    }
}

/// Removes the messages of an id that no instance has; with `expired_only`, if their time is over.
pub(super) async fn remove(core: &Core, id: &InstanceId, expired_only: bool) -> Result<bool, Error> {
    let key = core.keys.of(Kind::Early, id);
    let Some(value) = core.read_one(&key).await? else {
        return Ok(false);
    };
    let early: EarlyRecord = decode(&key, &value)?;
    if expired_only && early.expires_ms > core.now_ms() {
        return Ok(false);
    }
    let mut writes = vec![
        Write::Delete(key.clone()),
        Write::Delete(core.keys.timer(id, early.expires_ms)),
        Write::Delete(core.keys.of(Kind::Ready, id)),
    ];
    writes.extend(removals(core, id).await?);
    let conditions = vec![
        Condition::Absent(core.keys.of(Kind::Instance, id)),
        Condition::Equals(key, value),
    ];
    match core.deliver(id, conditions, writes).await {
        Ok(()) => Ok(true),
        // It was started, or got another message, at the same moment.
        Err(Undelivered::Conflict(_)) => Ok(false),
        Err(Undelivered::Fenced) => Err(Error::Unavailable(
            "another engine has taken the store over".to_owned(),
        )),
        Err(Undelivered::Store(error)) => Err(error),
    }
}

impl<R> WorkflowEngine<R> {
    /// The signals that are kept for ids that no instance has, at most `limit` ids; see
    /// [`SendSignal::keep_until_started`](crate::SendSignal::keep_until_started).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn early_signals(&self, limit: usize) -> Result<Vec<EarlySignals>, Error> {
        let core = self.core();
        let mut all = Vec::new();
        for shard in core.keys.shards() {
            let mut range = core.keys.range(shard, Kind::Early);
            while all.len() < limit {
                let page = core
                    .store
                    .scan(range.clone(), PAGE.min(limit - all.len()))
                    .await?;
                let Some((last, _)) = page.last() else { break };
                range.start = keys::after(last);
                for (key, value) in page {
                    let early: EarlyRecord = decode(&key, &value)?;
                    all.extend(core.keys.id_of(&key).map(|id| EarlySignals {
                        id,
                        workflow: early.workflow,
                        count: early.count,
                        expires_ms: early.expires_ms,
                    }));
                }
            }
        }
        Ok(all)
    }

    /// Removes the signals that are kept for an id that no instance has; false when there are none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn discard_early_signals(&self, id: &InstanceId) -> Result<bool, Error> {
        remove(self.core(), id, false).await
    }
}
