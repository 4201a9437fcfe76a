//! What an operator tells an instance: cancel, terminate, pause, resume, retry, skip.
//!
//! An order to an instance that can run is a stored message: whoever runs the instance carries it out, so its records
//! have one writer. An instance that is blocked or paused is run by nobody; its outcome record is the lock.

use serde_json::Value;
use workflow_model::{BlockedReason, InstanceId, InstanceStatus, codec};

use super::WorkflowEngine;
use super::branches;
use super::order::{self, Order, Plan};
use crate::keys::Kind;
use crate::operation;
use crate::record::{self, End, GivenRecord, StateRecord};
use crate::store::{self, Write};

/// Why an order to an instance was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no such instance.
    #[error("there is no instance `{id}`")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The instance is in a state in which the order means nothing.
    #[error("the instance `{id}` is {status}: it cannot be {verb}")]
    NotPossible {
        /// The id.
        id: InstanceId,
        /// Its status.
        status: Box<InstanceStatus>,
        /// What was ordered, as a participle (`paused`).
        verb: &'static str,
    },
    /// Its state changed meanwhile, or another engine has opened the store.
    #[error("the instance `{id}` changed meanwhile; look at it and try again")]
    Changed {
        /// The id.
        id: InstanceId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl<R> WorkflowEngine<R> {
    /// Asks an instance to stop. Its code is told at the await that is pending or comes next: a task whose error type
    /// implements `From<TaskFailure>` gives an `Err` with [`TaskFailure::Cancelled`](crate::TaskFailure::Cancelled), an
    /// operation under [`cancellable`](crate::OperationExt::cancellable) gives `Err(Cancelled)`; the code may then clean
    /// up and await more. An await that cannot tell it ends the instance.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[task]
    /// async fn release(room: String) -> String { format!("{room} released") }
    ///
    /// #[workflow]
    /// async fn booking(room: String) -> String {
    ///     match sleep("30d").cancellable().await {
    ///         Ok(()) => room,
    ///         Err(Cancelled { reason }) => format!("{}: {reason}", release(room).await),
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<booking>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(booking("12".into())).await.unwrap();
    /// engine.cancel(handle.id(), "changed plans").await.unwrap();
    /// assert_eq!(handle.result().await.unwrap(), "12 released: changed plans");
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`ControlError`] says why the order is not accepted.
    pub async fn cancel(&self, id: &InstanceId, reason: impl Into<String>) -> Result<(), ControlError> {
        self.order(id, Order::Cancel(reason.into())).await
    }

    /// Ends an instance at once: a running task is dropped, no more code of it runs.
    ///
    /// # Errors
    /// [`ControlError`] says why the order is not accepted.
    pub async fn terminate(&self, id: &InstanceId, reason: impl Into<String>) -> Result<(), ControlError> {
        self.order(id, Order::Terminate(reason.into())).await
    }

    /// Stops an instance until [`resume`](WorkflowEngine::resume). A running task is dropped, and runs again then.
    /// Messages are still taken.
    ///
    /// # Errors
    /// [`ControlError`] says why the order is not accepted.
    pub async fn pause(&self, id: &InstanceId, reason: impl Into<String>) -> Result<(), ControlError> {
        self.order(id, Order::Pause(reason.into())).await
    }

    /// Lets a paused instance go on.
    ///
    /// # Errors
    /// [`ControlError`] says why it does not.
    pub async fn resume(&self, id: &InstanceId) -> Result<(), ControlError> {
        self.order(id, Order::Resume).await
    }

    /// Lets a blocked instance go on, after its cause was removed: the pending step is done anew, with all its attempts.
    ///
    /// # Errors
    /// [`ControlError`] says why it does not.
    pub async fn retry(&self, id: &InstanceId) -> Result<(), ControlError> {
        self.order(id, Order::Retry).await
    }

    /// Lets an instance that is blocked by a failed task go on with `output` as the task's output. Where the task gives a
    /// `Result`, `{"Ok": ..}` is an output, and `{"Err": ..}` lets the code of the workflow see a failure.
    ///
    /// # Errors
    /// [`ControlError`] says why it does not. An output that does not fit the task's type blocks the instance again.
    pub async fn skip(&self, id: &InstanceId, output: &Value) -> Result<(), ControlError> {
        self.skip_branch(id, &[], output).await
    }

    /// As [`skip`](WorkflowEngine::skip), for a task in a branch: `path` is that of its
    /// [`BranchDetails`](crate::BranchDetails), which [`describe`](WorkflowEngine::describe) shows.
    ///
    /// # Errors
    /// As [`skip`](WorkflowEngine::skip), and when no task is pending in that branch.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[task]
    /// async fn reserve(seat: u32) -> u32 {
    ///     assert!(seat != 13, "there is no such seat");
    ///     seat
    /// }
    ///
    /// #[workflow]
    /// async fn trip() -> (u32, u32) {
    ///     join!(reserve(7), reserve(13))
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<trip>::builder().in_memory().build().await?;
    /// let handle = engine.start(trip()).await?;
    /// while !matches!(handle.status().await?, workflow_runtime::InstanceStatus::Blocked { .. }) {
    ///     tokio::task::yield_now().await;
    /// }
    /// engine.skip_branch(handle.id(), &[1], &serde_json::json!(14)).await?;
    /// assert_eq!(handle.result().await?, (7, 14));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn skip_branch(
        &self,
        id: &InstanceId,
        path: &[u32],
        output: &Value,
    ) -> Result<(), ControlError> {
        let core = self.core();
        let encoded = codec::from_json(output).map_err(|error| store::Error::Corrupt(error.to_string()))?;
        let state = core.read_one(&core.keys.of(Kind::State, id)).await?;
        let state = state.and_then(|state| StateRecord::read(state).ok());
        let Some(state) = state else {
            return Err(order::refuse(core, id, "skipped: no task is pending").await?);
        };
        let key = if path.is_empty() && operation::is_task(&state.operation) {
            core.keys.of(Kind::Given, id)
        } else {
            match branches::line_of_task(core, id, &state, path).await? {
                Some(line) => core.keys.scoped(Kind::Given, id, &line.bytes()),
                None => return Err(order::refuse(core, id, "skipped: no task is pending there").await?),
            }
        };
        let given = record::encode(&GivenRecord {
            step: state.step,
            output: encoded.into(),
        });
        let failed = |end: &End| {
            matches!(
                end,
                End::Blocked {
                    reason: BlockedReason::TaskFailed { .. } | BlockedReason::Poison { .. }
                }
            )
        };
        let mut plan = order::reopen(core, id, "skipped", failed).await?;
        plan.writes.push(Write::Put(key, given));
        order::commit(core, id, plan).await
    }

    async fn order(&self, id: &InstanceId, order: Order) -> Result<(), ControlError> {
        order::give(self.core(), id, &order, Plan::default()).await
    }
}
