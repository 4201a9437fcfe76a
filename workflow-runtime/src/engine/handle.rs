//! A started instance, as its starter sees it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use workflow_model::{BlockedReason, InstanceId, InstanceStatus, InvalidId, codec};

use super::core::{Core, decode};
use super::deliver::Undelivered;
use crate::Output;
use crate::Signal;
use crate::keys::{self, Kind};
use crate::operation;
use crate::record::{self, End, InstanceRecord, MessageRecord, OutcomeRecord, StateRecord};
use crate::store::{self, Condition, Write};
use crate::workflow::Workflow;

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

/// Why a message was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// There is no such instance.
    #[error("there is no instance `{id}`; start it before signalling it")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The instance has ended.
    #[error("the instance `{id}` has ended; it receives nothing any more")]
    Closed {
        /// The id.
        id: InstanceId,
    },
    /// The request's name breaks a rule.
    #[error("the request id is refused: {0}")]
    RequestId(InvalidId),
    /// The message cannot be stored.
    #[error("the message cannot be stored: {0}")]
    Unencodable(String),
    /// Another engine has opened the store.
    #[error("another engine has taken the store over; this one can write no more")]
    Fenced,
    /// The store failed; unless it says that the outcome is unknown, the message is not stored.
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

    /// Sends a message to the instance; it is durable when the returned [`SendSignal`] has been awaited.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use workflow_runtime::prelude::*;
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Approval { by: String }
    /// # impl Signal for Approval { const NAME: &'static str = "approval"; }
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
    pub fn signal<S: Signal>(&self, message: S) -> SendSignal<'_> {
        let payload = codec::encode(&message)
            .map(Bytes::from)
            .map_err(|error| error.to_string());
        SendSignal {
            core: &self.core,
            id: &self.id,
            signal: S::NAME,
            payload,
            request_id: None,
        }
    }
}

/// A message that is about to be sent; await it.
#[must_use = "nothing is sent unless this is awaited"]
pub struct SendSignal<'a> {
    core: &'a Arc<Core>,
    id: &'a InstanceId,
    signal: &'static str,
    payload: Result<Bytes, String>,
    request_id: Option<String>,
}

impl fmt::Debug for SendSignal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SendSignal")
            .field("id", &self.id)
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}

impl SendSignal<'_> {
    /// Names the request: a repetition of it is accepted and changes nothing, as long as the instance exists. 1 to 200
    /// bytes without control characters.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }
}

impl<'a> IntoFuture for SendSignal<'a> {
    type Output = Result<(), SignalError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let payload = self.payload.map_err(SignalError::Unencodable)?;
            let request_id = match self.request_id {
                None => None,
                Some(request_id) => Some(InstanceId::new(request_id).map_err(SignalError::RequestId)?),
            };
            signal(self.core, self.id, self.signal, payload, request_id).await
        })
    }
}

/// Stores a message and makes the instance look at it.
async fn signal(
    core: &Arc<Core>,
    id: &InstanceId,
    name: &str,
    payload: Bytes,
    request_id: Option<InstanceId>,
) -> Result<(), SignalError> {
    let not_found = || SignalError::NotFound { id: id.clone() };
    let closed = || SignalError::Closed { id: id.clone() };
    let keys = [Kind::Instance, Kind::Outcome].map(|kind| core.keys.of(kind, id));
    let found = core.store.get(&keys).await?;
    let [Some(instance), outcome] = &found[..] else {
        return Err(not_found());
    };
    let mut conditions = vec![Condition::Equals(keys[0].clone(), instance.clone())];
    let mut writes = Vec::with_capacity(3);
    let message = core.keys.message(id, core.now_ms(), core.next_message());
    let record = record::encode(&MessageRecord {
        signal: name.to_owned(),
        payload,
    });
    writes.push(Write::Put(message.clone(), record));
    // The value tells a waiting instance's next batch that a message came.
    core.ready(id, keys::nonce(&message), &mut writes);
    if let Some(request_id) = request_id {
        let instance: InstanceRecord = decode(&keys[0], instance)?;
        let request = core.keys.request(id, instance.token, request_id.as_str());
        if core.read_one(&request).await?.is_some() {
            return Ok(());
        }
        conditions.push(Condition::Absent(request.clone()));
        writes.push(Write::Put(request, Bytes::new()));
    }
    // A blocked instance still takes messages; whoever repairs it finds them.
    match outcome {
        None => conditions.push(Condition::Absent(keys[1].clone())),
        Some(value) => {
            if !decode::<OutcomeRecord>(&keys[1], value)?.end.is_open() {
                return Err(closed());
            }
            conditions.push(Condition::Equals(keys[1].clone(), value.clone()));
        }
    }
    let requested = conditions.len() == 3;
    match core.deliver(id, conditions, writes).await {
        Ok(()) => {
            core.wake(id);
            Ok(())
        }
        Err(Undelivered::Fenced) => Err(SignalError::Fenced),
        Err(Undelivered::Store(error)) => Err(error.into()),
        // The same request, at the same moment.
        Err(Undelivered::Conflict(1)) if requested => Ok(()),
        Err(Undelivered::Conflict(_)) => Err(closed()),
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
    let Some(entry) = core.entries.get(instance.workflow.as_str()) else {
        return InstanceStatus::Blocked {
            reason: BlockedReason::UnknownWorkflow {
                name: instance.workflow.clone(),
            },
        };
    };
    let Some(Ok(state)) = state.map(StateRecord::read) else {
        return InstanceStatus::Running { point: None };
    };
    if !entry.points.contains(&state.point.as_str()) {
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
