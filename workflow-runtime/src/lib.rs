//! Durable workflows for Rust: annotate async functions, kill the process anywhere, continue at the same line.
//!
//! `#[task]` makes an async function a step with effects. `#[workflow]` compiles an async function that awaits tasks,
//! timers and signals into a state machine: at each await the runtime stores where the function is and the variables
//! that the rest of it needs. After a crash it continues from there. Nothing is replayed, so ordinary Rust works:
//! clocks, random numbers, `HashMap`s.
//!
//! ```
//! use workflow_runtime::prelude::*;
//!
//! #[task(retry(max_attempts = 3))]
//! async fn square(n: u64) -> Result<u64, String> {
//!     n.checked_mul(n).ok_or(format!("{n} is too large"))
//! }
//!
//! #[workflow]
//! async fn sum_of_squares(numbers: Vec<u64>) -> Result<u64, String> {
//!     let mut sum = 0;
//!     for n in numbers {
//!         sum += square(n).await?; // killed here, it continues here
//!     }
//!     Ok(sum)
//! }
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! let engine = WorkflowEngine::<sum_of_squares>::builder().embedded(folder).build().await?;
//! let handle = engine.start(sum_of_squares(vec![1, 2, 3])).id("sum-1").await?;
//! assert_eq!(handle.result().await?, Ok(14));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # The promise
//! State transitions happen exactly once; external effects happen at least once, unless the task uses its
//! [idempotency key](TaskContext::idempotency_key). A step's result is durable before anything that depends on it starts.
//! What may run twice after a crash is the plain code between two awaits, and the task that was pending.

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
mod attempt;
mod backoff;
mod block;
mod child;
pub mod cluster;
mod context;
pub mod coordination;
mod engine;
mod halt;
mod join;
mod keys;
mod operation;
pub mod prelude;
mod publish;
mod receive;
mod record;
mod reports;
mod run;
mod signal;
pub mod store;
mod task;
mod task_context;
#[cfg(feature = "testing")]
pub mod testing;
mod workflow;

pub use workflow_macros::{signal, task, update, workflow};
pub use workflow_model::{
    BlockedReason, InstanceId, InstanceStatus, InstanceSummary, InvalidId, StatusKind, duration,
};

pub use backoff::{BackoffConfig, Jitter, RetryPolicy};
pub use block::Block;
pub use child::{ChildFailure, ChildHandle, ChildResult, ParentClosePolicy, StartChild};
pub use context::WorkflowContext;
pub use engine::{
    BranchDetails, BuildError, Bulk, BulkError, BulkFailure, BulkReport, ChildLink, ControlError,
    EarlySignals, EngineBuilder, EngineStats, ExistingId, FailedAttempts, InstanceDetails, ListFilter, Page,
    QueryError, ResultError, SendSignal, SendUpdate, ShutdownReport, SignalError, SignalWithStart,
    SignalWithStartError, Start, StartError, UpdateError, Values, WorkflowEngine, WorkflowHandle,
};
pub use join::{
    Cancellable, Cancelled, Either2, Either3, Either4, Either5, Either6, Either7, Either8, Elapsed, Join,
    JoinAll, OperationExt, Select, Timeout, TryJoin, join_all,
};
pub use operation::{IntoDuration, Operation, Sleep, sleep, sleep_until};
pub use receive::{Receive, ReceiveUpdate, Responder, receive, receive_update};
pub use signal::{ReceivedBy, Receives, Signal, Update, Validator};
pub use task::{StateRequirement, Task, TaskCall, TaskFailure, TaskOptions};
pub use task_context::{Extract, State, TaskContext};
pub use workflow::{Contains, RegisteredIn, Registry, RegistryVisitor, Workflow, WorkflowCall};

/// A value that can be stored: serialisable with serde, owned, and free to move between threads.
///
/// Implemented for every type that has serde's `Serialize` and `Deserialize`, is `Send` and borrows nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored",
    label = "not serialisable, not `Send`, or not `'static`",
    note = "derive serde's `Serialize` and `Deserialize` for your own types; own what it borrows; keep `Rc`, guards and handles inside of a #[task]"
)]
pub trait Durable: serde::Serialize + serde::de::DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static> Durable for T {}

/// What a task or workflow gives back.
///
/// Implemented for every [`Durable`] type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a task or workflow: it cannot be stored",
    label = "outputs are stored",
    note = "an output's type must implement serde's `Serialize` and `Deserialize`, be `Send`, and borrow nothing: derive them for your own types",
    note = "the error inside of a `Result` is stored too: convert a foreign error into a type of your own, or into its text (`.map_err(|error| error.to_string())`)"
)]
pub trait Output: Sized + Send + 'static {
    #[doc(hidden)]
    fn encode(&self) -> Result<Vec<u8>, workflow_model::codec::Error>;
    #[doc(hidden)]
    fn decode(encoded: &[u8]) -> Result<Self, workflow_model::codec::Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Durable> Output for T {
    fn encode(&self) -> Result<Vec<u8>, workflow_model::codec::Error> {
        workflow_model::codec::encode(self)
    }

    fn decode(encoded: &[u8]) -> Result<Self, workflow_model::codec::Error> {
        workflow_model::codec::decode(encoded)
    }
}
