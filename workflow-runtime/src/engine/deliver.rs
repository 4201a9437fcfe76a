//! Tells instances of records that were written for them.

use std::sync::Arc;

use bytes::Bytes;
use workflow_model::InstanceId;

use super::core::Core;
use super::runner;
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
    pub(crate) async fn deliver(
        &self,
        id: &InstanceId,
        conditions: Vec<Condition>,
        writes: Vec<Write>,
    ) -> Result<(), Undelivered> {
        let Some(lease) = self.leases.of(id) else {
            return Err(Undelivered::Fenced);
        };
        let mut batch = Batch {
            conditions: vec![lease.fence()],
            writes,
        };
        batch.conditions.extend(conditions);
        match self.committer.commit(batch).await.result {
            Ok(Verdict::Applied) => Ok(()),
            Ok(Verdict::Conflict(0)) => {
                self.lose(&lease);
                Err(Undelivered::Fenced)
            }
            Ok(Verdict::Conflict(index)) => Err(Undelivered::Conflict(index - 1)),
            Err(error) => Err(Undelivered::Store(error)),
        }
    }

    /// Adds what makes an instance look at its records: a ready record with a value that no other one has.
    pub(crate) fn ready(&self, id: &InstanceId, value: Bytes, writes: &mut Vec<Write>) {
        writes.push(Write::Put(self.keys.of(Kind::Ready, id), value));
    }

    /// An instance has new records, which are committed: whoever runs it looks at them.
    pub(crate) fn wake(self: &Arc<Self>, id: &InstanceId) {
        if !self.hot.tell(id) {
            runner::activate(self, id.clone(), false);
        }
    }
}
