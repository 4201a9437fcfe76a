//! One attempt of a task: its context, its timeout, its panics.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::halt::Halt;
use crate::record::AttemptsRecord;
use crate::run::Run;
use crate::task::{TaskFailure, TaskOptions};
use crate::task_context::{Cancellation, TaskContext};

/// A pause before the next attempt that is at least this long is a timer in the store: the instance leaves the memory.
const LONG_PAUSE_MS: u64 = 10_000;

/// What an attempt needs to know.
struct Attempt<'a> {
    run: &'a Run,
    task: &'static str,
    number: u32,
    options: TaskOptions,
}

/// An output without its type.
pub(crate) type AnyOutput = Box<dyn Any + Send>;

/// A task without its type: what is generic over the task is this small, because it is compiled anew in each crate that
/// has tasks.
pub(crate) trait AnyTask: Send {
    fn name(&self) -> &'static str;
    fn options(&self) -> TaskOptions;
    /// One attempt, as a future that owns what it needs.
    fn attempt(
        &mut self,
        context: TaskContext,
    ) -> Result<Pin<Box<dyn Future<Output = AnyOutput> + Send>>, Halt>;
    /// The message of an output that stands for a failure.
    fn failure(&self, output: &AnyOutput) -> Option<String>;
}

/// Runs one attempt. The outer error says that the engine stopped it; it will be attempted again under its number.
async fn run(task: &mut dyn AnyTask, attempt: &Attempt<'_>) -> Result<Result<AnyOutput, TaskFailure>, Halt> {
    let core = &attempt.run.core;
    let cancellation = Cancellation::default();
    let context = TaskContext {
        instance: attempt.run.id.clone(),
        token: attempt.run.token,
        step: attempt.run.step,
        scope: attempt.run.scope.to_string(),
        task: attempt.task,
        attempt: attempt.number,
        deadline: attempt
            .options
            .timeout()
            .and_then(|limit| Instant::now().checked_add(limit)),
        cancellation: cancellation.clone(),
        states: core.states.clone(),
    };
    let deadline = context.deadline;
    let work = CatchPanic::new(task.attempt(context)?);
    let work = async move {
        if attempt.options.blocking() {
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
    let outcome = match first {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => tokio::select! {
            biased;
            outcome = &mut work => outcome,
            () = attempt.run.hot.lease.gate.stopped() => {
                cancellation.cancel();
                return Err(Halt::Shutdown);
            }
            () = attempt.run.hot.cancelled() => {
                cancellation.cancel();
                return Err(Halt::Cancelled { reason: String::new() });
            }
            () = at(deadline) => {
                cancellation.cancel();
                let limit = attempt.options.timeout().unwrap_or_default();
                return Ok(Err(TaskFailure::TimedOut { task: attempt.task.to_owned(), limit }));
            }
        },
    };
    Ok(outcome.map_err(|message| TaskFailure::Panicked {
        task: attempt.task.to_owned(),
        message,
    }))
}

/// Attempts a task until it gives an output, or has no attempts left. An output that stands for a failure is given when
/// it is the last one.
pub(crate) async fn until_done(
    run: &mut Run,
    task: &mut dyn AnyTask,
) -> Result<Result<AnyOutput, TaskFailure>, Halt> {
    let (name, options) = (task.name(), task.options());
    let earlier = run.attempts().filter(|attempts| attempts.failed > 0);
    let mut failed = earlier.as_ref().map_or(0, |attempts| attempts.failed);
    if let Some(attempts) = earlier {
        run.pause_until(attempts.due_ms, attempts.timer).await?;
    }
    loop {
        run.hot.lease.check()?;
        run.check_cancelled()?;
        let attempt = Attempt {
            run,
            task: name,
            number: failed + 1,
            options,
        };
        let outcome = self::run(task, &attempt).await?;
        let error = match &outcome {
            Ok(output) => match task.failure(output) {
                None => return Ok(outcome),
                Some(error) => error,
            },
            Err(failure) => failure.to_string(),
        };
        failed += 1;
        let Some(delay) = options.retry().next_delay(failed) else {
            return Ok(outcome);
        };
        let pause_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let due_ms = run.core.now_ms().saturating_add(pause_ms);
        let timer = pause_ms >= LONG_PAUSE_MS;
        run.store_attempts(AttemptsRecord {
            step: run.step,
            failed,
            crashes: 0,
            due_ms,
            timer,
            error,
        })
        .await?;
        run.pause_until(due_ms, timer).await?;
    }
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
