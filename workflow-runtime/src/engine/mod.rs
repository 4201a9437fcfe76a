//! The engine: runs workflow instances over a store.

mod branches;
mod builder;
mod bulk;
pub(crate) mod children;
pub(crate) mod committer;
mod control;
pub(crate) mod core;
mod deliver;
mod describe;
pub(crate) mod early;
pub(crate) mod gate;
pub(crate) mod handle;
pub(crate) mod hot;
pub(crate) mod lease;
mod list;
pub(crate) mod open;
mod order;
mod query;
mod registry;
pub(crate) mod runner;
mod send;
mod signal_with_start;
pub(crate) mod start;
mod timers;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use workflow_model::{InstanceId, InstanceStatus};

pub use branches::BranchDetails;
pub use builder::{BuildError, EngineBuilder};
pub use bulk::{Bulk, BulkError, BulkFailure, BulkReport};
pub use control::ControlError;
pub use describe::{ChildLink, FailedAttempts, InstanceDetails};
pub use early::EarlySignals;
pub use handle::{ResultError, WorkflowHandle};
pub use list::{ListFilter, Page};
pub use query::{QueryError, Values};
pub use registry::Entry;
pub(crate) use registry::MessageEntry;
pub use send::{SendSignal, SendUpdate, SignalError, UpdateError};
pub use signal_with_start::{SignalWithStart, SignalWithStartError};
pub use start::{ExistingId, Start, StartError};

use self::core::Core;
use crate::cluster::{self, HealthManager};
use crate::coordination::Coordinator;
use crate::store;
use crate::workflow::{RegisteredIn, Registry, Workflow, WorkflowCall};

/// How long [`WorkflowEngine::shutdown`] waits for running tasks.
const GRACE: Duration = Duration::from_secs(30);

/// How long dropped tasks may take to be gone.
const STOP: Duration = Duration::from_secs(5);

/// Runs the workflows of `R` over a store.
///
/// Clones share one engine. When the last clone is dropped the engine stops at once, as in a crash: nothing is lost, and
/// tasks that were running run again. [`shutdown`](WorkflowEngine::shutdown) lets them finish.
///
/// ```
/// use workflow_runtime::prelude::*;
///
/// #[task]
/// async fn shout(word: &str) -> String { word.to_uppercase() }
///
/// #[workflow]
/// async fn greeting(name: String) -> String {
///     let hello = shout("hello").await;
///     let name = shout(&name).await;
///     format!("{hello}, {name}!")
/// }
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<greeting>::builder().embedded(folder).build().await?;
/// let handle = engine.start(greeting("Ada".into())).id("greet-ada").await?;
/// assert_eq!(handle.result().await?, "HELLO, ADA!");
/// engine.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct WorkflowEngine<R> {
    owner: Arc<Owner>,
    registry: PhantomData<fn() -> R>,
}

/// Stops the engine when the last handle to it is gone.
struct Owner {
    core: Arc<Core>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.stop();
        self.core.forget_waiters();
    }
}

impl<R> Clone for WorkflowEngine<R> {
    fn clone(&self) -> Self {
        WorkflowEngine {
            owner: self.owner.clone(),
            registry: PhantomData,
        }
    }
}

impl<R> fmt::Debug for WorkflowEngine<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WorkflowEngine")
            .field("store", &self.core().store)
            .finish_non_exhaustive()
    }
}

/// What [`WorkflowEngine::shutdown`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Instances that reached a durable point or their end in time.
    pub drained: usize,
    /// Instances whose task did not end in time: it runs again when an engine opens the store.
    pub interrupted: usize,
}

/// What an engine has done since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Batches of instances that were committed.
    pub commits: u64,
    /// Store transactions that carried them.
    pub groups: u64,
    /// Instances that were loaded from the store.
    pub loads: u64,
    /// Instances in memory now.
    pub in_memory: usize,
}

impl<R: Registry> WorkflowEngine<R> {
    /// An engine that is being configured.
    pub fn builder() -> EngineBuilder<R> {
        EngineBuilder::new()
    }
}

impl<R> WorkflowEngine<R> {
    fn new(core: Arc<Core>) -> Self {
        WorkflowEngine {
            owner: Arc::new(Owner { core }),
            registry: PhantomData,
        }
    }

    fn core(&self) -> &Arc<Core> {
        &self.owner.core
    }

    /// Starts an instance. When the returned [`Start`] has been awaited, the instance is durable and has reached its
    /// first await.
    pub fn start<W>(&self, call: WorkflowCall<W>) -> Start<W>
    where
        W: Workflow + RegisteredIn<R>,
    {
        Start::new(self.core().clone(), call)
    }

    /// A handle to an instance that was started before; whether it exists is found out by what is asked of it.
    pub fn handle<W>(&self, id: InstanceId) -> WorkflowHandle<W>
    where
        W: Workflow + RegisteredIn<R>,
    {
        WorkflowHandle::new(self.core().clone(), id)
    }

    /// Where an instance stands; `None` when there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status(&self, id: &InstanceId) -> Result<Option<InstanceStatus>, store::Error> {
        handle::status(self.core(), id).await
    }

    /// A page of the instances that match, in a fixed order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, filter: ListFilter) -> Result<Page, store::Error> {
        list::list(self.core(), filter).await
    }

    /// The nodes of the cluster that the engine takes part in; none when it has the store alone.
    pub fn health(&self) -> HealthManager {
        let core = self.core();
        HealthManager::over(core.store.clone(), core.keys.clone())
    }

    /// Locks, elections and transactions over the engine's store, in its namespace.
    pub fn coordinator(&self) -> Coordinator {
        let core = self.core();
        Coordinator::over(core.store.clone(), core.keys.namespace())
    }

    /// What the engine has done since it was built.
    pub fn stats(&self) -> EngineStats {
        let core = self.core();
        EngineStats {
            commits: core.counters.commits(),
            groups: core.committer.groups(),
            loads: core.counters.loads(),
            in_memory: core.hot.count(),
        }
    }

    /// Stops taking work, lets running tasks finish for up to 30 seconds, and leaves everything durable. Whatever is not
    /// at its end goes on when an engine opens the store again.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.shutdown_within(GRACE).await
    }

    /// As [`shutdown`](WorkflowEngine::shutdown), with another limit for running tasks.
    pub async fn shutdown_within(&self, grace: Duration) -> ShutdownReport {
        let core = self.core();
        let before = core.gate.inside();
        // The others get the shards one by one, as each comes to rest.
        cluster::leave(core, grace).await;
        core.drain();
        let deadline = Instant::now() + grace;
        let interrupted = match tokio::time::timeout_at(deadline, core.gate.emptied()).await {
            Ok(()) => 0,
            Err(_) => core.gate.inside(),
        };
        core.stop();
        // A task that never yields cannot be dropped; it must not hold the shutdown up.
        let _ = tokio::time::timeout(STOP, core.gate.emptied()).await;
        // The next engine need not suspect a step of having killed the process.
        open::release(core).await;
        core.forget_waiters();
        ShutdownReport {
            drained: before.saturating_sub(interrupted),
            interrupted,
        }
    }

    /// Stops at once, as a crash of the process would, and returns when nothing of the engine runs any more.
    /// For tests of recovery.
    pub async fn abort(self) {
        let core = self.core().clone();
        core.stop();
        let _ = tokio::time::timeout(STOP, core.gate.emptied()).await;
        core.forget_waiters();
    }
}
