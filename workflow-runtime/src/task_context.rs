//! What a running task can see and use: its identity, its deadline, the engine's dependencies.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use workflow_model::InstanceId;

use crate::StateRequirement;

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
    /// The branch of a join or select that the task belongs to; empty outside of one.
    pub(crate) scope: String,
    pub(crate) task: &'static str,
    pub(crate) attempt: u32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancellation: Cancellation,
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
            states: Arc::default(),
        }
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
        format!("{}-{:016x}-{}{}", self.instance, self.token, self.step, self.scope)
    }

    /// When this attempt will be given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time until the deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
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
    note = "a dependency is cloned for each attempt: its type must be `Clone + Send + Sync + 'static` (wrap it in an `Arc`)"
)]
pub trait Extract: Sized {
    /// What the engine must have.
    fn requirement() -> StateRequirement;
    /// Takes it from the context.
    fn extract(context: &TaskContext) -> Self;
}

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
pub(crate) struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    pub(crate) fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(value));
    }

    pub(crate) fn has(&self, requirement: &StateRequirement) -> bool {
        self.0.contains_key(&requirement.id)
    }

    fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>()).and_then(|value| value.downcast_ref::<T>()).cloned()
    }
}

impl fmt::Debug for States {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "States({})", self.0.len())
    }
}
