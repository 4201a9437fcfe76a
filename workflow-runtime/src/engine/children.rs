//! What becomes of an instance's children when it ends.
//!
//! The instance's outcome is stored first; nothing can take it back then. Its ready record stays until each child that is
//! still open was told, so an engine that opens the store after a crash goes on telling. Each child is told once: its
//! order and the mark in its link are one batch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use workflow_model::InstanceId;

use super::control::ControlError;
use super::core::{Core, decode};
use super::lease::Lease;
use super::order::{self, Order, Plan};
use crate::child::{self, ParentClosePolicy};
use crate::halt::Halt;
use crate::keys::{self, Kind};
use crate::record::{self, ChildRecord, InstanceRecord, OutcomeRecord};
use crate::run::Run;
use crate::store::{Batch, Condition, Error, Verdict, Write};

/// How many links are looked at together.
const PAGE: usize = 256;

/// How many children are told at a time.
const AT_A_TIME: usize = 64;

/// How often an order to one child is tried while the child changes under it.
const TRIES: u32 = 50;

/// A link to a child that is to be told.
struct Link {
    child: InstanceId,
    key: Bytes,
    value: Bytes,
    record: ChildRecord,
}

/// A page of the links of an instance, and where the next one begins.
async fn page(core: &Core, parent: &InstanceId, start: &mut Option<Bytes>) -> Result<Vec<Link>, Error> {
    let range = core.keys.numbered_range(Kind::Child, parent);
    let Some(from) = start.take() else {
        return Ok(Vec::new());
    };
    let found = core.store.scan(from..range.end, PAGE).await?;
    if let (PAGE, Some((last, _))) = (found.len(), found.last()) {
        *start = Some(keys::after(last));
    }
    let mut links = Vec::with_capacity(found.len());
    for (key, value) in found {
        let Some(child) = core.keys.child_of(parent, &key) else {
            continue;
        };
        let record: ChildRecord = decode(&key, &value)?;
        let needs_nothing = match record.policy {
            ParentClosePolicy::Abandon => true,
            // A second order to cancel would end its cleaning up.
            ParentClosePolicy::Cancel => record.given_up,
            ParentClosePolicy::Terminate | ParentClosePolicy::Wait => false,
        };
        if record.told || needs_nothing {
            continue;
        }
        links.push(Link {
            child,
            key,
            value,
            record,
        });
    }
    let outcomes: Vec<Bytes> = links
        .iter()
        .map(|link| core.keys.of(Kind::Outcome, &link.child))
        .collect();
    let found = core.store.get(&outcomes).await?;
    let mut open = Vec::with_capacity(links.len());
    for (link, (key, outcome)) in links.into_iter().zip(outcomes.iter().zip(found)) {
        let closed = match outcome {
            Some(outcome) => !decode::<OutcomeRecord>(key, &outcome)?.end.is_open(),
            None => false,
        };
        if !closed {
            open.push(link);
        }
    }
    own(core, parent, open).await
}

/// Without those that are to be waited for and cannot end any more: whoever restarted such a child has made an instance
/// of it that has no parent.
async fn own(core: &Core, parent: &InstanceId, mut links: Vec<Link>) -> Result<Vec<Link>, Error> {
    let keys: Vec<Bytes> = links
        .iter()
        .filter(|link| is_awaited(link))
        .map(|link| core.keys.of(Kind::Instance, &link.child))
        .collect();
    if keys.is_empty() {
        return Ok(links);
    }
    let found = core.store.get(&keys).await?;
    let mut own = HashSet::new();
    for (key, instance) in keys.into_iter().zip(found) {
        if let Some(instance) = instance
            && decode::<InstanceRecord>(&key, &instance)?.parent.as_ref() == Some(parent)
        {
            own.insert(key);
        }
    }
    links.retain(|link| !is_awaited(link) || own.contains(&core.keys.of(Kind::Instance, &link.child)));
    Ok(links)
}

/// What children of an instance have not ended.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// Some have to be told of its end.
    pub(crate) any: bool,
    /// Some have to end before it does.
    pub(crate) awaited: bool,
}

fn is_awaited(link: &Link) -> bool {
    link.record.policy == ParentClosePolicy::Wait
}

/// Looks for open children.
pub(crate) async fn survey(core: &Core, parent: &InstanceId) -> Result<Open, Error> {
    let mut open = Open::default();
    let mut start = Some(core.keys.numbered_range(Kind::Child, parent).start);
    while start.is_some() && !open.awaited {
        let links = page(core, parent, &mut start).await?;
        open.any |= !links.is_empty();
        open.awaited = links.iter().any(is_awaited);
    }
    Ok(open)
}

/// The open children for which an instance waits whose code has returned: the first `limit`.
pub(super) async fn awaited(
    core: &Core,
    parent: &InstanceId,
    limit: usize,
) -> Result<Vec<InstanceId>, Error> {
    let mut awaited = Vec::new();
    let mut start = Some(core.keys.numbered_range(Kind::Child, parent).start);
    while start.is_some() && awaited.len() < limit {
        let links = page(core, parent, &mut start).await?.into_iter();
        awaited.extend(links.filter(is_awaited).map(|link| link.child));
    }
    awaited.truncate(limit);
    Ok(awaited)
}

/// Waits until the children whose policy says so have ended. The code has returned, so their number does not grow: one is
/// waited for after the other. Whether a child has ended is told by its outcome, and its message is only what wakes, so
/// nothing is lost when this is interrupted.
pub(super) async fn wait(run: &mut Run) -> Result<(), Halt> {
    let mut start = Some(run.core.keys.numbered_range(Kind::Child, &run.id).start);
    let mut failures = 0;
    while let Some(from) = start.clone() {
        match page(&run.core, &run.id, &mut start).await {
            Ok(links) => {
                for link in links.into_iter().filter(is_awaited) {
                    run.next_message(&child::ended(&link.child)).await?;
                }
            }
            Err(error @ Error::Corrupt(_)) => return Err(Halt::Store(error)),
            Err(_) => {
                start = Some(from);
                failures += 1;
                run.hot.lease.gate.wait_for_store(failures).await?;
            }
        }
    }
    Ok(())
}

/// Whether an instance has a child that has to be told of its end.
pub(crate) async fn any_open(core: &Core, parent: &InstanceId) -> Result<bool, Error> {
    let mut start = Some(core.keys.numbered_range(Kind::Child, parent).start);
    while start.is_some() {
        if !page(core, parent, &mut start).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tells the open children of an instance that has ended, then removes its ready record.
pub(crate) async fn settle(
    core: &Arc<Core>,
    lease: &Arc<Lease>,
    parent: &InstanceId,
    end: &OutcomeRecord,
) -> Result<(), Halt> {
    let status = super::handle::ended(end.end.clone());
    let reason = format!("its parent `{parent}` has ended: {status}");
    let mut start = Some(core.keys.numbered_range(Kind::Child, parent).start);
    let mut failures = 0;
    while let Some(from) = start.clone() {
        match page(core, parent, &mut start).await {
            Ok(links) => {
                let untold = |link: &Link| !(is_awaited(link) && link.record.given_up);
                let mut telling = stream::iter(links.into_iter().filter(untold))
                    .map(|link| tell_end(core, lease, link, &reason))
                    .buffer_unordered(AT_A_TIME);
                while let Some(told) = telling.next().await {
                    told?;
                }
            }
            Err(error @ Error::Corrupt(_)) => return Err(Halt::Store(error)),
            Err(_) => {
                start = Some(from);
                failures += 1;
                lease.gate.wait_for_store(failures).await?;
            }
        }
    }
    let batch = Batch {
        conditions: vec![lease.fence()],
        writes: vec![Write::Delete(core.keys.of(Kind::Ready, parent))],
    };
    loop {
        match core.committer.commit(batch.clone()).await.result {
            Ok(Verdict::Applied) => return Ok(()),
            Ok(Verdict::Conflict(_)) => return Err(Halt::Fenced),
            Err(_) => {
                failures += 1;
                lease.gate.wait_for_store(failures).await?;
            }
        }
    }
}

/// Tells one child of its parent's end.
async fn tell_end(core: &Arc<Core>, lease: &Arc<Lease>, link: Link, reason: &str) -> Result<(), Halt> {
    let order = match link.record.policy {
        ParentClosePolicy::Terminate => Order::Terminate(reason.to_owned()),
        _ => Order::Cancel(reason.to_owned()),
    };
    let told = ChildRecord {
        told: true,
        ..link.record.clone()
    };
    tell(core, lease, &link, order, &told).await
}

/// Cancels children that nobody awaits any more, because another branch was first or has failed: each once.
pub(crate) async fn give_up(run: &Run, children: &[InstanceId]) -> Result<(), Halt> {
    let (core, lease) = (&run.core, &run.hot.lease);
    let keys: Vec<Bytes> = children
        .iter()
        .map(|child| core.keys.child(&run.id, child))
        .collect();
    let mut failures = 0;
    let found = loop {
        match core.store.get(&keys).await {
            Ok(found) => break found,
            Err(error @ Error::Corrupt(_)) => return Err(Halt::Store(error)),
            Err(_) => {
                failures += 1;
                lease.gate.wait_for_store(failures).await?;
            }
        }
    };
    let reason = format!("its parent `{}` does not wait for it any more", run.id);
    let mut telling = Vec::new();
    for ((child, key), value) in children.iter().zip(keys).zip(found) {
        let Some(value) = value else { continue };
        let record: ChildRecord = decode(&key, &value).map_err(Halt::Store)?;
        if record.given_up || record.told || record.policy == ParentClosePolicy::Abandon {
            continue;
        }
        let given_up = ChildRecord {
            given_up: true,
            ..record.clone()
        };
        let link = Link {
            child: child.clone(),
            key,
            value,
            record,
        };
        telling.push((link, given_up));
    }
    let mut telling = stream::iter(telling)
        .map(|(link, given_up)| {
            let order = Order::Cancel(reason.clone());
            async move { tell(core, lease, &link, order, &given_up).await }
        })
        .buffer_unordered(AT_A_TIME);
    while let Some(told) = telling.next().await {
        told?;
    }
    Ok(())
}

/// Gives one child its order; the link becomes `marked` with it.
async fn tell(
    core: &Arc<Core>,
    lease: &Arc<Lease>,
    link: &Link,
    order: Order,
    marked: &ChildRecord,
) -> Result<(), Halt> {
    let marked = record::encode(marked);
    let mark = || Plan {
        conditions: vec![Condition::Equals(link.key.clone(), link.value.clone())],
        writes: vec![Write::Put(link.key.clone(), marked.clone())],
        ..Plan::default()
    };
    let (mut failures, mut tries) = (0, 0);
    loop {
        match order::give(core, &link.child, &order, mark()).await {
            // One that has ended meanwhile needs no order.
            Ok(()) | Err(ControlError::NotFound { .. } | ControlError::NotPossible { .. }) => return Ok(()),
            Err(ControlError::Changed { .. }) => {
                lease.check()?;
                // An order of unknown outcome that was applied changes the link.
                if let Ok(Some(value)) = core.read_one(&link.key).await
                    && value != link.value
                {
                    order::look(core, &link.child);
                    return Ok(());
                }
                tries += 1;
                if tries == TRIES {
                    return Err(Halt::Fenced);
                }
                tokio::time::sleep(Duration::from_millis(2 * u64::from(tries))).await;
            }
            Err(ControlError::Store(error @ Error::Corrupt(_))) => return Err(Halt::Store(error)),
            Err(_) => {
                failures += 1;
                lease.gate.wait_for_store(failures).await?;
            }
        }
    }
}
