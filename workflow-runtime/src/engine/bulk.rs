//! Orders to all instances that match a filter.
//!
//! The instances are gone through in their fixed order, a page at a time. A page's orders and the bulk order's own record,
//! which says how far it is, are one batch: whatever crashes, each instance gets the order once, and asking again goes on
//! where the last one was.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use workflow_model::{InstanceId, InstanceSummary, InvalidId};

use super::WorkflowEngine;
use super::control::ControlError;
use super::core::{Core, decode};
use super::deliver::Undelivered;
use super::list::{self, ListFilter};
use super::order::{self, After, Order};
use crate::record;
use crate::store::{self, Condition, Write};

/// How many orders are committed together.
const PAGE: usize = 64;

/// How many instances without a match are passed before it is noted how far the order is.
const NOTE_EVERY: u32 = 32;

/// How many instances that could not be ordered are remembered.
const FAILED: usize = 1000;

/// How often a page is planned anew because its instances change meanwhile, before it goes on one by one.
const TRIES: u32 = 4;

/// How often a single instance is tried.
const TRIES_ALONE: u32 = 20;

/// How often in a row the store may be unavailable, with pauses of 10 ms, 20 ms and so on.
const PATIENCE: u32 = 6;

/// How many more instances than before may be in memory before the order takes a breath.
const AHEAD: usize = 1000;

/// Why a bulk order did not come to its end. What was ordered stays ordered; ask again with the same name.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BulkError {
    /// The name breaks a rule.
    #[error("the name of the bulk order is refused: {0}")]
    Name(#[from] InvalidId),
    /// The name belongs to another order.
    #[error(
        "the bulk order `{name}` was given before, with another filter or another order; choose another name"
    )]
    OtherOrder {
        /// The name.
        name: String,
    },
    /// Another engine has opened the store.
    #[error("another engine has taken the store over; this one can write no more")]
    Fenced,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What a bulk order has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BulkReport {
    /// Instances that got the order.
    pub ordered: u64,
    /// Instances that match the filter, and to which the order means nothing: they have ended, or are paused already.
    pub skipped: u64,
    /// Instances that match the filter and could not be ordered.
    pub failed: u64,
    /// The first 1,000 of these, with the reason.
    pub failures: Vec<BulkFailure>,
}

/// An instance that could not be ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BulkFailure {
    /// The instance.
    pub id: InstanceId,
    /// Why.
    pub error: String,
}

/// How far a bulk order is.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct BulkRecord {
    order: Order,
    filter: ListFilter,
    /// Instances that were started later are none of its business.
    asked_ms: u64,
    /// The last instance that was looked at.
    position: Option<InstanceId>,
    /// A number that no other write of the record has: two askers may come to the same report.
    write: u64,
    done: bool,
    report: BulkReport,
}

/// An order to all instances that match a filter; see [`WorkflowEngine::bulk`].
#[must_use = "nothing is ordered before a verb is awaited"]
#[derive(Debug)]
pub struct Bulk<'a> {
    core: &'a Arc<Core>,
    name: Result<InstanceId, InvalidId>,
    filter: ListFilter,
}

impl<R> WorkflowEngine<R> {
    /// Prepares an order to all instances that match `filter` and exist when it is given.
    ///
    /// The order has a name, so that it can be asked for again: after a crash in the middle the same call goes on where the
    /// first one was, and each instance gets the order once; a call with the name of an order that is done gives its report.
    /// Memory does not grow with the number of instances.
    ///
    /// ```
    /// use workflow_runtime::{ListFilter, prelude::*};
    ///
    /// #[workflow]
    /// async fn reminder(to: String) -> String {
    ///     sleep("30d").await;
    ///     to
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<reminder>::builder().in_memory().build().await?;
    /// for n in 0..10 {
    ///     engine.start(reminder("you".into())).id(format!("reminder-{n}")).await?;
    /// }
    /// let filter = ListFilter::default().workflow("reminder").id_prefix("reminder-");
    /// let report = engine.bulk("campaign-over", filter.clone()).cancel("the campaign is over").await?;
    /// assert_eq!((report.ordered, report.failed), (10, 0));
    /// // Asked again it is the same order.
    /// assert_eq!(engine.bulk("campaign-over", filter).cancel("the campaign is over").await?, report);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// [`ListFilter::limit`] and [`ListFilter::after`] mean nothing here.
    pub fn bulk(&self, name: impl Into<String>, filter: ListFilter) -> Bulk<'_> {
        Bulk {
            core: self.core(),
            name: InstanceId::new(name.into()),
            filter: filter.unpaged(),
        }
    }
}

impl Bulk<'_> {
    /// Asks them to stop: see [`WorkflowEngine::cancel`].
    ///
    /// # Errors
    /// [`BulkError`] says why not all of them were looked at.
    pub async fn cancel(self, reason: impl Into<String>) -> Result<BulkReport, BulkError> {
        self.give(Order::Cancel(reason.into())).await
    }

    /// Ends them at once: see [`WorkflowEngine::terminate`].
    ///
    /// # Errors
    /// [`BulkError`] says why not all of them were looked at.
    pub async fn terminate(self, reason: impl Into<String>) -> Result<BulkReport, BulkError> {
        self.give(Order::Terminate(reason.into())).await
    }

    /// Stops them until they are resumed: see [`WorkflowEngine::pause`].
    ///
    /// # Errors
    /// [`BulkError`] says why not all of them were looked at.
    pub async fn pause(self, reason: impl Into<String>) -> Result<BulkReport, BulkError> {
        self.give(Order::Pause(reason.into())).await
    }

    /// Lets those that are paused go on: see [`WorkflowEngine::resume`].
    ///
    /// # Errors
    /// [`BulkError`] says why not all of them were looked at.
    pub async fn resume(self) -> Result<BulkReport, BulkError> {
        self.give(Order::Resume).await
    }

    /// Lets those that are blocked go on: see [`WorkflowEngine::retry`].
    ///
    /// # Errors
    /// [`BulkError`] says why not all of them were looked at.
    pub async fn retry(self) -> Result<BulkReport, BulkError> {
        self.give(Order::Retry).await
    }

    async fn give(self, order: Order) -> Result<BulkReport, BulkError> {
        let name = self.name?;
        let key = self.core.keys.bulk(&name);
        let load = || Progress::load(self.core, &name, key.clone(), order.clone(), self.filter.clone());
        let mut progress = load().await?;
        let mut failures = 0;
        loop {
            let error = match progress.page().await {
                Ok(()) if progress.record.done => return Ok(progress.record.report),
                Ok(()) => {
                    failures = 0;
                    continue;
                }
                Err(error) => error,
            };
            // The store may serve again in a moment. What stands in it is read anew, since the page may be written in part.
            let shard = progress.shard;
            progress = patiently(error, &mut failures, load).await?;
            progress.shard = shard;
        }
    }
}

/// Loads a bulk order again, after a pause, if `error` is one that passes.
async fn patiently<'a, F>(
    mut error: BulkError,
    failures: &mut u32,
    load: impl Fn() -> F,
) -> Result<Progress<'a>, BulkError>
where
    F: Future<Output = Result<Progress<'a>, BulkError>>,
{
    loop {
        if !matches!(error, BulkError::Store(store::Error::Unavailable(_))) || *failures == PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(10 << *failures)).await;
        *failures += 1;
        match load().await {
            Ok(progress) => return Ok(progress),
            Err(next) => error = next,
        }
    }
}

/// A bulk order at work.
struct Progress<'a> {
    core: &'a Arc<Core>,
    key: Bytes,
    /// The record as it is stored; `None` before the first write.
    stored: Option<Bytes>,
    record: BulkRecord,
    /// The shard that is looked at.
    shard: u16,
    /// Pages without a match since the record was written.
    unnoted: u32,
    /// Instances that were in memory at the begin.
    in_memory: usize,
}

/// What becomes of one instance of a page.
enum Planned {
    Order(InstanceId, After),
    Skipped,
    Failed(BulkFailure),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    /// An instance changed meanwhile; nothing was written.
    Changed,
    /// Somebody else has asked for the same order and is further; nothing was written, and the record is the other's.
    Overtaken,
}

impl<'a> Progress<'a> {
    async fn load(
        core: &'a Arc<Core>,
        name: &InstanceId,
        key: Bytes,
        order: Order,
        filter: ListFilter,
    ) -> Result<Self, BulkError> {
        let stored = core.read_one(&key).await?;
        let record = match &stored {
            None => BulkRecord {
                order,
                filter,
                asked_ms: core.now_ms(),
                position: None,
                write: 0,
                done: false,
                report: BulkReport::default(),
            },
            Some(value) => {
                let record: BulkRecord = decode(&key, value)?;
                if record.order != order || record.filter != filter {
                    let name = name.to_string();
                    return Err(BulkError::OtherOrder { name });
                }
                record
            }
        };
        Ok(Progress {
            core,
            key,
            stored,
            record,
            shard: 0,
            unnoted: 0,
            in_memory: core.hot.count(),
        })
    }

    /// Looks at one page of instances and orders those that match.
    async fn page(&mut self) -> Result<(), BulkError> {
        if self.record.done {
            return Ok(());
        }
        let position = self.record.position.clone();
        if let Some(position) = &position {
            self.shard = self.shard.max(self.core.keys.shard(position));
        }
        let page = list::page(
            self.core,
            &self.record.filter,
            self.shard,
            position.as_ref(),
            PAGE,
        )
        .await?;
        let Some(last) = page.last else {
            if self.core.keys.shards().contains(&(self.shard + 1)) {
                self.shard += 1;
                return Ok(());
            }
            self.record.done = true;
            let shard = self.record.position.clone();
            return self
                .write(shard.as_ref(), Vec::new(), Vec::new())
                .await
                .map(|_| ());
        };
        let asked_ms = self.record.asked_ms;
        let matching: Vec<InstanceSummary> = page
            .instances
            .into_iter()
            .filter(|summary| summary.created_ms <= asked_ms)
            .collect();
        if matching.is_empty() {
            self.record.position = Some(last.clone());
            self.unnoted += 1;
            if self.unnoted >= NOTE_EVERY {
                self.write(Some(&last), Vec::new(), Vec::new()).await?;
            }
            return Ok(());
        }
        for _ in 0..TRIES {
            if self.order(&matching, &last).await? != Written::Changed {
                self.breathe().await;
                return Ok(());
            }
        }
        // One of them changes all the time: it must not hold up the others.
        for (index, summary) in matching.iter().enumerate() {
            let position = if index + 1 == matching.len() {
                &last
            } else {
                &summary.id
            };
            let mut tries = 0;
            loop {
                match self.order(std::slice::from_ref(summary), position).await? {
                    Written::Yes => break,
                    Written::Overtaken => return Ok(()),
                    Written::Changed => tries += 1,
                }
                if tries == TRIES_ALONE {
                    let error = format!("it changed {TRIES_ALONE} times while it was ordered");
                    let id = summary.id.clone();
                    self.fail(BulkFailure { id, error });
                    self.record.position = Some(position.clone());
                    if self.write(Some(position), Vec::new(), Vec::new()).await? == Written::Overtaken {
                        return Ok(());
                    }
                    break;
                }
                tokio::time::sleep(Duration::from_millis(u64::from(tries))).await;
            }
        }
        self.breathe().await;
        Ok(())
    }

    /// Orders these instances, which have one shard, in one batch.
    async fn order(
        &mut self,
        instances: &[InstanceSummary],
        position: &InstanceId,
    ) -> Result<Written, BulkError> {
        let (mut conditions, mut writes) = (Vec::new(), Vec::new());
        let mut planned = Vec::with_capacity(instances.len());
        for InstanceSummary { id, .. } in instances {
            planned.push(match order::plan(self.core, id, &self.record.order).await {
                Ok(mut plan) => {
                    conditions.append(&mut plan.conditions);
                    writes.append(&mut plan.writes);
                    Planned::Order(id.clone(), plan.after)
                }
                Err(ControlError::NotFound { .. } | ControlError::NotPossible { .. }) => Planned::Skipped,
                Err(ControlError::Store(error @ store::Error::Corrupt(_))) => Planned::Failed(BulkFailure {
                    id: id.clone(),
                    error: error.to_string(),
                }),
                Err(ControlError::Store(error)) => return Err(error.into()),
                Err(error) => Planned::Failed(BulkFailure {
                    id: id.clone(),
                    error: error.to_string(),
                }),
            });
        }
        let before = self.record.clone();
        for plan in &planned {
            match plan {
                Planned::Order(..) => self.record.report.ordered += 1,
                Planned::Skipped => self.record.report.skipped += 1,
                Planned::Failed(failure) => self.fail(failure.clone()),
            }
        }
        self.record.position = Some(position.clone());
        let written = self.write(Some(position), conditions, writes).await;
        if !matches!(written, Ok(Written::Yes | Written::Changed)) {
            // It may be applied all the same.
            for plan in &planned {
                if let Planned::Order(id, _) = plan {
                    order::look(self.core, id);
                }
            }
        }
        let written = written?;
        match written {
            Written::Overtaken => {}
            Written::Changed => self.record = before,
            Written::Yes => {
                for plan in planned {
                    if let Planned::Order(id, after) = plan {
                        order::follow(self.core, &id, after);
                    }
                }
            }
        }
        Ok(written)
    }

    fn fail(&mut self, failure: BulkFailure) {
        let report = &mut self.record.report;
        report.failed += 1;
        if report.failures.len() < FAILED {
            report.failures.push(failure);
        }
    }

    /// Writes how far the order is, with what else belongs to it.
    async fn write(
        &mut self,
        shard: Option<&InstanceId>,
        conditions: Vec<Condition>,
        writes: Vec<Write>,
    ) -> Result<Written, BulkError> {
        self.record.write = self.core.next_message();
        let value = record::encode(&self.record);
        let own = match &self.stored {
            None => Condition::Absent(self.key.clone()),
            Some(stored) => Condition::Equals(self.key.clone(), stored.clone()),
        };
        let all_conditions = std::iter::once(own).chain(conditions).collect();
        let put = Write::Put(self.key.clone(), value.clone());
        let all_writes = std::iter::once(put).chain(writes).collect();
        // The fence is that of the page's shard; a record without a page yet needs none in particular.
        let somebody;
        let shard = match shard {
            Some(shard) => shard,
            None => {
                somebody = InstanceId::new("bulk")?;
                &somebody
            }
        };
        match self.core.deliver(shard, all_conditions, all_writes).await {
            Ok(()) => {
                self.stored = Some(value);
                self.unnoted = 0;
                Ok(Written::Yes)
            }
            Err(Undelivered::Conflict(0)) => {
                let stored = self.core.read_one(&self.key).await?;
                if let Some(stored) = &stored {
                    self.record = decode(&self.key, stored)?;
                }
                self.stored = stored;
                Ok(Written::Overtaken)
            }
            Err(Undelivered::Conflict(_)) => Ok(Written::Changed),
            Err(Undelivered::Fenced) => Err(BulkError::Fenced),
            Err(Undelivered::Store(error)) => Err(error.into()),
        }
    }

    /// Lets the instances that were woken up carry out their orders before there are too many in memory.
    async fn breathe(&self) {
        for _ in 0..100 {
            if self.core.hot.count() <= self.in_memory + AHEAD {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
