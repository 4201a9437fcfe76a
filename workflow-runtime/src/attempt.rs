//! The attempts of a task at one step: contexts, limits of time, heartbeats, panics, and what is tried again.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::context::WorkflowContext;
use crate::engine::committer::Answer;
use crate::halt::Halt;
use crate::record::{self, AttemptsRecord};
use crate::reports::Reports;
use crate::run::Run;
use crate::store::{self, Batch, Verdict};
use crate::task::{TaskFailure, TaskOptions};
use crate::task_context::{Cancellation, TaskContext};

/// A pause before the next attempt that is at least this long is a timer in the store: the instance leaves the memory.
const LONG_PAUSE_MS: u64 = 10_000;

/// While an attempt runs, its progress is written at most this often.
const PROGRESS_PERIOD: Duration = Duration::from_secs(1);

/// A task at one step, over all of its attempts.
struct Series<'a> {
    run: &'a Run,
    task: &'static str,
    options: TaskOptions,
    /// When the last attempt must have ended, by the store's clock.
    deadline_ms: Option<u64>,
}

/// An output without its type.
pub(crate) type AnyOutput = Box<dyn Any + Send>;

/// A task without its type: what is generic over the task is this small, because it is compiled anew in each crate that
/// has tasks.
pub trait AnyTask: Send {
    fn name(&self) -> &'static str;
    fn options(&self) -> TaskOptions;
    /// One attempt, as a future that owns what it needs.
    fn attempt(
        &mut self,
        context: TaskContext,
    ) -> Result<Pin<Box<dyn Future<Output = AnyOutput> + Send>>, Halt>;
    /// The message of an output that stands for a failure.
    fn failure(&self, output: &AnyOutput) -> Option<String>;
    /// Whether another attempt may give another output than this failure.
    fn retryable(&self, output: &AnyOutput) -> bool;
    /// When the workflow came to the task.
    fn scheduled_ms(&self) -> Result<u64, Halt>;
    /// An output that was given by hand.
    fn decode(&self, output: &[u8]) -> Result<AnyOutput, String>;
    /// The output that tells of a failure, or the failure back.
    fn failed(&self, failure: TaskFailure) -> Result<AnyOutput, TaskFailure>;
}

/// Performs a task: attempts it until it gives an output.
pub(crate) async fn perform(run: &mut Run, task: &mut dyn AnyTask) -> Result<AnyOutput, Halt> {
    if let Some(given) = run.take_given() {
        return task
            .decode(&given)
            .map_err(|error| Halt::undecodable(&format!("the given output of `{}`", task.name()), error));
    }
    let scheduled_ms = task.scheduled_ms()?;
    match until_done(run, task, scheduled_ms).await? {
        Ok(output) => Ok(output),
        Err(failure) => task.failed(failure).map_err(|failure| Halt::TaskFailed {
            task: task.name().to_owned(),
            error: failure.to_string(),
        }),
    }
}

/// Performs a task that the caller has no other use for.
pub(crate) fn perform_boxed<'a>(
    mut task: Box<dyn AnyTask>,
    context: &'a mut WorkflowContext,
) -> Pin<Box<dyn Future<Output = Result<AnyOutput, Halt>> + Send + 'a>> {
    Box::pin(async move { perform(context.run()?, &mut *task).await })
}

/// How an attempt ended.
struct Ended {
    outcome: Result<AnyOutput, TaskFailure>,
    /// The attempt said that another one is of no use.
    gave_up: bool,
}

impl Series<'_> {
    fn failure_in_time(&self, last_error: &str) -> TaskFailure {
        TaskFailure::DeadlineExceeded {
            task: self.task.to_owned(),
            limit: self.options.schedule_to_close().unwrap_or_default(),
            last_error: (!last_error.is_empty()).then(|| last_error.to_owned()),
        }
    }

    /// Runs one attempt. The error says that the engine stopped it; it will be attempted again under its number. The
    /// progress that the attempt reports goes into `record`.
    async fn attempt(&self, task: &mut dyn AnyTask, record: &mut AttemptsRecord) -> Result<Ended, Halt> {
        let (run, core) = (self.run, &self.run.core);
        let started = Instant::now();
        let own_deadline = self
            .options
            .timeout()
            .and_then(|limit| started.checked_add(limit));
        let last_deadline = self
            .deadline_ms
            .and_then(|deadline_ms| started.checked_add(core.until(deadline_ms)));
        let deadline = own_deadline.into_iter().chain(last_deadline).min();
        let (cancellation, reports) = (Cancellation::default(), Reports::default());
        let context = TaskContext {
            instance: run.id.clone(),
            token: run.token,
            step: run.step,
            scope: run.line(),
            task: self.task,
            attempt: record.failed + 1,
            deadline,
            cancellation: cancellation.clone(),
            progress: record.progress.clone(),
            reports: reports.clone(),
            states: core.states.clone(),
        };
        let work = CatchPanic::new(task.attempt(context)?);
        let work = async move {
            if self.options.blocking() {
                let runtime = tokio::runtime::Handle::current();
                let work = move || runtime.block_on(work);
                match tokio::task::spawn_blocking(work).await {
                    Ok(outcome) => outcome,
                    Err(error) => Err(error.to_string()),
                }
            } else {
                work.await
            }
        };
        let mut work = pin!(work);
        let first = std::future::poll_fn(|polling| Poll::Ready(work.as_mut().poll(polling))).await;
        let task = || self.task.to_owned();
        let panicked = |message| TaskFailure::Panicked {
            task: task(),
            message,
        };
        if let Poll::Ready(outcome) = first {
            let outcome = outcome.map_err(panicked);
            return Ok(self.ended(outcome, &reports, record));
        }
        let mut writer = ProgressWriter::new(run, record.clone(), started);
        let outcome = loop {
            let silence = self
                .options
                .heartbeat_timeout()
                .and_then(|limit| reports.last().checked_add(limit));
            let next_write = writer.next_at(&reports);
            tokio::select! {
                biased;
                outcome = &mut work => break outcome.map_err(panicked),
                () = run.hot.lease.gate.stopped() => {
                    cancellation.cancel();
                    return Err(Halt::Shutdown);
                }
                () = run.hot.cancelled() => {
                    cancellation.cancel();
                    writer.settle().await?;
                    return Err(Halt::Cancelled { reason: String::new() });
                }
                () = at(deadline) => {
                    let whole = deadline == last_deadline && deadline != own_deadline;
                    break Err(if whole {
                        self.failure_in_time(&record.error)
                    } else {
                        let limit = self.options.timeout().unwrap_or_default();
                        TaskFailure::TimedOut { task: task(), limit }
                    });
                }
                () = reports.heard() => {
                    if let Some(error) = reports.refused() {
                        break Err(TaskFailure::ProgressRefused { task: task(), error });
                    }
                }
                () = at(silence) => {
                    // It may have been heard of at the last moment.
                    let limit = self.options.heartbeat_timeout().unwrap_or_default();
                    if reports.last().elapsed() >= limit {
                        break Err(TaskFailure::HeartbeatTimedOut { task: task(), limit });
                    }
                }
                written = writer.written() => {
                    // One that was not stored is tried again when its time comes.
                    if let Err(progress) = written? {
                        reports.give_back(progress);
                    }
                }
                () = at(next_write) => writer.write(&reports),
            }
        };
        cancellation.cancel();
        // A write that is on its way must not come after the one that removes the record.
        writer.settle().await?;
        *record = writer.record;
        Ok(self.ended(outcome, &reports, record))
    }

    fn ended(
        &self,
        outcome: Result<AnyOutput, TaskFailure>,
        reports: &Reports,
        record: &mut AttemptsRecord,
    ) -> Ended {
        let outcome = match (outcome, reports.refused()) {
            (Ok(_), Some(error)) => Err(TaskFailure::ProgressRefused {
                task: self.task.to_owned(),
                error,
            }),
            (outcome, _) => outcome,
        };
        if let Some(progress) = reports.take_progress() {
            record.progress = Some(progress);
        }
        Ended {
            outcome,
            gave_up: reports.gave_up(),
        }
    }
}

/// Writes the progress of a running attempt into its attempts record, one write at a time.
struct ProgressWriter<'a> {
    run: &'a Run,
    record: AttemptsRecord,
    write: Option<Write>,
    last: Option<Instant>,
    started: Instant,
}

/// A write on its way, and the progress that it holds.
struct Write {
    progress: Bytes,
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
}

impl<'a> ProgressWriter<'a> {
    fn new(run: &'a Run, record: AttemptsRecord, started: Instant) -> Self {
        ProgressWriter {
            run,
            record,
            write: None,
            last: None,
            started,
        }
    }

    /// When the next write may begin; `None` while there is nothing to write.
    fn next_at(&self, reports: &Reports) -> Option<Instant> {
        if self.write.is_some() || !reports.has_progress() {
            return None;
        }
        Some(self.last.map_or(self.started, |last| last + PROGRESS_PERIOD))
    }

    fn write(&mut self, reports: &Reports) {
        let Some(progress) = reports.take_progress() else {
            return;
        };
        self.last = Some(Instant::now());
        self.record.progress = Some(progress.clone());
        let run = self.run;
        // Known before it is written, so that the next step removes it whatever becomes of the write.
        run.shared
            .lock()
            .attempts
            .insert(run.scope.clone(), self.record.clone());
        let batch = Batch {
            conditions: vec![run.hot.lease.fence()],
            writes: vec![store::Write::Put(
                run.attempts_key(),
                record::encode(&self.record),
            )],
        };
        run.enter(&batch);
        let core = run.core.clone();
        let answer = Box::pin(async move { core.committer.commit(batch).await });
        self.write = Some(Write { progress, answer });
    }

    /// Waits for the write that is on its way, for ever when there is none; gives the progress back when it was not
    /// stored.
    async fn written(&mut self) -> Result<Result<(), Bytes>, Halt> {
        let Some(write) = &mut self.write else {
            return std::future::pending().await;
        };
        let result = write.answer.as_mut().await.result;
        let progress = self.write.take().map(|write| write.progress).unwrap_or_default();
        match result {
            Ok(Verdict::Applied) => Ok(Ok(())),
            Ok(Verdict::Conflict(_)) => {
                self.run.core.lose(&self.run.hot.lease);
                Err(Halt::Fenced)
            }
            Err(_) => Ok(Err(progress)),
        }
    }

    /// Lets the write that is on its way end.
    async fn settle(&mut self) -> Result<(), Halt> {
        if self.write.is_none() {
            return Ok(());
        }
        let run = self.run;
        tokio::select! {
            written = self.written() => written.map(|_| ()),
            () = run.hot.lease.gate.stopped() => Err(Halt::Shutdown),
        }
    }
}

/// Attempts a task until it gives an output, or has no attempts left. An output that stands for a failure is given when
/// it is the last one. `scheduled_ms` is when the step began.
async fn until_done(
    run: &mut Run,
    task: &mut dyn AnyTask,
    scheduled_ms: u64,
) -> Result<Result<AnyOutput, TaskFailure>, Halt> {
    let (name, options) = (task.name(), task.options());
    let scheduled_ms = run.retried_ms().unwrap_or(0).max(scheduled_ms);
    let behind = |limit: Duration| scheduled_ms.saturating_add(millis(limit));
    let deadline_ms = options.schedule_to_close().map(behind);
    let last_start_ms = options.retry().max_elapsed().map(behind);
    let mut record = run.attempts().unwrap_or_else(|| AttemptsRecord {
        step: run.step,
        ..AttemptsRecord::default()
    });
    if record.failed > 0 {
        run.pause_until(record.due_ms, record.timer).await?;
    }
    loop {
        run.hot.lease.check()?;
        run.check_cancelled()?;
        let series = Series {
            run,
            task: name,
            options,
            deadline_ms,
        };
        if deadline_ms.is_some_and(|deadline_ms| run.core.now_ms() >= deadline_ms) {
            return Ok(Err(series.failure_in_time(&record.error)));
        }
        let Ended { outcome, gave_up } = series.attempt(task, &mut record).await?;
        let (error, retryable) = match &outcome {
            Ok(output) => match task.failure(output) {
                None => return Ok(outcome),
                Some(error) => (error, task.retryable(output)),
            },
            Err(TaskFailure::DeadlineExceeded { .. }) => return Ok(outcome),
            Err(failure) => (failure.to_string(), true),
        };
        record.failed += 1;
        let next = options.retry().jittered_delay(record.failed);
        let Some(delay) = next.filter(|_| retryable && !gave_up) else {
            return Ok(outcome);
        };
        let pause_ms = millis(delay);
        let due_ms = run.core.now_ms().saturating_add(pause_ms);
        // An attempt that could not begin in time is not waited for: the workflow hears of this failure at once.
        if deadline_ms.is_some_and(|deadline_ms| due_ms >= deadline_ms)
            || last_start_ms.is_some_and(|last_start_ms| due_ms > last_start_ms)
        {
            return Ok(outcome);
        }
        record = AttemptsRecord {
            crashes: 0,
            due_ms,
            timer: pause_ms >= LONG_PAUSE_MS,
            error,
            ..record
        };
        run.store_attempts(record.clone()).await?;
        run.pause_until(due_ms, record.timer).await?;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

pin_project_lite::pin_project! {
    /// Polls a future and turns a panic into an error with its message.
    pub(crate) struct CatchPanic<F> {
        #[pin]
        future: F,
    }
}

impl<F> CatchPanic<F> {
    pub(crate) fn new(future: F) -> Self {
        CatchPanic { future }
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, String>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.project().future;
        match std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll(context))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(payload) => Poll::Ready(Err(panic_message(&*payload))),
        }
    }
}

/// The message of a panic.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (_, Some(message)) => message.clone(),
        _ => "a panic without a message".to_owned(),
    }
}
