//! What a running task can see and use: its identity, its deadline, the engine's dependencies.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::Instant;
use workflow_model::{InstanceId, codec};

use crate::StateRequirement;
use crate::reports::Reports;

/// One attempt of a task.
///
/// ```
/// use workflow_runtime::prelude::*;
///
/// #[task]
/// async fn charge(context: &TaskContext, cents: u64) -> String {
///     // The key is the same in each attempt and after each restart, so the bank charges once.
///     format!("POST /charges {cents} Idempotency-Key: {}", context.idempotency_key())
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// assert!(charge(500).await.contains("500"));
/// # });
/// ```
#[derive(Clone)]
pub struct TaskContext {
    pub(crate) instance: InstanceId,
    pub(crate) token: u64,
    pub(crate) step: u64,
    /// The branch that the task belongs to; empty outside of one.
    pub(crate) scope: String,
    pub(crate) task: &'static str,
    pub(crate) attempt: u32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancellation: Cancellation,
    /// What an earlier attempt reported last.
    pub(crate) progress: Option<Bytes>,
    pub(crate) reports: Reports,
    pub(crate) states: Arc<States>,
}

impl TaskContext {
    /// A context outside of any workflow, for tests of a single task: attempt 1, no deadline, no dependencies.
    pub fn detached(task: &'static str) -> Self {
        TaskContext {
            instance: detached_id(),
            token: 0,
            step: 0,
            scope: String::new(),
            task,
            attempt: 1,
            deadline: None,
            cancellation: Cancellation::default(),
            progress: None,
            reports: Reports::default(),
            states: Arc::default(),
        }
    }

    /// The same context with the progress of an earlier attempt, for tests of a single task.
    ///
    /// # Errors
    /// When the progress cannot be stored.
    pub fn with_progress<T: Serialize>(mut self, progress: &T) -> Result<Self, codec::Error> {
        self.progress = Some(codec::encode(progress)?.into());
        Ok(self)
    }

    /// The same context with one more dependency.
    #[must_use]
    pub fn with_state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        let mut states = (*self.states).clone();
        states.insert(value);
        self.states = Arc::new(states);
        self
    }

    /// The id of the workflow instance that the task belongs to.
    pub fn instance_id(&self) -> &InstanceId {
        &self.instance
    }

    /// The task's stored name.
    pub fn task_name(&self) -> &'static str {
        self.task
    }

    /// Which attempt this is, counted from 1. An attempt that a crash interrupted is attempted again under its number.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// A key that names this step of this instance: the same in each attempt and after each restart, and never that of
    /// another step. Hand it to services that drop duplicates.
    pub fn idempotency_key(&self) -> String {
        format!(
            "{}-{:016x}-{}{}",
            self.instance, self.token, self.step, self.scope
        )
    }

    /// When this attempt will be given up: the earlier one of its own limit and the limit of all attempts.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time until the deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Tells the engine that this attempt lives, and how far it is. Call it as often as you like: the progress is made
    /// durable at once when it is the first, and after that at most once a second; a failed attempt's last progress is
    /// stored with its failure. What the next attempt finds may thus be a second old, so redoing a second's work must do
    /// no harm.
    ///
    /// Under `#[task(heartbeat_timeout = "30s")]` an attempt that is silent for so long is cancelled and attempted
    /// again. A progress that cannot be serialised, or takes more than 256 KiB, fails the attempt.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[task(retry(max_attempts = 5), heartbeat_timeout = "30s")]
    /// async fn import(context: &TaskContext, rows: u64) -> Result<u64, String> {
    ///     let done: u64 = context.progress().unwrap_or(0);
    ///     for row in done..rows {
    ///         // Import the row, and say so.
    ///         context.heartbeat(&(row + 1));
    ///     }
    ///     Ok(rows - done)
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// assert_eq!(import(100).await, Ok(100));
    /// let context = TaskContext::detached("import").with_progress(&90u64).unwrap();
    /// assert_eq!(import(100).run_in(&context).await.unwrap(), Ok(10));
    /// # });
    /// ```
    pub fn heartbeat<T: Serialize>(&self, progress: &T) {
        self.reports
            .beat(codec::encode(progress).map_err(|error| error.to_string()));
    }

    /// What an earlier attempt of this step reported last with [`heartbeat`](TaskContext::heartbeat), as far as it was
    /// stored; `None` when there is none, or when it is not a `T` (another version of the program may have reported it).
    pub fn progress<T: DeserializeOwned>(&self) -> Option<T> {
        codec::decode(self.progress.as_deref()?).ok()
    }

    /// Says that another attempt is of no use: whatever this attempt gives is final. The error is handed through.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[task(retry(max_attempts = 5))]
    /// async fn post(context: &TaskContext, status: u16) -> Result<(), String> {
    ///     match status {
    ///         200 => Ok(()),
    ///         400..=499 => Err(context.give_up(format!("refused: {status}"))),
    ///         _ => Err(format!("try again: {status}")),
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # #[workflow]
    /// # async fn notify() -> Result<(), String> { post(404).await }
    /// # let engine = WorkflowEngine::<notify>::builder().in_memory().build().await.unwrap();
    /// # assert_eq!(engine.start(notify()).await.unwrap().result().await.unwrap(), Err("refused: 404".to_owned()));
    /// # });
    /// ```
    pub fn give_up<E>(&self, error: E) -> E {
        self.reports.give_up();
        error
    }

    /// Whether the task should stop: its time is over or the engine shuts down.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Waits until the task should stop.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    /// The engine's dependency of type `T`.
    pub fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.states.get::<T>()
    }
}

fn detached_id() -> InstanceId {
    InstanceId::new("detached").unwrap_or_else(|_| unreachable!("the id is valid"))
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TaskContext")
            .field("instance", &self.instance)
            .field("task", &self.task)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Tells a task to stop.
#[derive(Clone, Default, Debug)]
pub(crate) struct Cancellation(Arc<Signal>);

#[derive(Default, Debug)]
struct Signal {
    set: AtomicBool,
    notify: Notify,
}

impl Cancellation {
    pub(crate) fn cancel(&self) {
        self.0.set.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }

    fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    pub(crate) async fn cancelled(&self) {
        loop {
            let notified = self.0.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            notified.await;
        }
    }
}

/// A dependency of the engine, as a parameter of a task.
///
/// ```
/// use std::sync::Arc;
/// use workflow_runtime::prelude::*;
///
/// #[derive(Clone)]
/// struct Tariff(Arc<[u64]>);
///
/// #[task]
/// async fn price(State(tariff): State<Tariff>, class: usize) -> Option<u64> {
///     tariff.0.get(class).copied()
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let context = TaskContext::detached("price").with_state(Tariff([100, 250].into()));
/// assert_eq!(price(1).run_in(&context).await.unwrap(), Some(250));
/// # });
/// ```
#[derive(Debug, Clone, Copy)]
pub struct State<T>(pub T);

/// A parameter that a task takes from its context.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given to a task",
    label = "not `Clone + Send + Sync + 'static`",
    note = "each attempt gets a clone of the dependency: derive `Clone` for its type, or wrap what it holds in an `Arc`"
)]
pub trait Extract: Sized {
    /// What the engine must have.
    fn requirement() -> StateRequirement;
    /// Takes it from the context.
    fn extract(context: &TaskContext) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> Extract for State<T> {
    fn requirement() -> StateRequirement {
        StateRequirement::of::<T>()
    }

    fn extract(context: &TaskContext) -> Self {
        match context.state::<T>() {
            Some(value) => State(value),
            None => panic!(
                "task `{}` wants `State<{}>`: outside of an engine give it with \
                 `call.run_in(&TaskContext::detached(..).with_state(value))`",
                context.task,
                std::any::type_name::<T>()
            ),
        }
    }
}

/// The dependencies of an engine, one per type.
#[derive(Clone, Default)]
pub(crate) struct States {
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    /// The names of tasks that something stands in for: they need no dependencies.
    #[cfg(feature = "testing")]
    pub(crate) mocked: std::collections::HashSet<&'static str>,
}

impl States {
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// Whether a task has a dependency that it wants, or does not need it.
    pub(crate) fn suffice(&self, task: &str, requirement: &StateRequirement) -> bool {
        #[cfg(feature = "testing")]
        if self.mocked.contains(task) {
            return true;
        }
        let _ = task;
        self.values.contains_key(&requirement.id)
    }

    fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.values
            .get(&TypeId::of::<T>())
            .and_then(|value| value.downcast_ref::<T>())
            .cloned()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "States({})", self.values.len())
    }
}
