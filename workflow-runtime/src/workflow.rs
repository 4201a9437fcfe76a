//! Workflows: what `#[workflow]` generates, and the set of them that a program can run.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ChildFailure, Output, ParentClosePolicy, WorkflowContext};

/// A resumable state machine. `#[workflow]` writes the implementation; the value itself is the stored input.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a workflow",
    label = "not a workflow",
    note = "put `#[workflow]` on its `async fn`; a task is run by the workflows that await it, and is not registered or started"
)]
pub trait Workflow: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// The stored name.
    const NAME: &'static str;

    /// The names of the durable points; entry `n + 1` continues at point `n`.
    const POINTS: &'static [&'static str];

    /// What the workflow gives.
    type Output: Output;

    /// The message of an output that stands for a failure.
    fn failure(output: &Self::Output) -> Option<String>;

    /// The output that tells a parent of a failure of this workflow without an output (cancelled, terminated).
    ///
    /// # Errors
    /// Gives the failure back when the output cannot express it; a parent that awaits the output is then blocked.
    fn from_failure(failure: ChildFailure) -> Result<Self::Output, ChildFailure> {
        Err(failure)
    }

    /// Runs one stage: the first one with an input, or the one where the context is. Gives the output at the workflow's end.
    fn step(input: Option<Self>, context: &mut WorkflowContext) -> Option<Self::Output>;
}

/// A workflow with its arguments, to be started.
#[must_use = "a workflow does nothing unless it is started: `engine.start(..)`"]
pub struct WorkflowCall<W> {
    pub(crate) input: W,
    pub(crate) id: Option<String>,
    pub(crate) policy: ParentClosePolicy,
}

impl<W: Workflow> WorkflowCall<W> {
    /// A call with these arguments.
    pub fn new(input: W) -> Self {
        WorkflowCall {
            input,
            id: None,
            policy: ParentClosePolicy::default(),
        }
    }
}

impl<W: Workflow> fmt::Debug for WorkflowCall<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WorkflowCall")
            .field("workflow", &W::NAME)
            .finish_non_exhaustive()
    }
}

/// The workflows that an engine can run. A single workflow is a registry of its own; [`workflows!`](crate::workflows)
/// names a larger set.
pub trait Registry: 'static {
    /// Hands every workflow of the set to `visitor`.
    fn visit(visitor: &mut dyn RegistryVisitor);
}

/// Receives the workflows of a [`Registry`].
pub trait RegistryVisitor {
    /// Called with each workflow.
    fn workflow(&mut self, entry: crate::engine::Entry);
}

/// Says that a [`Registry`] holds the workflow `W`, so an engine over it can start it.
#[diagnostic::on_unimplemented(
    message = "the workflow `{W}` is not registered in `{Self}`",
    label = "this engine does not know the workflow `{W}`",
    note = "name it where the engine's workflows are listed: `workflows! {{ pub App {{ .., {W} }} }}`"
)]
pub trait Contains<W>: Registry {}

/// Says that the workflow is one of those that an engine over `R` runs: `R` [`Contains`] it.
#[diagnostic::on_unimplemented(
    message = "the workflow `{Self}` is not registered in `{R}`",
    label = "an engine over `{R}` does not run `{Self}`",
    note = "name it where the engine's workflows are listed: `workflows! {{ pub App {{ .., {Self} }} }}`"
)]
pub trait RegisteredIn<R> {}

// The bound of `WorkflowEngine::start` is on the workflow and not on the registry: a registry of one workflow would
// otherwise tell rustc the type of the argument, and the message would be about mismatched types.
#[diagnostic::do_not_recommend]
impl<R: Contains<W>, W> RegisteredIn<R> for W {}

/// Names the workflows that a program can run, as a type: starting any other one does not compile.
///
/// ```
/// use workflow_runtime::prelude::*;
///
/// #[workflow]
/// async fn orders(n: u32) -> u32 { n }
/// #[workflow]
/// async fn refunds(n: u32) -> u32 { n }
///
/// workflows! {
///     /// All that this program runs.
///     pub App { orders, refunds }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<App>::builder().in_memory().build().await.unwrap();
/// let handle = engine.start(refunds(7)).await.unwrap();
/// assert_eq!(handle.result().await.unwrap(), 7);
/// # });
/// ```
#[macro_export]
macro_rules! workflows {
    ($(#[$attribute:meta])* $visibility:vis $name:ident { $($workflow:path),* $(,)? }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, Default)]
        $visibility struct $name;

        impl $crate::Registry for $name {
            fn visit(visitor: &mut dyn $crate::RegistryVisitor) {
                $(visitor.workflow($crate::__private::entry::<$workflow>());)*
            }
        }

        $(impl $crate::Contains<$workflow> for $name {})*
    };
}

impl<W: Workflow> Contains<W> for W {}

impl<W: Workflow> Registry for W {
    fn visit(visitor: &mut dyn RegistryVisitor) {
        visitor.workflow(crate::engine::Entry::of::<W>());
    }
}
