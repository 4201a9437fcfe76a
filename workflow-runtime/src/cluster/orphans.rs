//! Instances that the node of their shard cannot run, because its program does not know their workflow or their point:
//! as long as two builds of the program run side by side.
//!
//! The node of the shard *offers* such an instance: it writes a claim record that names nobody. A node that knows the
//! instance takes the claim, under the condition that it is as it was read, and runs the instance under it: the claim
//! record is the fence of its batches, in the place of the shard's lease. The claim ends with the batch with which the
//! instance begins to wait or ends; then the node of the shard looks after it again.
//!
//! Invariant: only the node of the shard offers, and it does not run an instance that has a claim record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use workflow_model::InstanceId;

use super::membership::{Membership, roster};
use super::{members, poll};
use crate::engine::committer::commit_one;
use crate::engine::core::{Core, decode};
use crate::engine::hot::Hot;
use crate::engine::lease::Lease;
use crate::engine::runner;
use crate::halt::Halt;
use crate::keys::Kind;
use crate::record::{self, InstanceRecord, StateRecord};
use crate::store::{self, Batch, Condition, Verdict, Write};

/// Who runs an instance that the node of its shard does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClaimRecord {
    /// The node's number; 0 for whoever wants it.
    pub(crate) node: u64,
    /// Tells one claim from the next.
    pub(crate) count: u64,
}

/// What this node has to do with orphans.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Instances of other nodes' shards that run here.
    claims: Mutex<BTreeMap<InstanceId, Arc<Lease>>>,
    /// Instances of this node's shards that others run, as far as it knows.
    lent: Mutex<BTreeSet<InstanceId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub(super) fn is_lent(&self, id: &InstanceId) -> bool {
        lock(&self.lent).contains(id)
    }

    pub(super) fn returned(&self, id: &InstanceId) {
        lock(&self.lent).remove(id);
    }

    pub(super) fn lose_all(&self, core: &Arc<Core>) {
        for lease in std::mem::take(&mut *lock(&self.claims)).into_values() {
            core.lose(&lease);
        }
    }
}

/// The claim on an instance of this node's shard, as it was read with the instance; `Ok` when this node may run it.
pub(crate) async fn claim_of(
    core: &Arc<Core>,
    hot: &Hot,
    id: &InstanceId,
    found: Option<Bytes>,
    is_known: bool,
) -> Result<(), Halt> {
    let Some(membership) = &core.membership else {
        return Ok(());
    };
    let key = core.keys.of(Kind::Claim, id);
    if *hot.lease.key() == key {
        // It runs here under this claim.
        return Ok(());
    }
    let Some(found) = found else {
        membership.orphans.returned(id);
        return Ok(());
    };
    let claim: ClaimRecord = decode(&key, &found).map_err(Halt::Store)?;
    if claim.node != 0 && membership.view().is_alive(claim.node) {
        lock(&membership.orphans.lent).insert(id.clone());
        return Err(Halt::NoSuchPoint);
    }
    if !is_known {
        if claim.node != 0 {
            // Who ran it is gone.
            put_offer(core, hot, id, Some(found)).await?;
        }
        return Ok(());
    }
    let batch = Batch {
        conditions: vec![hot.lease.fence(), Condition::Equals(key.clone(), found)],
        writes: vec![Write::Delete(key), Write::Delete(core.keys.orphan(id))],
    };
    match core.committer.commit(batch).await.result {
        Ok(Verdict::Applied) => {
            membership.orphans.returned(id);
            Ok(())
        }
        Ok(Verdict::Conflict(_)) => Err(Halt::NoSuchPoint),
        Err(error) => Err(Halt::Store(error)),
    }
}

/// Offers an instance that this program does not know to those that do, if there are any.
pub(crate) async fn offer(
    core: &Arc<Core>,
    hot: &Hot,
    id: &InstanceId,
    workflow: &str,
    point: Option<&str>,
    is_offered: bool,
) -> Result<(), Halt> {
    let Some(membership) = &core.membership else {
        return Ok(());
    };
    if *hot.lease.key() == core.keys.of(Kind::Claim, id)
        || is_offered
        || !membership.is_known(workflow, point)
    {
        return Ok(());
    }
    put_offer(core, hot, id, None).await
}

async fn put_offer(core: &Arc<Core>, hot: &Hot, id: &InstanceId, found: Option<Bytes>) -> Result<(), Halt> {
    let Some(membership) = &core.membership else {
        return Ok(());
    };
    let key = core.keys.of(Kind::Claim, id);
    let claim = ClaimRecord {
        node: 0,
        count: core.next_message(),
    };
    let batch = Batch {
        conditions: vec![
            hot.lease.fence(),
            match found {
                None => Condition::Absent(key.clone()),
                Some(found) => Condition::Equals(key.clone(), found),
            },
        ],
        writes: vec![
            Write::Put(key, record::encode(&claim)),
            Write::Put(core.keys.orphan(id), Bytes::new()),
            roster(&core.keys, core.next_message()),
        ],
    };
    match core.committer.commit(batch).await.result {
        Ok(_) => {
            lock(&membership.orphans.lent).insert(id.clone());
            membership.hint_members();
            Ok(())
        }
        Err(error) => Err(Halt::Store(error)),
    }
}

/// Takes what others offer and this program knows; offers again what nodes have left that are gone.
pub(super) async fn look(core: &Arc<Core>, membership: &Membership) -> Result<(), store::Error> {
    let offered = members::scan(core.store.as_ref(), core.keys.orphans()).await?;
    for (key, _) in offered {
        let Some(id) = core.keys.orphan_of(&key) else {
            continue;
        };
        if core.hot.contains(&id) || membership.is_draining() {
            continue;
        }
        let wanted = [Kind::Claim, Kind::Instance, Kind::State].map(|kind| core.keys.of(kind, &id));
        let found = core.store.get(&wanted).await?;
        let [Some(claim), Some(instance), state] = &found[..] else {
            continue;
        };
        let record: ClaimRecord = decode(&wanted[0], claim)?;
        if record.node != 0 && membership.view().is_alive(record.node) && record.node != membership.number() {
            continue;
        }
        let instance: InstanceRecord = decode(&wanted[1], instance)?;
        let state = state.clone().map(StateRecord::read);
        let is_known = core
            .entries
            .get(instance.workflow.as_str())
            .is_some_and(|entry| match &state {
                Some(Ok(state)) => entry.knows(&state.point),
                _ => true,
            });
        // The node of its shard takes it back by itself when it knows it.
        if !is_known || core.leases.of(&id).is_some() {
            continue;
        }
        let value = record::encode(&ClaimRecord {
            node: membership.number(),
            count: core.next_message(),
        });
        let batch = Batch {
            conditions: vec![Condition::Equals(wanted[0].clone(), claim.clone())],
            writes: vec![Write::Put(wanted[0].clone(), value.clone())],
        };
        if commit_one(core.store.as_ref(), &batch).await? == Verdict::Applied {
            let lease = Arc::new(Lease::claim(
                core.keys.shard(&id),
                wanted[0].clone(),
                value,
                membership.deadline.clone(),
                core.keys.orphan(&id),
            ));
            lock(&membership.orphans.claims).insert(id.clone(), lease.clone());
            runner::activate_under(core, id, lease, record.node != 0);
        }
    }
    Ok(())
}

/// Makes instances that run here under a claim look at what has come for them: their shard's bell rings elsewhere.
pub(super) async fn look_at_messages(core: &Arc<Core>, membership: &Membership) -> Result<(), store::Error> {
    let ids: Vec<InstanceId> = lock(&membership.orphans.claims).keys().cloned().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let keys: Vec<Bytes> = ids.iter().map(|id| core.keys.of(Kind::Ready, id)).collect();
    let found = core.store.get(&keys).await?;
    for (id, ready) in ids.iter().zip(found) {
        if let Some(ready) = ready
            && core.hot.contains(id)
        {
            poll::look_at(core, id, &ready);
        }
    }
    Ok(())
}

/// An instance has left the memory: if it ran here under a claim that no batch of it has ended, it is offered again.
pub(crate) async fn give_up(core: &Arc<Core>, hot: &Hot, id: &InstanceId, has_ended: bool) {
    let Some(membership) = &core.membership else {
        return;
    };
    if !hot.lease.is_claim() {
        return;
    }
    lock(&membership.orphans.claims).remove(id);
    if has_ended {
        return;
    }
    let key = core.keys.of(Kind::Claim, id);
    let claim = ClaimRecord {
        node: 0,
        count: core.next_message(),
    };
    let batch = Batch {
        conditions: vec![hot.lease.fence()],
        writes: vec![
            Write::Put(key, record::encode(&claim)),
            roster(&core.keys, core.next_message()),
        ],
    };
    let _ = commit_one(core.store.as_ref(), &batch).await;
}

/// Stops what runs here under claims.
pub(super) async fn give_all(core: &Arc<Core>, membership: &Membership, grace: Duration) {
    let claims: Vec<Arc<Lease>> = lock(&membership.orphans.claims).values().cloned().collect();
    for lease in &claims {
        lease.gate.drain();
        core.hot.wake(Some(lease));
    }
    for lease in &claims {
        if tokio::time::timeout(grace, lease.gate.emptied()).await.is_err() {
            lease.gate.stop();
            core.hot.wake(Some(lease));
        }
    }
}
