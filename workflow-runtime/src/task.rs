//! Tasks: the steps with effects that a workflow awaits.

use std::any::TypeId;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use workflow_model::codec;

use crate::{Output, RetryPolicy, TaskContext};

/// A step with effects. `#[task]` writes the implementation for an async function; it can be written by hand too.
///
/// The value itself is the task's stored input.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use workflow_runtime::{Task, TaskCall, TaskContext};
///
/// #[derive(Serialize, Deserialize)]
/// struct Square { side: u64 }
///
/// impl Task for Square {
///     const NAME: &'static str = "square";
///     type Output = u64;
///     async fn run(self, _: &TaskContext) -> u64 { self.side * self.side }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// assert_eq!(TaskCall::new(Square { side: 12 }).await, 144);
/// # });
/// ```
pub trait Task: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// The stored name; pending tasks are found by it after a restart.
    const NAME: &'static str;

    /// What the task gives; it is stored with the workflow's next step.
    type Output: Output;

    /// Attempts, timeout, thread.
    fn options() -> TaskOptions {
        TaskOptions::default()
    }

    /// The dependencies that [`run`](Task::run) takes from its context; an engine that lacks one refuses to build.
    fn requirements() -> Vec<StateRequirement> {
        Vec::new()
    }

    /// The message of an output that stands for a failure, after which the task is attempted again.
    fn failure(output: &Self::Output) -> Option<String> {
        let _ = output;
        None
    }

    /// Whether an output that stands for a failure is worth another attempt.
    fn retryable(output: &Self::Output) -> bool {
        let _ = output;
        true
    }

    /// The output that tells the workflow of a failure without an output (a panic, a timeout).
    ///
    /// # Errors
    /// Gives the failure back when the output cannot express it; the instance is then blocked.
    fn from_failure(failure: TaskFailure) -> Result<Self::Output, TaskFailure> {
        Err(failure)
    }

    /// One attempt.
    fn run(self, context: &TaskContext) -> impl Future<Output = Self::Output> + Send;
}

/// Attempts, timeout and thread of a task.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TaskOptions {
    retry: RetryPolicy,
    timeout: Option<Duration>,
    schedule_to_close: Option<Duration>,
    heartbeat_timeout: Option<Duration>,
    blocking: bool,
}

impl TaskOptions {
    /// Sets how often the task is attempted.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Limits one attempt (start-to-close).
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Limits all attempts together, with the pauses between them, from the moment at which the workflow awaits the task.
    /// The time goes on while no process runs.
    #[must_use]
    pub fn with_schedule_to_close(mut self, limit: Duration) -> Self {
        self.schedule_to_close = Some(limit);
        self
    }

    /// Gives an attempt up that is silent for so long: see [`TaskContext::heartbeat`].
    #[must_use]
    pub fn with_heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.heartbeat_timeout = Some(timeout);
        self
    }

    /// Runs the task on a thread where blocking is fine.
    #[must_use]
    pub fn with_blocking(mut self, blocking: bool) -> Self {
        self.blocking = blocking;
        self
    }

    /// How often the task is attempted.
    pub fn retry(&self) -> RetryPolicy {
        self.retry
    }

    /// The limit of one attempt.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The limit of all attempts together.
    pub fn schedule_to_close(&self) -> Option<Duration> {
        self.schedule_to_close
    }

    /// How long an attempt may be silent.
    pub fn heartbeat_timeout(&self) -> Option<Duration> {
        self.heartbeat_timeout
    }

    /// Whether the task runs on a thread where blocking is fine.
    pub fn blocking(&self) -> bool {
        self.blocking
    }
}

/// Why an attempt ended without an output.
///
/// A task whose error type implements `From<TaskFailure>` hands it to the workflow as an ordinary `Err`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum TaskFailure {
    /// The task panicked.
    #[error("task `{task}` panicked: {message}")]
    Panicked {
        /// The task's name.
        task: String,
        /// The panic's message.
        message: String,
    },
    /// The instance was asked to stop.
    #[error("task `{task}` was cancelled: {reason}")]
    Cancelled {
        /// The task's name.
        task: String,
        /// Why, in the words of whoever asked.
        reason: String,
    },
    /// The attempt took longer than the task's timeout.
    #[error("task `{task}` did not finish within {limit:?}")]
    TimedOut {
        /// The task's name.
        task: String,
        /// The timeout of one attempt.
        limit: Duration,
    },
    /// The time for all attempts together was over before one of them succeeded.
    #[error("task `{task}` did not finish within {limit:?}, all attempts included{}", after(last_error.as_deref()))]
    DeadlineExceeded {
        /// The task's name.
        task: String,
        /// The limit of all attempts.
        limit: Duration,
        /// The error of the last attempt that ended.
        last_error: Option<String>,
    },
    /// The attempt gave no sign of life.
    #[error("task `{task}` was silent for {limit:?}")]
    HeartbeatTimedOut {
        /// The task's name.
        task: String,
        /// How long an attempt may be silent.
        limit: Duration,
    },
    /// The progress that the attempt reported cannot be stored.
    #[error("task `{task}` reported a progress that cannot be stored: {error}")]
    ProgressRefused {
        /// The task's name.
        task: String,
        /// Why.
        error: String,
    },
}

fn after(last_error: Option<&str>) -> String {
    last_error.map_or_else(String::new, |error| format!("; the last error was: {error}"))
}

/// A dependency that a task wants from the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateRequirement {
    pub(crate) id: TypeId,
    pub(crate) type_name: &'static str,
}

impl StateRequirement {
    /// The dependency of type `T`.
    pub fn of<T: 'static>() -> Self {
        StateRequirement {
            id: TypeId::of::<T>(),
            type_name: std::any::type_name::<T>(),
        }
    }
}

/// A task with its arguments, to be awaited.
///
/// In a workflow the await is durable. Anywhere else it just runs the task, once, without an engine.
#[must_use = "a task does nothing unless it is awaited"]
pub struct TaskCall<T> {
    pub(crate) input: Input<T>,
    /// The encoded operation, once a workflow performs it.
    pub(crate) encoded: Bytes,
}

pub(crate) enum Input<T> {
    Value(T),
    Encoded(Result<Bytes, codec::Error>),
    /// The value went into the first attempt.
    Spent,
}

impl<T: Task> TaskCall<T> {
    /// A call with these arguments.
    pub fn new(task: T) -> Self {
        TaskCall {
            input: Input::Value(task),
            encoded: Bytes::new(),
        }
    }

    /// A call whose arguments are already encoded (generated code, for arguments by reference).
    #[doc(hidden)]
    pub fn encoded(input: Result<Vec<u8>, codec::Error>) -> Self {
        TaskCall {
            input: Input::Encoded(input.map(Bytes::from)),
            encoded: Bytes::new(),
        }
    }

    /// Runs the task once with `context`, outside of any workflow.
    ///
    /// # Errors
    /// When arguments that were given by reference do not survive being encoded and decoded.
    pub async fn run_in(self, context: &TaskContext) -> Result<T::Output, codec::Error> {
        let task = match self.input {
            Input::Value(task) => task,
            Input::Encoded(input) => codec::decode(&input?)?,
            Input::Spent => unreachable!("a call that is being performed belongs to the runtime"),
        };
        Ok(task.run(context).await)
    }
}

impl<T: Task> IntoFuture for TaskCall<T> {
    type Output = T::Output;
    type IntoFuture = Pin<Box<dyn Future<Output = T::Output> + Send>>;

    /// Runs the task once.
    ///
    /// # Panics
    /// The future panics when the task wants a dependency (`State`): there is no engine to give it. Use
    /// [`TaskCall::run_in`] with a context that has it.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.run_in(&TaskContext::detached(T::NAME)).await {
                Ok(output) => output,
                Err(error) => panic!("the arguments of task `{}` cannot be stored: {error}", T::NAME),
            }
        })
    }
}

impl<T: Task> fmt::Debug for TaskCall<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TaskCall")
            .field("task", &T::NAME)
            .finish_non_exhaustive()
    }
}
