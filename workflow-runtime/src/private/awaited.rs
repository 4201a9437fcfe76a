//! What generated code does with the operation of a point.

use std::future::Future;
use std::marker::PhantomData;

use crate::Operation;
use crate::context::WorkflowContext;
use crate::halt::Halt;
use crate::operation::Prepared;

/// Something that a workflow may await.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be awaited in a workflow",
    label = "not durable: it could not be continued after a restart",
    note = "a workflow can only await tasks, timers (`sleep`) and signals (`receive`)",
    note = "put this work in a `#[task]` function and await that"
)]
pub trait Awaited: Sized {
    /// What the await gives.
    type Output;

    /// Encodes the operation, so that it can be stored.
    fn prepare(self, context: &mut WorkflowContext) -> Prepared<Self>;

    /// The operation of the point where the workflow is resumed.
    ///
    /// # Errors
    /// When the stored operation is another one.
    fn restore(context: &mut WorkflowContext) -> Result<Prepared<Self>, Halt>;

    /// Commits the step and does what it says.
    fn perform(
        prepared: Prepared<Self>,
        context: &mut WorkflowContext,
    ) -> impl Future<Output = Self::Output> + Send;

    /// Notes what a point awaits.
    fn describe(_: PhantomData<Self>, context: &mut WorkflowContext, point: usize);
}

#[diagnostic::do_not_recommend]
impl<O: Operation> Awaited for O {
    type Output = O::Output;

    fn prepare(self, context: &mut WorkflowContext) -> Prepared<Self> {
        context.prepare(self)
    }

    fn restore(context: &mut WorkflowContext) -> Result<Prepared<Self>, Halt> {
        context.restore_operation()
    }

    fn perform(
        prepared: Prepared<Self>,
        context: &mut WorkflowContext,
    ) -> impl Future<Output = Self::Output> + Send {
        context.perform(prepared)
    }

    fn describe(_: PhantomData<Self>, context: &mut WorkflowContext, point: usize) {
        O::describe(context.description(), point);
    }
}
