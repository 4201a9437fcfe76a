//! Tells instances of records that were written for them.

use std::sync::Arc;

use bytes::Bytes;
use workflow_model::InstanceId;

use super::core::Core;
use super::runner;
use crate::cluster::{Hint, Membership};
use crate::keys::Kind;
use crate::store::{self, Batch, Condition, Verdict, Write};

/// Why a batch for an instance was not committed.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// The condition with this index, counted in those that were given, does not hold.
    Conflict(usize),
    /// Another engine has taken the store over.
    Fenced,
    /// The store failed.
    Store(store::Error),
}

impl Core {
    /// Commits a batch for the instance `id` that is not a step of it: a message, an order, a repair. It has to carry
    /// what makes the instance look, see [`ready`](Core::ready).
    ///
    /// An engine that has the instance's shard makes sure that it still has it, so that it is the one who tells the
    /// instance; any other one rings the shard's bell.
    pub(crate) async fn deliver(
        &self,
        id: &InstanceId,
        conditions: Vec<Condition>,
        writes: Vec<Write>,
    ) -> Result<(), Undelivered> {
        let mut given = Batch { conditions, writes };
        loop {
            let lease = self.leases.of(id).filter(|lease| lease.check().is_ok());
            match &lease {
                Some(lease) => given.conditions.push(lease.fence()),
                None if self.membership.is_none() => return Err(Undelivered::Fenced),
                None if self.is_replaced() => return Err(Undelivered::Fenced),
                None => given.writes.push(self.bell(id)),
            }
            let own = given.conditions.len() - usize::from(lease.is_some());
            let answer = self.committer.commit(given).await;
            match answer.result {
                Ok(Verdict::Applied) => return Ok(()),
                Ok(Verdict::Conflict(index)) if index < own => return Err(Undelivered::Conflict(index)),
                Ok(Verdict::Conflict(_)) => {
                    if let Some(lease) = &lease {
                        self.lose(lease);
                    }
                    // Once more, as one who does not have the shard.
                    given = answer.batch;
                    given.conditions.truncate(own);
                }
                Err(error) => return Err(Undelivered::Store(error)),
            }
        }
    }

    /// Another engine has this one's place for good: nobody would hear what it writes.
    pub(crate) fn is_replaced(&self) -> bool {
        self.membership.as_ref().is_some_and(Membership::is_replaced)
    }

    /// Tells the node that has an instance's shard that there is something to look at.
    fn bell(&self, id: &InstanceId) -> Write {
        let value = Bytes::copy_from_slice(&self.next_message().to_be_bytes());
        Write::Put(self.keys.bell(self.keys.shard(id)), value)
    }

    /// Adds what makes an instance look at its records: a ready record with a value that no other one has. For batches
    /// that are [delivered](Core::deliver).
    pub(crate) fn ready(&self, id: &InstanceId, value: Bytes, writes: &mut Vec<Write>) {
        writes.push(Write::Put(self.keys.of(Kind::Ready, id), value));
    }

    /// As [`ready`](Core::ready), in a batch of another instance.
    pub(crate) fn ready_elsewhere(&self, id: &InstanceId, value: Bytes, writes: &mut Vec<Write>) {
        self.ready(id, value, writes);
        if self.membership.is_some() && self.leases.of(id).is_none() {
            writes.push(self.bell(id));
        }
    }

    /// An instance has new records, which are committed: whoever runs it looks at them.
    pub(crate) fn wake(self: &Arc<Self>, id: &InstanceId) {
        if !self.hot.tell(id) {
            runner::activate(self, id.clone(), false);
        }
        self.wake_elsewhere(id);
    }

    /// Somebody else may have written for an instance: one in memory reads its orders and messages again, any other one is
    /// loaded if it is this engine's.
    pub(crate) fn look_again(self: &Arc<Self>, id: &InstanceId) {
        let (core, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let mut failures = 0;
            while let Some(hot) = core.hot.get(&id) {
                if runner::read_orders(&core, &hot, &id).await.is_ok() {
                    break;
                }
                failures += 1;
                if hot.lease.gate.wait_for_store(failures).await.is_err() {
                    return;
                }
            }
            if let Ok(Some(outcome)) = core.read_outcome(&id).await
                && !outcome.end.is_open()
            {
                core.announce(&id, &outcome);
            }
            if !core.hot.tell(&id) {
                runner::activate(&core, id, false);
            }
        });
    }

    /// As [`wake`](Core::wake), for an instance that this engine may not have.
    pub(crate) fn wake_elsewhere(self: &Arc<Self>, id: &InstanceId) {
        let Some(membership) = &self.membership else {
            return;
        };
        if self.leases.of(id).is_some() {
            return;
        }
        let shard = self.keys.shard(id);
        membership.hint(shard, Hint::Instance { id: id.clone() });
        if self.leases.was_lately(shard) {
            // The batch may have been made when the shard was still this engine's, and not have rung.
            let (core, bell) = (self.clone(), self.bell(id));
            tokio::spawn(async move {
                let batch = Batch {
                    conditions: Vec::new(),
                    writes: vec![bell],
                };
                let _ = core.committer.commit(batch).await;
            });
        }
    }
}
