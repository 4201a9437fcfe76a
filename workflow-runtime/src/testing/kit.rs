//! An engine for tests: in memory, on virtual time, with stand-ins for tasks and faults of the store.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::clock::VirtualClock;
use super::mock::{Calls, TaskFn};
use crate::store::{FaultPlan, FaultyStore, MemoryStore};
use crate::workflow::RegisteredIn;
use crate::{
    BuildError, EngineBuilder, IntoDuration, Registry, Task, Workflow, WorkflowCall, WorkflowEngine,
    WorkflowHandle,
};

type Configure<R> = Arc<dyn Fn(EngineBuilder<R>) -> EngineBuilder<R> + Send + Sync>;

/// How often an engine is tried to be built on a store with planned faults.
const BUILDS: u32 = 100;

/// An engine for tests that is being configured.
///
/// ```
/// use workflow_runtime::prelude::*;
/// use workflow_runtime::testing::Kit;
///
/// #[workflow]
/// async fn trial(user: String) -> String {
///     sleep("30d").await;
///     format!("{user}, your trial is over")
/// }
///
/// // In a test: `#[tokio::test] async fn ..`
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let kit = Kit::<trial>::new().open().await;
/// let handle = kit.start(trial("Ada".into())).await.unwrap();
/// assert_eq!(handle.result().await.unwrap(), "Ada, your trial is over");
/// # });
/// ```
#[must_use = "nothing runs before `open()`"]
pub struct Kit<R> {
    configure: Vec<Configure<R>>,
    calls: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    faults: FaultPlan,
}

impl<R> fmt::Debug for Kit<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Kit")
            .field("mocks", &self.calls.len())
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl<R: Registry> Default for Kit<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Registry> Kit<R> {
    /// A kit for the workflows of `R`.
    pub fn new() -> Self {
        Kit {
            configure: Vec::new(),
            calls: HashMap::new(),
            faults: FaultPlan::none(),
        }
    }

    /// Gives tasks a dependency, as [`EngineBuilder::state`] does.
    pub fn state<T: Clone + Send + Sync + 'static>(self, value: T) -> Self {
        self.configure(move |builder| builder.state(value.clone()))
    }

    /// Configures the engine further.
    pub fn configure(
        mut self,
        configure: impl Fn(EngineBuilder<R>) -> EngineBuilder<R> + Send + Sync + 'static,
    ) -> Self {
        self.configure.push(Arc::new(configure));
        self
    }

    /// Lets a function stand in for a task: it gets the task's input, whose fields have the names of the task's parameters,
    /// and gives its output. Both are checked by the compiler. Attempts, pauses and limits are those of the task; its
    /// dependencies are not needed. The last mock of a task counts.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    /// use workflow_runtime::testing::Kit;
    ///
    /// #[task(retry(max_attempts = 3))]
    /// async fn charge(card: &str, cents: u64) -> Result<u64, String> {
    ///     Err(format!("no bank in tests: {card}, {cents}"))
    /// }
    ///
    /// #[workflow]
    /// async fn order(card: String) -> Result<u64, String> {
    ///     charge(&card, 500).await
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let kit = Kit::<order>::new()
    ///     .mock(charge, |input| async move { if input.card == "4111" { Ok(input.cents) } else { Err("declined".into()) } })
    ///     .open()
    ///     .await;
    /// assert_eq!(kit.start(order("4111".into())).await.unwrap().result().await.unwrap(), Ok(500));
    /// assert!(kit.start(order("0000".into())).await.unwrap().result().await.unwrap().is_err());
    /// // One attempt for the first card, three for the second.
    /// assert_eq!(kit.calls(charge).count(), 4);
    /// assert_eq!(kit.calls(charge).inputs()[3].card, "0000");
    /// # });
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "a task is named by its function")]
    pub fn mock<A, F, Fut>(mut self, task: F, answer: impl Fn(F::Task) -> Fut + Send + Sync + 'static) -> Self
    where
        F: TaskFn<A>,
        Fut: Future<Output = <F::Task as Task>::Output> + Send + 'static,
    {
        let _ = &task;
        let calls = Calls::<F::Task>::answered(answer);
        self.calls
            .insert(TypeId::of::<F::Task>(), Box::new(calls.clone()));
        self.configure(move |builder| builder.mocked(&calls))
    }

    /// Lets the store fail after this plan. What the test itself asks of the engine may then fail, too.
    pub fn faults(mut self, plan: FaultPlan) -> Self {
        self.faults = plan;
        self
    }

    /// Pauses tokio's clock, unless it is paused, and builds the engine: from here on time passes at once when nothing
    /// else is to be done.
    ///
    /// # Panics
    /// In a runtime with several threads, whose clock cannot be paused, and with the [`BuildError`] when the engine cannot
    /// be built.
    pub async fn open(self) -> TestEngine<R> {
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::CurrentThread) => {}
            _ => panic!(
                "the kit needs the runtime of a plain `#[tokio::test]`: the clock of one with several threads cannot be paused"
            ),
        }
        if !is_paused() {
            tokio::time::pause();
        }
        let kit = Inner {
            configure: self.configure,
            store: Arc::new(FaultyStore::new(
                MemoryStore::with_clock(VirtualClock::new()),
                self.faults,
            )),
        };
        let engine = kit.build().await;
        TestEngine {
            kit,
            calls: self.calls,
            engine: Shared(Arc::new(Mutex::new(engine.clone()))),
            current: engine,
            planned: Mutex::default(),
            opened: Instant::now(),
        }
    }
}

/// Whether tokio's clock stands still while the thread runs.
fn is_paused() -> bool {
    let before = Instant::now();
    std::thread::sleep(std::time::Duration::from_millis(1));
    before == Instant::now()
}

struct Inner<R> {
    configure: Vec<Configure<R>>,
    store: Arc<FaultyStore<MemoryStore>>,
}

impl<R: Registry> Inner<R> {
    async fn build(&self) -> WorkflowEngine<R> {
        let mut failures = 0;
        loop {
            let builder = WorkflowEngine::<R>::builder().store(self.store.clone());
            let builder = self
                .configure
                .iter()
                .fold(builder, |builder, configure| configure(builder));
            match builder.build().await {
                Ok(engine) => return engine,
                Err(BuildError::Store(_)) if failures < BUILDS && *self.store.plan() != FaultPlan::none() => {
                    failures += 1;
                }
                Err(error) => panic!("the kit cannot build its engine: {error}"),
            }
        }
    }
}

/// The engine that runs now, for what is planned for later.
struct Shared<R>(Arc<Mutex<WorkflowEngine<R>>>);

impl<R> Shared<R> {
    fn get(&self) -> WorkflowEngine<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, engine: WorkflowEngine<R>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = engine;
    }
}

/// An engine for tests, made by [`Kit::open`]. It is a [`WorkflowEngine`], and can do a little more.
pub struct TestEngine<R> {
    kit: Inner<R>,
    calls: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    engine: Shared<R>,
    current: WorkflowEngine<R>,
    planned: Mutex<Vec<JoinHandle<()>>>,
    opened: Instant,
}

impl<R> fmt::Debug for TestEngine<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TestEngine")
            .field("engine", &self.current)
            .finish_non_exhaustive()
    }
}

impl<R> Deref for TestEngine<R> {
    type Target = WorkflowEngine<R>;

    fn deref(&self) -> &WorkflowEngine<R> {
        &self.current
    }
}

impl<R: Registry> TestEngine<R> {
    /// The calls of a mocked task.
    ///
    /// # Panics
    /// When the task has no mock.
    #[expect(clippy::needless_pass_by_value, reason = "a task is named by its function")]
    pub fn calls<A, F: TaskFn<A>>(&self, task: F) -> Calls<F::Task> {
        let _ = &task;
        let calls = self.calls.get(&TypeId::of::<F::Task>());
        match calls.and_then(|calls| calls.downcast_ref::<Calls<F::Task>>()) {
            Some(calls) => calls.clone(),
            None => panic!(
                "the task `{}` has no mock: give it one with `Kit::mock`",
                <F::Task as Task>::NAME
            ),
        }
    }

    /// Does something with an instance at a moment, counted from [`Kit::open`]: sends a message, asks for something. A
    /// moment that is over is now. It is done with the engine of that moment, so crashes do not matter.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use workflow_runtime::prelude::*;
    /// use workflow_runtime::testing::Kit;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Approval { by: String }
    /// impl Signal for Approval { const NAME: &'static str = "approval"; }
    ///
    /// #[workflow]
    /// async fn purchase() -> String {
    ///     match receive::<Approval>().timeout("2d").await {
    ///         Ok(approval) => approval.by,
    ///         Err(Elapsed) => "nobody".to_owned(),
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let kit = Kit::<purchase>::new().open().await;
    /// let (soon, late) = (kit.start(purchase()).await.unwrap(), kit.start(purchase()).await.unwrap());
    /// for (when, handle) in [("1d", &soon), ("3d", &late)] {
    ///     kit.at(when, handle, |handle| async move {
    ///         // The second one comes too late; that is no error of the test.
    ///         let _ = handle.signal(Approval { by: "Ada".into() }).await;
    ///     });
    /// }
    /// assert_eq!(soon.result().await.unwrap(), "Ada");
    /// assert_eq!(late.result().await.unwrap(), "nobody");
    /// # });
    /// ```
    ///
    /// # Panics
    /// When `moment` is text that is no duration. A panic of `act` is passed on by [`done`](TestEngine::done).
    pub fn at<W, Fut>(
        &self,
        moment: impl IntoDuration,
        handle: &WorkflowHandle<W>,
        act: impl FnOnce(WorkflowHandle<W>) -> Fut + Send + 'static,
    ) where
        W: Workflow + RegisteredIn<R>,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let moment = match moment.into_duration() {
            Ok(moment) => self.opened + moment,
            Err(error) => panic!("{error}"),
        };
        let (engine, id) = (Shared(self.engine.0.clone()), handle.id().clone());
        let planned = tokio::spawn(async move {
            tokio::time::sleep_until(moment).await;
            act(engine.get().handle::<W>(id)).await;
        });
        self.planned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(planned);
    }

    /// Waits until all that was planned with [`at`](TestEngine::at) is done.
    ///
    /// # Panics
    /// As what was planned has panicked.
    pub async fn done(&self) {
        loop {
            let next = self.planned.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(planned) = next else { return };
            if let Err(error) = planned.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Stops the engine as a crash would, and opens another one on what is stored. Handles of the engine before see its end:
    /// take new ones.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    /// use workflow_runtime::testing::Kit;
    ///
    /// #[workflow]
    /// async fn nap(n: u32) -> u32 {
    ///     sleep("8h").await;
    ///     n
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let mut kit = Kit::<nap>::new().open().await;
    /// let id = kit.start(nap(3)).await.unwrap().id().clone();
    /// kit.crash().await;
    /// assert_eq!(kit.handle::<nap>(id).result().await.unwrap(), 3);
    /// # });
    /// ```
    pub async fn crash(&mut self) {
        self.current.clone().abort().await;
        self.current = self.kit.build().await;
        self.engine.set(self.current.clone());
    }

    /// How much virtual time has passed since [`Kit::open`].
    pub fn elapsed(&self) -> std::time::Duration {
        self.opened.elapsed()
    }

    /// The store, without its planned faults.
    pub fn store(&self) -> &MemoryStore {
        self.kit.store.inner()
    }

    /// Runs a workflow to its end and gives what it returned.
    ///
    /// # Panics
    /// When it is not started, or has no result.
    pub async fn run<W>(&self, call: WorkflowCall<W>) -> W::Output
    where
        W: Workflow + RegisteredIn<R>,
    {
        let handle = match self.start(call).await {
            Ok(handle) => handle,
            Err(error) => panic!("`{}` was not started: {error}", W::NAME),
        };
        match handle.result().await {
            Ok(output) => output,
            Err(error) => panic!("`{}` has no result: {error}", W::NAME),
        }
    }
}
