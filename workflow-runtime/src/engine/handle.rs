//! A started instance, as its starter sees it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use workflow_model::{BlockedReason, InstanceId, InstanceStatus};

use super::core::{Core, decode};
use super::send::{SendSignal, SendUpdate};
use crate::keys::Kind;
use crate::operation;
use crate::record::{End, InstanceRecord, OutcomeRecord, StateRecord};
use crate::store;
use crate::workflow::Workflow;
use crate::{Output, ReceivedBy, Signal, Update};

/// Why the result of an instance cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// The instance cannot go on; once it is repaired, its result can be waited for again.
    #[error("the instance `{id}` is blocked: {reason}")]
    Blocked {
        /// The instance.
        id: InstanceId,
        /// What stands in the way.
        reason: BlockedReason,
    },
    /// The instance was asked to stop, and has stopped.
    #[error("the instance `{id}` was cancelled: {reason}")]
    Cancelled {
        /// The instance.
        id: InstanceId,
        /// Why.
        reason: String,
    },
    /// The instance was ended from outside.
    #[error("the instance `{id}` was terminated: {reason}")]
    Terminated {
        /// The instance.
        id: InstanceId,
        /// Why.
        reason: String,
    },
    /// There is no such instance.
    #[error("there is no instance `{id}`")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The stored output is not one of the expected type.
    #[error("the output of `{id}` cannot be read as the workflow's output type: {error}")]
    Output {
        /// The instance.
        id: InstanceId,
        /// Why.
        error: String,
    },
    /// The engine has ended; the instance goes on with the next one.
    #[error(
        "the engine has ended before the instance `{id}`; it goes on when an engine opens the store again"
    )]
    EngineEnded {
        /// The instance.
        id: InstanceId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A handle to an instance of the workflow `W`. It holds nothing of the instance and may be cloned and dropped freely.
pub struct WorkflowHandle<W> {
    core: Arc<Core>,
    id: InstanceId,
    workflow: PhantomData<fn() -> W>,
}

impl<W> Clone for WorkflowHandle<W> {
    fn clone(&self) -> Self {
        WorkflowHandle {
            core: self.core.clone(),
            id: self.id.clone(),
            workflow: PhantomData,
        }
    }
}

impl<W> fmt::Debug for WorkflowHandle<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WorkflowHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<W: Workflow> WorkflowHandle<W> {
    pub(crate) fn new(core: Arc<Core>, id: InstanceId) -> Self {
        WorkflowHandle {
            core,
            id,
            workflow: PhantomData,
        }
    }

    /// The instance's id.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Waits until the instance has ended, and gives what the workflow returned.
    ///
    /// # Errors
    /// [`ResultError`] says why there is no result; an `Err` that the workflow returned is part of its output.
    pub async fn result(&self) -> Result<W::Output, ResultError> {
        let outcome = self.outcome().await?;
        match outcome.end {
            End::Blocked { reason } => Err(ResultError::Blocked {
                id: self.id.clone(),
                reason,
            }),
            End::Cancelled { reason } => Err(ResultError::Cancelled {
                id: self.id.clone(),
                reason,
            }),
            End::Terminated { reason } | End::Paused { reason } => Err(ResultError::Terminated {
                id: self.id.clone(),
                reason,
            }),
            End::Completed | End::Failed { .. } => {
                Output::decode(&outcome.output).map_err(|error| ResultError::Output {
                    id: self.id.clone(),
                    error: error.to_string(),
                })
            }
        }
    }

    async fn outcome(&self) -> Result<OutcomeRecord, ResultError> {
        // Asked for before the look, so that an end in between is not missed.
        let waiting = self.core.wait_for_outcome(&self.id);
        if let Some(outcome) = self.core.read_outcome(&self.id).await? {
            // One that an earlier program could not read may be on its way with this one.
            let retried = matches!(
                outcome.end,
                End::Blocked {
                    reason: BlockedReason::Undecodable { .. }
                }
            ) && self.core.hot.contains(&self.id)
                || matches!(outcome.end, End::Paused { .. });
            if !retried {
                return Ok(outcome);
            }
        }
        let not_found = || ResultError::NotFound { id: self.id.clone() };
        let key = self.core.keys.of(Kind::Instance, &self.id);
        let instance = self.core.read_one(&key).await?.ok_or_else(not_found)?;
        let instance: InstanceRecord = decode(&key, &instance)?;
        if let Some(reason) = unknown(&self.core, &self.id, &instance).await? {
            return Err(ResultError::Blocked {
                id: self.id.clone(),
                reason,
            });
        }
        if self.core.gate.is_stopped() {
            return Err(ResultError::EngineEnded { id: self.id.clone() });
        }
        if let Some(membership) = &self.core.membership
            && self.core.leases.of(&self.id).is_none()
        {
            membership.watch(self.core.keys.shard(&self.id), &self.id);
        }
        waiting
            .await
            .map_err(|_| ResultError::EngineEnded { id: self.id.clone() })
    }

    /// Where the instance stands, as the store has it.
    ///
    /// # Errors
    /// When the store fails, or there is no such instance.
    pub async fn status(&self) -> Result<InstanceStatus, ResultError> {
        status(&self.core, &self.id)
            .await?
            .ok_or_else(|| ResultError::NotFound { id: self.id.clone() })
    }

    /// Sends a message to the instance; it is durable when the returned [`SendSignal`] has been awaited. A message of a
    /// type that the workflow never receives does not compile.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use workflow_runtime::prelude::*;
    /// # #[signal]
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Approval { by: String }
    /// # #[workflow]
    /// # async fn purchase() -> String { receive::<Approval>().await.by }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let engine = WorkflowEngine::<purchase>::builder().in_memory().build().await.unwrap();
    /// # let handle = engine.start(purchase()).await.unwrap();
    /// // However often this request is repeated, the workflow gets one message.
    /// handle.signal(Approval { by: "Ada".into() }).request_id("approval-17").await.unwrap();
    /// # assert_eq!(handle.result().await.unwrap(), "Ada");
    /// # });
    /// ```
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a message is given away, as its receiver gets it"
    )]
    pub fn signal<S: Signal + ReceivedBy<W>>(&self, message: S) -> SendSignal {
        SendSignal::typed(&self.core, &self.id, W::NAME, &message)
    }

    /// Sends a request to the instance; the returned [`SendUpdate`] is awaited for the reply. A request of a type that
    /// the workflow never receives does not compile. See [`receive_update`](crate::receive_update).
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a request is given away, as its receiver gets it"
    )]
    pub fn update<U: Update + ReceivedBy<W>>(&self, update: U) -> SendUpdate<U::Reply> {
        SendUpdate::typed(&self.core, &self.id, W::NAME, &update)
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

/// Where an instance stands; `None` when there is none.
pub(crate) async fn status(core: &Core, id: &InstanceId) -> Result<Option<InstanceStatus>, store::Error> {
    let keys = [Kind::Instance, Kind::Outcome, Kind::State].map(|kind| core.keys.of(kind, id));
    let found = core.store.get(&keys).await?;
    let [Some(instance), outcome, state] = &found[..] else {
        return Ok(None);
    };
    let outcome = outcome
        .as_ref()
        .map(|value| decode::<OutcomeRecord>(&keys[1], value))
        .transpose()?;
    if let Some(outcome) = outcome {
        return Ok(Some(ended(outcome.end)));
    }
    let instance: InstanceRecord = decode(&keys[0], instance)?;
    Ok(Some(open(core, &instance, state.clone())))
}

pub(crate) fn ended(end: End) -> InstanceStatus {
    match end {
        End::Completed => InstanceStatus::Completed,
        End::Failed { error } => InstanceStatus::Failed { error },
        End::Blocked { reason } => InstanceStatus::Blocked { reason },
        End::Cancelled { reason } => InstanceStatus::Cancelled { reason },
        End::Terminated { reason } => InstanceStatus::Terminated { reason },
        End::Paused { reason } => InstanceStatus::Paused { reason },
    }
}

/// The status of an instance without an outcome. That no code here knows its workflow or point is not stored: it is true
/// of this program only.
pub(crate) fn open(core: &Core, instance: &InstanceRecord, state: Option<Bytes>) -> InstanceStatus {
    let is_known_elsewhere = |point: Option<&str>| {
        core.membership
            .as_ref()
            .is_some_and(|membership| membership.is_known(&instance.workflow, point))
    };
    let entry = core.entries.get(instance.workflow.as_str());
    if entry.is_none() && !is_known_elsewhere(None) {
        return InstanceStatus::Blocked {
            reason: BlockedReason::UnknownWorkflow {
                name: instance.workflow.clone(),
            },
        };
    }
    let Some(Ok(state)) = state.map(StateRecord::read) else {
        return InstanceStatus::Running { point: None };
    };
    if entry.is_none_or(|entry| !entry.knows(&state.point)) && !is_known_elsewhere(Some(&state.point)) {
        return InstanceStatus::Blocked {
            reason: BlockedReason::UnknownPoint { point: state.point },
        };
    }
    if operation::is_task(&state.operation) {
        InstanceStatus::Running {
            point: Some(state.point),
        }
    } else {
        InstanceStatus::Waiting {
            on: operation::describe_encoded(&state.operation),
            point: state.point,
        }
    }
}

async fn unknown(
    core: &Core,
    id: &InstanceId,
    instance: &InstanceRecord,
) -> Result<Option<BlockedReason>, store::Error> {
    let state = core.read_one(&core.keys.of(Kind::State, id)).await?;
    match open(core, instance, state) {
        InstanceStatus::Blocked { reason } => Ok(Some(reason)),
        _ => Ok(None),
    }
}
