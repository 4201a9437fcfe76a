//! Runs a workflow with a crash before and after each of its commits.
//!
//! One *run* takes an instance from its start to its end on one store. A run consists of *lives*: each one opens an
//! engine on the store; all but the last end in a crash. Whoever starts the instance and sends it messages is part of
//! the run: what it does not know to have succeeded it tries again in the next life.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use workflow_model::InstanceId;

use super::clock::VirtualClock;
use super::crash_store::{Crash, CrashStore};
use super::effects::{Effect, EffectLog, Life, complete};
use super::mock::{Calls, TaskFn};
use super::report::{self, CrashMismatch, CrashReport, Ended};
use crate::keys::{Keys, Kind, SHARDS};
use crate::store::{FaultPlan, MemoryStore, Store};
use crate::{
    BuildError, Contains, EngineBuilder, ExistingId, ReceivedBy, Registry, ResultError, Signal, SignalError,
    StartError, Task, Workflow, WorkflowCall, WorkflowEngine, WorkflowHandle,
};

const INSTANCE: &str = "crash-everywhere";
/// How often what a planned fault of the store has refused is asked for again.
const TRIES: u32 = 1000;

const NAMESPACE: &str = "default";

/// An instance that has not ended after so much (virtual) time hangs.
const TIME_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SignalError>> + Send + 'a>>;
/// Sends a message under the name of its request.
type SendMessage<W> = Box<dyn for<'a> Fn(&'a WorkflowHandle<W>, String) -> Sending<'a>>;

type Configure<R> = Box<dyn Fn(EngineBuilder<R>) -> EngineBuilder<R>>;

enum Act<W> {
    Signal(&'static str, SendMessage<W>),
    Pause(Duration),
}

/// Crashes a workflow at each of its commits: see [`crash_everywhere`].
#[must_use = "nothing runs before `run()`"]
pub struct CrashEverywhere<R, W> {
    call: Box<dyn Fn() -> WorkflowCall<W>>,
    engine: Vec<Configure<R>>,
    before_run: Vec<Box<dyn Fn()>>,
    script: Vec<Act<W>>,
    log: Option<EffectLog>,
    twice: bool,
    may_block: bool,
    only: Option<Vec<Crash>>,
    at_most: usize,
    time_limit: Duration,
    faults: FaultPlan,
}

impl<R, W> fmt::Debug for CrashEverywhere<R, W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CrashEverywhere")
            .field("twice", &self.twice)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

/// Runs the workflow without a crash, and then again and again, each time with a crash at another commit: once before
/// and once after each. A crash ends the engine; a new one opens what was stored and lets the instance finish. Each run
/// must give the same result and the same effects in the same order; what may happen twice is the task that the crash
/// interrupted.
///
/// `R` is the engine's set of workflows, `W` one of them. Everything is in memory. Use it with paused time
/// (`#[tokio::test(start_paused = true)]`): timers then fire as soon as everything waits. The workflow's result must not
/// depend on the time or on chance.
///
/// ```
/// use workflow_runtime::prelude::*;
/// use workflow_runtime::testing::crash_everywhere;
///
/// #[task]
/// async fn half(n: u64) -> u64 { n / 2 }
///
/// #[workflow]
/// async fn halvings(mut n: u64) -> u32 {
///     let mut count = 0;
///     while n > 1 {
///         n = half(n).await;
///         count += 1;
///     }
///     count
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let report = crash_everywhere::<halvings, _>(|| halvings(100)).twice().run().await;
/// assert_eq!(report.result(), Some(&6));
/// println!("{report}");
/// # });
/// ```
pub fn crash_everywhere<R, W>(call: impl Fn() -> WorkflowCall<W> + 'static) -> CrashEverywhere<R, W>
where
    R: Registry + Contains<W>,
    W: Workflow,
    W::Output: PartialEq + fmt::Debug,
{
    CrashEverywhere {
        call: Box::new(call),
        engine: Vec::new(),
        before_run: Vec::new(),
        script: Vec::new(),
        log: None,
        twice: false,
        may_block: false,
        only: None,
        at_most: usize::MAX,
        time_limit: TIME_LIMIT,
        faults: FaultPlan::none(),
    }
}

impl<R, W> CrashEverywhere<R, W>
where
    R: Registry + Contains<W>,
    W: Workflow,
    W::Output: PartialEq + fmt::Debug,
{
    /// Configures each engine: dependencies, limits.
    pub fn engine(mut self, configure: impl Fn(EngineBuilder<R>) -> EngineBuilder<R> + 'static) -> Self {
        self.engine.push(Box::new(configure));
        self
    }

    /// Gives the tasks this log as a dependency, and checks what they write into it.
    pub fn effects(mut self, log: &EffectLog) -> Self {
        let state = log.clone();
        self.log = Some(log.clone());
        self.engine(move |builder| builder.state(state.clone()))
    }

    /// Lets a function stand in for a task: see [`Kit::mock`](super::Kit::mock).
    #[expect(clippy::needless_pass_by_value, reason = "a task is named by its function")]
    pub fn mock<A, F, Fut>(self, task: F, answer: impl Fn(F::Task) -> Fut + Send + Sync + 'static) -> Self
    where
        F: TaskFn<A>,
        Fut: Future<Output = <F::Task as Task>::Output> + Send + 'static,
    {
        let _ = &task;
        let calls = Calls::<F::Task>::answered(answer);
        self.engine(move |builder| builder.mocked(&calls))
    }

    /// Lets the store of each run fail after this plan, besides the crashes: commits that are refused, or whose outcome
    /// nobody knows, and delays. Reads do not fail.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    /// use workflow_runtime::store::FaultPlan;
    /// use workflow_runtime::testing::crash_everywhere;
    ///
    /// #[task]
    /// async fn half(n: u64) -> u64 { n / 2 }
    ///
    /// #[workflow]
    /// async fn quarter(n: u64) -> u64 { let n = half(n).await; half(n).await }
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let report = crash_everywhere::<quarter, _>(|| quarter(100))
    ///     .mock(half, |input| async move { input.n / 10 })
    ///     .faults(FaultPlan::seeded(7))
    ///     .run()
    ///     .await;
    /// assert_eq!(report.result(), Some(&1));
    /// # });
    /// ```
    pub fn faults(mut self, plan: FaultPlan) -> Self {
        self.faults = plan.read_error(0.0);
        self
    }

    /// Does something before each run, such as to reset what the tasks use.
    pub fn before_each_run(mut self, prepare: impl Fn() + 'static) -> Self {
        self.before_run.push(Box::new(prepare));
        self
    }

    /// No instance stays in memory while it waits: each one is loaded again when it goes on.
    pub fn evicting(self) -> Self {
        self.engine(|builder| builder.waiting_in_memory(0))
    }

    /// Sends a message when what was asked for before is done. It is sent exactly once in each run.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use workflow_runtime::prelude::*;
    /// use workflow_runtime::testing::crash_everywhere;
    ///
    /// #[signal]
    /// #[derive(Serialize, Deserialize, Clone)]
    /// struct Item(String);
    ///
    /// #[workflow]
    /// async fn cart() -> String {
    ///     let mut all = receive::<Item>().await.0;
    ///     all.push_str(&receive::<Item>().await.0);
    ///     all
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
    /// let report = crash_everywhere::<cart, _>(cart)
    ///     .signal(Item("tea".into()))
    ///     .pause(std::time::Duration::from_secs(60))
    ///     .signal(Item("pot".into()))
    ///     .evicting()
    ///     .run()
    ///     .await;
    /// assert_eq!(report.result().map(String::as_str), Some("teapot"));
    /// # });
    /// ```
    pub fn signal<S: Signal + ReceivedBy<W> + Clone + Sync>(mut self, message: S) -> Self {
        let send: SendMessage<W> = Box::new(move |handle, request| {
            let message = message.clone();
            Box::pin(async move { handle.signal(message).request_id(request).await })
        });
        self.script.push(Act::Signal(S::NAME, send));
        self
    }

    /// Lets time pass, in which the instance can go on, before the next message is sent.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.script.push(Act::Pause(pause));
        self
    }

    /// Crashes a second time in the life after each crash, at each of its commits. The number of runs grows with the
    /// square of the number of commits.
    pub fn twice(mut self) -> Self {
        self.twice = true;
        self
    }

    /// Accepts a workflow that ends up blocked, if it does so in each run.
    pub fn may_block(mut self) -> Self {
        self.may_block = true;
        self
    }

    /// Runs only with these crashes, one per life: repeats a run that failed.
    pub fn only(mut self, crashes: impl IntoIterator<Item = Crash>) -> Self {
        self.only = Some(crashes.into_iter().collect());
        self
    }

    /// Crashes at so many places only, spread evenly over all of them: for long workflows, whose number of steps would
    /// grow with the square of their length.
    pub fn at_most(mut self, places: usize) -> Self {
        self.at_most = places.max(1);
        self
    }

    /// After how much time, in tokio's time, an instance that has not ended counts as hanging; 7 days otherwise.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Runs everything.
    ///
    /// # Panics
    /// With a [`CrashMismatch`] when a crash makes a difference.
    pub async fn run(self) -> CrashReport<W::Output> {
        match self.check().await {
            Ok(report) => report,
            Err(mismatch) => panic!("{mismatch}"),
        }
    }

    /// As [`run`](Self::run), without the panic.
    ///
    /// # Errors
    /// When a crash makes a difference.
    pub async fn check(self) -> Result<CrashReport<W::Output>, CrashMismatch> {
        let first = self.run_once(&[]).await?;
        if let (Ended::Blocked(reason), false) = (&first.ended, self.may_block) {
            return Err(CrashMismatch {
                text: format!("`{}` is blocked without any crash: {reason}", W::NAME),
            });
        }
        if first.leftovers > 0 {
            return Err(self.mismatch(&[], &left_behind(first.leftovers)));
        }
        let reference = Reference {
            commits: first.commits,
            ended: first.ended,
            effects: first.lives[0].effects.clone(),
        };
        let (mut runs, mut crashes) = (1, 0);
        let plans: Vec<Vec<Crash>> = match &self.only {
            Some(only) => vec![only.clone()],
            None => self.spread(reference.commits).map(|crash| vec![crash]).collect(),
        };
        for mut plan in plans {
            let run = self.compare_one(&reference, &plan).await?;
            (runs, crashes) = (runs + 1, crashes + run.lives.len() - 1);
            if !self.twice || self.only.is_some() {
                continue;
            }
            for second in self.spread(run.commits) {
                plan.push(second);
                let run = self.compare_one(&reference, &plan).await?;
                (runs, crashes) = (runs + 1, crashes + run.lives.len() - 1);
                plan.pop();
            }
        }
        let Reference {
            commits,
            ended,
            effects,
        } = reference;
        Ok(CrashReport {
            workflow: W::NAME,
            commits,
            runs,
            crashes,
            ended,
            effects,
        })
    }

    /// The places for a crash in a life with so many commits.
    fn spread(&self, commits: u64) -> impl Iterator<Item = Crash> {
        let count = Crash::all(commits).count();
        let chosen = self.at_most.min(count);
        // The `n`-th of `chosen` places; they end with the last one.
        let places: BTreeSet<usize> = (1..=chosen).map(|n| n * count / chosen - 1).collect();
        Crash::all(commits)
            .enumerate()
            .filter(move |(place, _)| places.contains(place))
            .map(|(_, crash)| crash)
    }

    async fn compare_one(
        &self,
        reference: &Reference<W::Output>,
        plan: &[Crash],
    ) -> Result<Run<W::Output>, CrashMismatch> {
        let run = self.run_once(plan).await?;
        let difference = if run.ended != reference.ended {
            format!("another end: {:?} instead of {:?}", run.ended, reference.ended)
        } else if self.log.is_some() && !complete(&reference.effects, &run.lives) {
            "other effects than the repeats of the task that the crash interrupted".to_owned()
        } else if run.leftovers > 0 {
            left_behind(run.leftovers)
        } else {
            return Ok(run);
        };
        let effects = report::compare(&reference.effects, &run.lives);
        Err(self.mismatch(
            plan,
            &format!(
                "{difference}\n  the run without a crash has {} commits\n{effects}",
                reference.commits
            ),
        ))
    }

    fn mismatch(&self, plan: &[Crash], difference: &str) -> CrashMismatch {
        let (described, repeat) = (report::describe(plan), report::repeat(plan));
        CrashMismatch {
            text: format!("`{}` {described}: {difference}\n  {repeat}", W::NAME),
        }
    }

    async fn run_once(&self, plan: &[Crash]) -> Result<Run<W::Output>, CrashMismatch> {
        self.before_run.iter().for_each(|prepare| prepare());
        if let Some(log) = &self.log {
            log.clear();
        }
        let memory = MemoryStore::with_clock(VirtualClock::new());
        let mut client = Client { position: 0 };
        let mut lives = Vec::new();
        let mut crashes = plan.iter().copied();
        let mut may_repeat = false;
        loop {
            let crash = crashes.next();
            let store = Arc::new(CrashStore::new(memory.clone(), self.faults.clone(), crash));
            let seen = self.log.as_ref().map_or(0, EffectLog::len);
            let life = self.live(&store, &mut client);
            let ended = match tokio::time::timeout(self.time_limit, life).await {
                Ok(ended) => ended.map_err(|error| self.mismatch(plan, &error))?,
                Err(_) => {
                    let error = format!("no end within {:?} of virtual time", self.time_limit);
                    return Err(self.mismatch(plan, &error));
                }
            };
            let effects = self.log.as_ref().map_or_else(Vec::new, |log| log.since(seen));
            lives.push(Life { effects, may_repeat });
            // A step that was stored is not repeated. A message is stored at any time, also while a task runs.
            may_repeat |= matches!(crash, Some(Crash::Before(_))) || !self.script.is_empty();
            if let Some(ended) = ended {
                let leftovers = if matches!(ended, Ended::Returned(_)) {
                    leftovers(&memory).await
                } else {
                    0
                };
                return Ok(Run {
                    ended,
                    lives,
                    commits: store.commits(),
                    leftovers,
                });
            }
        }
    }

    /// One life: `None` says that it ended in a crash.
    async fn live(
        &self,
        store: &Arc<CrashStore>,
        client: &mut Client,
    ) -> Result<Option<Ended<W::Output>>, String> {
        let mut failures = 0;
        let engine = loop {
            let builder = WorkflowEngine::<R>::builder().store(store.clone());
            let builder = self
                .engine
                .iter()
                .fold(builder, |builder, configure| configure(builder));
            match builder.build().await {
                Ok(engine) => break engine,
                Err(_) if store.is_crashed() => return Ok(None),
                // A planned fault: whoever starts the process tries again.
                Err(BuildError::Store(_)) if failures < TRIES && self.has_faults() => failures += 1,
                Err(error) => return Err(format!("no engine: {error}")),
            }
        };
        let ended = tokio::select! {
            biased;
            // First: an answer that came before the crash is heard.
            ended = self.drive(&engine, client) => ended.map(Some),
            () = store.crashed() => Ok(None),
        };
        engine.abort().await;
        match ended {
            // Whatever went wrong, it did so because the process had died.
            Err(_) if store.is_crashed() => Ok(None),
            Ok(Some(ended)) if store.is_crashed() => {
                // The crash came with the last commit: the end is stored, and the next life will find it.
                drop(ended);
                Ok(None)
            }
            ended => ended,
        }
    }

    fn has_faults(&self) -> bool {
        self.faults != FaultPlan::none()
    }

    /// Starts the instance, sends the messages, waits for the end.
    async fn drive(
        &self,
        engine: &WorkflowEngine<R>,
        client: &mut Client,
    ) -> Result<Ended<W::Output>, String> {
        let mut failures = 0;
        let handle = loop {
            let start = engine
                .start((self.call)())
                .id(INSTANCE)
                .on_existing(ExistingId::ReturnExisting);
            match start.await {
                Ok(handle) => break handle,
                Err(StartError::Refused { reason }) => return Ok(Ended::Blocked(reason.to_string())),
                Err(StartError::Store(_)) if failures < TRIES && self.has_faults() => failures += 1,
                Err(error) => return Err(format!("not started: {error}")),
            }
        };
        while let Some(act) = self.script.get(client.position) {
            match act {
                Act::Pause(pause) => tokio::time::sleep(*pause).await,
                Act::Signal(name, send) => {
                    // Whether the life before got it stored does not matter: the request is the same one.
                    match send(&handle, format!("act {}", client.position)).await {
                        Ok(()) | Err(SignalError::Closed { .. }) => {}
                        Err(SignalError::Store(_)) if failures < TRIES && self.has_faults() => {
                            failures += 1;
                            continue;
                        }
                        Err(error) => return Err(format!("the message `{name}` was not sent: {error}")),
                    }
                }
            }
            client.position += 1;
        }
        match handle.result().await {
            Ok(output) => Ok(Ended::Returned(output)),
            Err(ResultError::Blocked { reason, .. }) => Ok(Ended::Blocked(reason.to_string())),
            Err(error) => Err(format!("no result: {error}")),
        }
    }
}

/// Whoever sends the messages, and how far it is.
struct Client {
    position: usize,
}

struct Reference<T> {
    commits: u64,
    ended: Ended<T>,
    effects: Vec<Effect>,
}

struct Run<T> {
    ended: Ended<T>,
    lives: Vec<Life>,
    /// The commits of the last life.
    commits: u64,
    leftovers: usize,
}

fn left_behind(records: usize) -> String {
    format!("{records} records left behind by an instance that has ended")
}

fn keys() -> Keys {
    Keys::new(NAMESPACE, SHARDS)
}

fn instance() -> InstanceId {
    InstanceId::new(INSTANCE).unwrap_or_else(|_| unreachable!("the id is valid"))
}

/// The number of records, besides those that tell of its end, that an instance that has ended still has.
async fn leftovers(memory: &MemoryStore) -> usize {
    let (keys, id) = (keys(), instance());
    let mut count = 0;
    for kind in [Kind::State, Kind::Attempts, Kind::Ready] {
        let found = memory.get(&[keys.of(kind, &id)]).await.unwrap_or_default();
        count += found.iter().flatten().count();
    }
    let timers = keys.range(keys.shard(&id), Kind::Timer);
    let numbered = [
        Kind::Side,
        Kind::Message,
        Kind::Position,
        Kind::Branch,
        Kind::Attempts,
    ];
    let ranges = numbered.map(|kind| keys.numbered_range(kind, &id));
    for range in ranges.into_iter().chain([timers]) {
        count += memory.scan(range, usize::MAX).await.unwrap_or_default().len();
    }
    count
}
