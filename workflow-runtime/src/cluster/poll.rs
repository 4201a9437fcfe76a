//! What a node looks for in the store because others may have written it: messages for its instances, changes among the
//! nodes, the ends of instances that somebody here waits for.
//!
//! A message for an instance of another node's shard changes the shard's bell in the same batch. So one read of a few
//! small records, once a second, tells a node that nothing has come. Besides, one shard after the other is looked
//! through, so that whatever was missed is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use workflow_model::InstanceId;

use super::hints::Hint;
use crate::engine::core::{Core, PAGE};
use crate::engine::runner;
use crate::keys::{self, Kind};
use crate::record::End;
use crate::store;

/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(10);
/// How many ends of instances are remembered for others.
const MOST_WATCHED: usize = 100_000;

/// What the poller keeps between two looks.
#[derive(Debug, Default)]
pub(super) struct State {
    inner: Mutex<Inner>,
    /// Somebody waits for something that another node does.
    pub(super) sooner: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    roster: Option<Bytes>,
    /// The bells as they were seen last.
    bells: BTreeMap<u16, Bytes>,
    /// The shard that is looked through next.
    next_sweep: u16,
    /// Who wants to be told of the end of an instance.
    watched: BTreeMap<InstanceId, BTreeSet<String>>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard was another node's: its bell says nothing.
    pub(super) fn forget(&self, shard: u16) {
        self.lock().bells.remove(&shard);
    }

    /// Who waits for the end of this instance on other nodes.
    pub(super) fn take_watchers(&self, id: &InstanceId) -> BTreeSet<String> {
        self.lock().watched.remove(id).unwrap_or_default()
    }
}

/// Looks until the engine ends.
pub(super) async fn run(core: Weak<Core>) {
    let mut pause = SHORTEST;
    loop {
        let Some(core) = core.upgrade() else { return };
        let Some(membership) = &core.membership else {
            return;
        };
        if core.gate.is_stopped() || membership.is_replaced() {
            return;
        }
        let idle = membership.options.poll;
        match look(&core).await {
            Ok(true) => pause = SHORTEST.max(idle / 8),
            Ok(false) => pause = (pause * 2).min(idle),
            Err(_) => pause = idle,
        }
        tokio::select! {
            biased;
            () = core.gate.stopped() => return,
            () = membership.poll.sooner.notified() => pause = SHORTEST,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look; whether there was something.
async fn look(core: &Arc<Core>) -> Result<bool, store::Error> {
    let Some(membership) = &core.membership else {
        return Ok(false);
    };
    let leases = core.leases.all();
    let mut keys = vec![core.keys.roster()];
    keys.extend(leases.iter().map(|lease| core.keys.bell(lease.shard)));
    let found = core.store.get(&keys).await?;
    let mut found = found.into_iter();
    let roster = found.next().flatten();
    let mut changed = {
        let mut inner = membership.poll.lock();
        let changed = inner.roster != roster;
        inner.roster = roster;
        changed
    };
    if changed {
        membership.look();
    }
    for (lease, bell) in leases.iter().zip(found) {
        let Some(bell) = bell else { continue };
        if membership.poll.lock().bells.get(&lease.shard) == Some(&bell) {
            continue;
        }
        changed = true;
        look_through(core, lease.shard).await?;
        membership.poll.lock().bells.insert(lease.shard, bell);
    }
    let sweep = {
        let mut inner = membership.poll.lock();
        let next = leases
            .iter()
            .find(|lease| lease.shard >= inner.next_sweep)
            .or(leases.first());
        inner.next_sweep = next.map_or(0, |lease| lease.shard + 1);
        next.map(|lease| lease.shard)
    };
    if let Some(shard) = sweep {
        look_through(core, shard).await?;
    }
    super::orphans::look_at_messages(core, membership).await?;
    changed |= look_for_ends(core).await?;
    changed |= look_for_replies(core).await?;
    Ok(changed)
}

/// Makes the instances of a shard look that have something to do and do not know it.
async fn look_through(core: &Arc<Core>, shard: u16) -> Result<(), store::Error> {
    let range = core.keys.range(shard, Kind::Ready);
    let mut start = range.start;
    loop {
        let page = core.store.scan(start.clone()..range.end.clone(), PAGE).await?;
        let full = page.len() == PAGE;
        for (key, value) in &page {
            if let Some(id) = core.keys.id_of(key) {
                look_at(core, &id, value);
            }
        }
        match page.last() {
            Some((key, _)) if full => start = keys::after(key),
            _ => return Ok(()),
        }
    }
}

/// The instance has this ready record: it looks at its messages if it does not know it.
pub(super) fn look_at(core: &Arc<Core>, id: &InstanceId, ready: &Bytes) {
    match core.hot.get(id) {
        Some(hot) if hot.knows_ready(ready) => {}
        Some(_) => core.look_again(id),
        None => runner::activate(core, id.clone(), false),
    }
}

/// Tells those who wait here how instances have ended that other nodes run.
async fn look_for_ends(core: &Arc<Core>) -> Result<bool, store::Error> {
    let Some(membership) = &core.membership else {
        return Ok(false);
    };
    let mut ids = core.waited_for();
    ids.retain(|id| core.leases.of(id).is_none() || membership.orphans.is_lent(id));
    ids.retain(|id| !core.hot.contains(id));
    let mut any = false;
    for ids in ids.chunks(PAGE) {
        let keys: Vec<Bytes> = ids.iter().map(|id| core.keys.of(Kind::Outcome, id)).collect();
        let found = core.store.get(&keys).await?;
        for ((id, key), value) in ids.iter().zip(&keys).zip(found) {
            let Some(value) = value else { continue };
            let outcome: crate::record::OutcomeRecord = crate::engine::core::decode(key, &value)?;
            if !matches!(outcome.end, End::Paused { .. }) {
                any = true;
                membership.orphans.returned(id);
                core.announce(id, &outcome);
            }
        }
    }
    Ok(any)
}

/// Tells those who wait here of the replies to updates that other nodes have given.
async fn look_for_replies(core: &Arc<Core>) -> Result<bool, store::Error> {
    let mut any = false;
    for keys in core.asked_for().chunks(PAGE) {
        let found = core.store.get(keys).await?;
        for (key, value) in keys.iter().zip(found) {
            let Some(value) = value else { continue };
            let record: crate::record::UpdateRecord = crate::engine::core::decode(key, &value)?;
            if record.reply.is_some() {
                any = true;
                core.announce_reply(key, &record);
            }
        }
    }
    Ok(any)
}

/// A hint from another node.
pub(super) fn receive(core: &Arc<Core>, hint: Hint) {
    let Some(membership) = &core.membership else {
        return;
    };
    match hint {
        Hint::Instance { id } => {
            if core.hot.contains(&id) || core.leases.of(&id).is_some() {
                core.look_again(&id);
            }
        }
        Hint::Watch { id, address } => {
            let mut inner = membership.poll.lock();
            if inner.watched.len() < MOST_WATCHED {
                inner.watched.entry(id).or_default().insert(address);
            }
        }
        Hint::Ended { .. } => membership.poll.sooner.notify_one(),
        Hint::Members => membership.look(),
    }
}
