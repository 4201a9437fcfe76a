//! Lists instances.

use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use workflow_model::{InstanceId, InstanceSummary, StatusKind};

use super::core::{Core, decode};
use super::handle;
use crate::keys::{self, Kind};
use crate::record::{InstanceRecord, OutcomeRecord, StateRecord};
use crate::store::Error;

/// Which instances to list.
///
/// ```
/// use workflow_runtime::ListFilter;
/// let filter = ListFilter::default().workflow("orders").open_only().limit(20);
/// # let _ = filter;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFilter {
    workflow: Option<String>,
    parent: Option<InstanceId>,
    id_prefix: String,
    status: Vec<StatusKind>,
    started_from_ms: Option<u64>,
    started_before_ms: Option<u64>,
    closed: Option<bool>,
    limit: usize,
    after: Option<InstanceId>,
}

impl Default for ListFilter {
    /// All instances, 100 on a page.
    fn default() -> Self {
        ListFilter {
            workflow: None,
            parent: None,
            id_prefix: String::new(),
            status: Vec::new(),
            started_from_ms: None,
            started_before_ms: None,
            closed: None,
            limit: 100,
            after: None,
        }
    }
}

impl ListFilter {
    /// Only instances of this workflow.
    #[must_use]
    pub fn workflow(mut self, name: impl Into<String>) -> Self {
        self.workflow = Some(name.into());
        self
    }

    /// Only the children of this instance, in the order of their ids.
    #[must_use]
    pub fn parent(mut self, id: InstanceId) -> Self {
        self.parent = Some(id);
        self
    }

    /// Only instances whose ids begin so.
    #[must_use]
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.id_prefix = prefix.into();
        self
    }

    /// Only instances of this status; given several times, of any of these.
    #[must_use]
    pub fn status(mut self, status: StatusKind) -> Self {
        if let Err(place) = self.status.binary_search(&status) {
            self.status.insert(place, status);
        }
        self
    }

    /// Only instances that were started at this time or later, by the store's clock.
    #[must_use]
    pub fn started_from(mut self, time: SystemTime) -> Self {
        self.started_from_ms = Some(millis(time));
        self
    }

    /// Only instances that were started before this time, by the store's clock.
    #[must_use]
    pub fn started_before(mut self, time: SystemTime) -> Self {
        self.started_before_ms = Some(millis(time));
        self
    }

    /// Only instances that have not ended.
    #[must_use]
    pub fn open_only(mut self) -> Self {
        self.closed = Some(false);
        self
    }

    /// Only instances that have ended.
    #[must_use]
    pub fn closed_only(mut self) -> Self {
        self.closed = Some(true);
        self
    }

    /// At most so many on a page; 1 to 1,000.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, 1000);
        self
    }

    /// The page behind the one that ended with this instance ([`Page::next`]).
    #[must_use]
    pub fn after(mut self, id: InstanceId) -> Self {
        self.after = Some(id);
        self
    }
}

impl ListFilter {
    pub(crate) fn wants(&self, summary: &InstanceSummary) -> bool {
        let closed = summary.status.is_closed();
        self.workflow
            .as_ref()
            .is_none_or(|name| *name == summary.workflow)
            && self.closed.is_none_or(|wanted| wanted == closed)
            && self
                .parent
                .as_ref()
                .is_none_or(|parent| summary.parent.as_ref() == Some(parent))
            && summary.id.as_str().starts_with(&self.id_prefix)
            && (self.status.is_empty() || self.status.contains(&summary.status.kind()))
            && self.started_from_ms.is_none_or(|from| summary.created_ms >= from)
            && self
                .started_before_ms
                .is_none_or(|before| summary.created_ms < before)
    }

    /// The same filter without a page.
    pub(super) fn unpaged(self) -> Self {
        ListFilter {
            limit: Self::default().limit,
            after: None,
            ..self
        }
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Some of the instances that match a [`ListFilter`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page {
    /// The instances.
    pub instances: Vec<InstanceSummary>,
    /// Give it to [`ListFilter::after`] for the next page; `None` when this is the last one.
    pub next: Option<InstanceId>,
}

/// Instances are ordered by shard, then by id; children by id.
pub(crate) async fn list(core: &Core, filter: ListFilter) -> Result<Page, Error> {
    if let Some(parent) = filter.parent.clone() {
        return children(core, &parent, filter).await;
    }
    let mut instances = Vec::new();
    let first = filter.after.as_ref().map_or(0, |id| core.keys.shard(id));
    for shard in core.keys.shards().skip(usize::from(first)) {
        let range = core.keys.prefixed(shard, Kind::Instance, &filter.id_prefix);
        let mut start = match &filter.after {
            Some(id) if shard == first => range.start.max(keys::after(&core.keys.of(Kind::Instance, id))),
            _ => range.start,
        };
        while start < range.end {
            let size = filter.limit.clamp(16, 256);
            let page = core.store.scan(start..range.end.clone(), size).await?;
            let full = page.len() == size;
            let Some((last, _)) = page.last() else { break };
            start = keys::after(last);
            for summary in summaries(core, page).await? {
                if !filter.wants(&summary) {
                    continue;
                }
                if instances.len() == filter.limit {
                    let next = instances.last().map(|last: &InstanceSummary| last.id.clone());
                    return Ok(Page { instances, next });
                }
                instances.push(summary);
            }
            if !full {
                break;
            }
        }
    }
    Ok(Page {
        instances,
        next: None,
    })
}

/// Some of the instances of one shard that match, and the last one that was looked at.
pub(super) struct Looked {
    pub(super) instances: Vec<InstanceSummary>,
    /// `None` when there are no more in the shard.
    pub(super) last: Option<InstanceId>,
}

/// Looks at the next `size` instances of a shard, those behind `after` if it is of this shard.
pub(super) async fn page(
    core: &Core,
    filter: &ListFilter,
    shard: u16,
    after: Option<&InstanceId>,
    size: usize,
) -> Result<Looked, Error> {
    let range = core.keys.prefixed(shard, Kind::Instance, &filter.id_prefix);
    let start = match after {
        Some(id) if core.keys.shard(id) == shard => {
            range.start.max(keys::after(&core.keys.of(Kind::Instance, id)))
        }
        _ => range.start,
    };
    let found = if start < range.end {
        core.store.scan(start..range.end, size).await?
    } else {
        Vec::new()
    };
    let last = found.last().and_then(|(key, _)| core.keys.id_of(key));
    let mut instances = summaries(core, found).await?;
    instances.retain(|summary| filter.wants(summary));
    Ok(Looked { instances, last })
}

/// The children of an instance, by its links.
async fn children(core: &Core, parent: &InstanceId, filter: ListFilter) -> Result<Page, Error> {
    let range = core.keys.numbered_range(Kind::Child, parent);
    let mut start = match &filter.after {
        Some(id) => keys::after(&core.keys.child(parent, id)),
        None => range.start,
    };
    let mut instances: Vec<InstanceSummary> = Vec::new();
    loop {
        let size = filter.limit.clamp(16, 256);
        let links = core.store.scan(start..range.end.clone(), size).await?;
        let full = links.len() == size;
        let Some((last, _)) = links.last() else { break };
        start = keys::after(last);
        let ids = links
            .iter()
            .filter_map(|(key, _)| core.keys.child_of(parent, key));
        let wanted: Vec<Bytes> = ids.map(|id| core.keys.of(Kind::Instance, &id)).collect();
        let found = core.store.get(&wanted).await?;
        let records = wanted.into_iter().zip(found);
        let records = records.filter_map(|(key, value)| Some((key, value?))).collect();
        for summary in summaries(core, records).await? {
            // An abandoned child's id may belong to another instance by now.
            if !filter.wants(&summary) {
                continue;
            }
            if instances.len() == filter.limit {
                let next = instances.last().map(|last| last.id.clone());
                return Ok(Page { instances, next });
            }
            instances.push(summary);
        }
        if !full {
            break;
        }
    }
    Ok(Page {
        instances,
        next: None,
    })
}

async fn summaries(core: &Core, page: Vec<(Bytes, Bytes)>) -> Result<Vec<InstanceSummary>, Error> {
    let mut ids = Vec::with_capacity(page.len());
    let mut wanted = Vec::with_capacity(page.len() * 2);
    for (key, value) in page {
        let Some(id) = core.keys.id_of(&key) else { continue };
        let instance: InstanceRecord = decode(&key, &value)?;
        wanted.push(core.keys.of(Kind::Outcome, &id));
        wanted.push(core.keys.of(Kind::State, &id));
        ids.push((id, instance));
    }
    let found = core.store.get(&wanted).await?;
    let mut summaries = Vec::with_capacity(ids.len());
    for ((id, instance), (keys, found)) in ids.into_iter().zip(wanted.chunks(2).zip(found.chunks(2))) {
        let outcome: Option<OutcomeRecord> = found[0]
            .as_ref()
            .map(|value| decode(&keys[0], value))
            .transpose()?;
        let summary = match outcome {
            Some(outcome) => {
                let closed = !outcome.end.is_open();
                InstanceSummary {
                    id,
                    workflow: instance.workflow,
                    status: handle::ended(outcome.end),
                    created_ms: instance.created_ms,
                    closed_ms: closed.then_some(outcome.time_ms),
                    steps: outcome.steps,
                    parent: instance.parent,
                }
            }
            None => {
                let state = found[1].clone();
                let steps = state
                    .clone()
                    .and_then(|state| StateRecord::read(state).ok())
                    .map_or(0, |state| state.step);
                let status = handle::open(core, &instance, state);
                let created_ms = instance.created_ms;
                InstanceSummary {
                    id,
                    workflow: instance.workflow,
                    status,
                    created_ms,
                    closed_ms: None,
                    steps,
                    parent: instance.parent,
                }
            }
        };
        summaries.push(summary);
    }
    Ok(summaries)
}
