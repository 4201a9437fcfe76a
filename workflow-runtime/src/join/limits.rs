//! What every operation can do: be given up after a time, and be told of a cancellation.

use bytes::Bytes;

use super::branch::forget_timers;
use super::tuples::{Either2, Select};
use crate::Durable;
use crate::context::WorkflowContext;
use crate::halt::Halt;
use crate::operation::{Description, IntoDuration, Operation, Parking, Sleep, sleep};
use crate::run::Run;
use crate::store::Batch;

/// The time was over before the operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("the operation did not end in time")]
pub struct Elapsed;

/// An operation with a limit; see [`OperationExt::timeout`].
#[must_use = "nothing runs unless this is awaited"]
#[derive(Debug)]
pub struct Timeout<O>(Select<(O, Sleep)>);

/// What every operation can do.
pub trait OperationExt: Operation + Sized {
    /// Gives the operation up when it has not ended after this time, whatever happens to the process meanwhile.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use workflow_runtime::prelude::*;
    ///
    /// #[signal]
    /// #[derive(Serialize, Deserialize)]
    /// struct Answer(u32);
    ///
    /// #[workflow]
    /// async fn question() -> Option<u32> {
    ///     match receive::<Answer>().timeout("20ms").await {
    ///         Ok(answer) => Some(answer.0),
    ///         Err(Elapsed) => None,
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<question>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(question()).await.unwrap();
    /// assert_eq!(handle.result().await.unwrap(), None);
    /// # });
    /// ```
    fn timeout(self, limit: impl IntoDuration) -> Timeout<Self> {
        Timeout(Select((self, sleep(limit))))
    }

    /// Gives `Err(Cancelled)` when the instance is asked to stop while it waits here; without it such a request ends the
    /// instance. See [`WorkflowEngine::cancel`](crate::WorkflowEngine::cancel).
    fn cancellable(self) -> Cancellable<Self> {
        Cancellable(self)
    }
}

impl<O: Operation> OperationExt for O {}

impl<O: Operation> Operation for Timeout<O>
where
    O::Output: Durable,
{
    type Output = Result<O::Output, Elapsed>;

    fn describe(description: &mut Description, point: usize) {
        O::describe(description, point);
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        self.0.encode(now_ms, out)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        Select::decode(encoded).map(Timeout)
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        self.0.enlist(run, batch)
    }

    async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
        Ok(match self.0.perform(context, encoded).await? {
            Either2::A(output) => Ok(output),
            Either2::B(()) => Err(Elapsed),
        })
    }
}

/// The instance was asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("the workflow was cancelled: {reason}")]
pub struct Cancelled {
    /// Why, in the words of whoever asked.
    pub reason: String,
}

/// An operation that can tell of a cancellation; see [`OperationExt::cancellable`].
#[must_use = "nothing runs unless this is awaited"]
#[derive(Debug)]
pub struct Cancellable<O>(O);

#[diagnostic::do_not_recommend]
impl<O: Operation> Operation for Cancellable<O> {
    type Output = Result<O::Output, Cancelled>;

    fn describe(description: &mut Description, point: usize) {
        O::describe(description, point);
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        self.0.encode(now_ms, out)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        O::decode(encoded).map(Cancellable)
    }

    fn parking(&self, run: &Run) -> Result<Parking, Halt> {
        self.0.parking(run)
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        self.0.enlist(run, batch)
    }

    fn cancelled(reason: &str) -> Option<Self::Output> {
        Some(Err(Cancelled {
            reason: reason.to_owned(),
        }))
    }

    async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
        let outcome = self.0.perform(context, encoded.clone()).await;
        if let Err(Halt::Cancelled { .. }) = outcome {
            // Nobody waits for it any more.
            let run = context.run()?;
            forget_timers(run, &[encoded]);
            run.give_back(&run.scope);
            run.forget_below();
        }
        outcome.map(Ok)
    }
}
