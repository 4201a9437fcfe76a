//! How a child's end reaches its parent, and what a parent's end means for its children.

use std::future::Future;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use workflow_model::{InstanceId, codec};

use super::{ChildHandle, ended, failed};
use crate::Output;
use crate::context::WorkflowContext;
use crate::engine::core::Message;
use crate::halt::Halt;
use crate::operation::{Description, Operation, Parking};
use crate::record::ChildEnd;
use crate::run::Run;
use crate::store::Batch;
use crate::workflow::{Workflow, WorkflowCall};

/// What happens to a child that has not ended when its parent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ParentClosePolicy {
    /// The child is asked to stop, as by [`WorkflowEngine::cancel`](crate::WorkflowEngine::cancel): it may clean up. The
    /// default, because nobody is left who could hear of the child's end; and so a cancellation goes down the whole tree.
    #[default]
    Cancel,
    /// The child is ended at once.
    Terminate,
    /// The child goes on.
    Abandon,
    /// The parent waits: when its code has returned, with an output or an error, it stays open until the child has
    /// ended. What it returned is stored meanwhile, and is given to nobody before. A parent that is cancelled or
    /// terminated, also while it waits, does not wait, and the child is cancelled.
    Wait,
}

/// Why a child gave no output.
///
/// A workflow whose error type implements `From<ChildFailure>` hands it to a parent that awaits it as an ordinary `Err`;
/// any other one is awaited with [`result`](WorkflowCall::result) where this can happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChildFailure {
    /// It was asked to stop, and has stopped.
    #[error("the child workflow `{id}` was cancelled: {reason}")]
    Cancelled {
        /// The child.
        id: InstanceId,
        /// Why, in the words of whoever asked.
        reason: String,
    },
    /// It was ended from outside.
    #[error("the child workflow `{id}` was terminated: {reason}")]
    Terminated {
        /// The child.
        id: InstanceId,
        /// Why, in the words of whoever did it.
        reason: String,
    },
}

type ChildOutcome<W> = Result<<W as Workflow>::Output, ChildFailure>;

async fn receive<W: Workflow>(run: &mut Run, id: &InstanceId) -> Result<(Message, ChildOutcome<W>), Halt> {
    let message = run.next_message(&ended(id)).await?;
    let unreadable =
        |error: codec::Error| Halt::undecodable(&format!("the output of the child `{id}`"), error);
    let id = || id.clone();
    let end = match codec::decode(&message.payload).map_err(unreadable)? {
        ChildEnd::Output(output) => Ok(Output::decode(&output).map_err(unreadable)?),
        ChildEnd::Cancelled(reason) => Err(ChildFailure::Cancelled { id: id(), reason }),
        ChildEnd::Terminated(reason) => Err(ChildFailure::Terminated { id: id(), reason }),
    };
    Ok((message, end))
}

/// The child's output, in which it may itself say that it was stopped.
pub(super) async fn output<W: Workflow>(run: &mut Run, id: &InstanceId) -> Result<W::Output, Halt> {
    let (message, end) = receive::<W>(run, id).await?;
    match end.or_else(W::from_failure) {
        Ok(output) => Ok(output),
        Err(failure) => {
            // Whoever lets the instance go on with other code finds it again.
            run.put_back(&message);
            Err(failed(W::NAME, failure.to_string()))
        }
    }
}

/// A child that can be awaited with its failures.
#[doc(hidden)]
pub trait AwaitedChild: Operation {
    type Workflow: Workflow;

    fn end(
        self,
        context: &mut WorkflowContext,
    ) -> impl Future<Output = Result<ChildOutcome<Self::Workflow>, Halt>> + Send;
}

impl<W: Workflow> AwaitedChild for WorkflowCall<W> {
    type Workflow = W;

    async fn end(self, context: &mut WorkflowContext) -> Result<ChildOutcome<W>, Halt> {
        let run = context.run()?;
        let id = self.begin(run)?;
        Ok(receive::<W>(run, &id).await?.1)
    }
}

impl<W: Workflow> AwaitedChild for ChildHandle<W> {
    type Workflow = W;

    async fn end(self, context: &mut WorkflowContext) -> Result<ChildOutcome<W>, Halt> {
        Ok(receive::<W>(context.run()?, self.id()).await?.1)
    }
}

/// The output of a child, or why it has none; see [`WorkflowCall::result`].
#[must_use = "nothing runs unless this is awaited"]
#[derive(Debug)]
pub struct ChildResult<O>(pub(super) O);

#[diagnostic::do_not_recommend]
impl<O: AwaitedChild> Operation for ChildResult<O> {
    type Output = Result<<O::Workflow as Workflow>::Output, ChildFailure>;

    fn describe(description: &mut Description, point: usize) {
        O::describe(description, point);
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        self.0.encode(now_ms, out)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        O::decode(encoded).map(ChildResult)
    }

    fn parking(&self, run: &Run) -> Result<Parking, Halt> {
        self.0.parking(run)
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        self.0.enlist(run, batch)
    }

    async fn perform(self, context: &mut WorkflowContext, _: Bytes) -> Result<Self::Output, Halt> {
        self.0.end(context).await
    }
}
