//! One attempt of a task: its context, its timeout, its panics.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::halt::Halt;
use crate::run::Run;
use crate::task::{Task, TaskFailure, TaskOptions};
use crate::task_context::{Cancellation, TaskContext};

/// What an attempt needs to know.
pub(crate) struct Attempt<'a> {
    pub(crate) run: &'a Run,
    pub(crate) task: &'static str,
    pub(crate) number: u32,
    pub(crate) options: TaskOptions,
}

/// Runs one attempt. The outer error says that the engine stopped it; it will be attempted again under its number.
pub(crate) async fn run<T: Task>(
    task: T,
    attempt: &Attempt<'_>,
) -> Result<Result<T::Output, TaskFailure>, Halt> {
    let core = &attempt.run.core;
    let cancellation = Cancellation::default();
    let context = TaskContext {
        instance: attempt.run.id.clone(),
        token: attempt.run.token,
        step: attempt.run.step,
        scope: attempt.run.scope.to_string(),
        task: attempt.task,
        attempt: attempt.number,
        deadline: attempt.options.timeout().and_then(|limit| Instant::now().checked_add(limit)),
        cancellation: cancellation.clone(),
        states: core.states.clone(),
    };
    let deadline = context.deadline;
    let work = async move {
        if attempt.options.blocking() {
            let runtime = tokio::runtime::Handle::current();
            let work = move || runtime.block_on(CatchPanic::new(task.run(&context)));
            match tokio::task::spawn_blocking(work).await {
                Ok(outcome) => outcome,
                Err(error) => Err(error.to_string()),
            }
        } else {
            CatchPanic::new(task.run(&context)).await
        }
    };
    let mut work = pin!(work);
    let first = std::future::poll_fn(|polling| Poll::Ready(work.as_mut().poll(polling))).await;
    let outcome = match first {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => tokio::select! {
            biased;
            outcome = &mut work => outcome,
            () = core.stopped() => {
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
    Ok(outcome.map_err(|message| TaskFailure::Panicked { task: attempt.task.to_owned(), message }))
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
