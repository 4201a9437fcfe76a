//! What a workflow can await: tasks, timers; messages are in `receive.rs`.

use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use workflow_model::codec;

use crate::Output;
use crate::attempt::{self, AnyOutput, AnyTask};
use crate::context::WorkflowContext;
use crate::engine::{Entry, MessageEntry};
use crate::halt::Halt;
use crate::run::Run;
use crate::store::{Batch, Write};
use crate::task::{Input, StateRequirement, Task, TaskCall, TaskFailure, TaskOptions};
use crate::task_context::TaskContext;

/// Something that a workflow can await.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be awaited in a workflow",
    label = "not durable: it could not be continued after a restart",
    note = "a workflow can only await tasks, timers (`sleep`), signals (`receive`), other workflows, and `join!`, `try_join!` and `select!` of them",
    note = "put this work in a `#[task]` function and await that"
)]
pub trait Operation: Sized + Send {
    /// What the await gives.
    type Output: Send;

    /// Says what is awaited, without doing it.
    #[doc(hidden)]
    fn describe(description: &mut Description, point: usize);

    /// Writes what is needed to go on after a restart.
    #[doc(hidden)]
    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String>;

    /// Reads it back.
    #[doc(hidden)]
    fn decode(encoded: &[u8]) -> Result<Self, String>;

    /// Whether the instance waits for something outside of it.
    #[doc(hidden)]
    fn parking(&self, run: &Run) -> Result<Parking, Halt> {
        let _ = run;
        Ok(Parking::None)
    }

    /// Adds what is written together with the step.
    #[doc(hidden)]
    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        let _ = (run, batch);
        Ok(())
    }

    /// What the await gives when the instance was asked to stop; `None` when its type cannot say so.
    #[doc(hidden)]
    fn cancelled(reason: &str) -> Option<Self::Output> {
        let _ = reason;
        None
    }

    /// Does it; the record of the step is durable.
    #[doc(hidden)]
    fn perform(
        self,
        context: &mut WorkflowContext,
        encoded: Bytes,
    ) -> impl Future<Output = Result<Self::Output, Halt>> + Send;

    // What generated code calls. These are functions of this trait, and nothing else is asked of an awaited value, so that
    // a value that is no operation is one error, on the user's `await`.

    /// Encodes the operation, so that it can be stored.
    #[doc(hidden)]
    fn __prepare(self, context: &mut WorkflowContext) -> Prepared<Self> {
        context.prepare(self)
    }

    /// The operation of the point where the workflow is resumed.
    #[doc(hidden)]
    fn __restore(context: &mut WorkflowContext) -> Result<Prepared<Self>, Halt> {
        context.restore_operation()
    }

    /// Commits the step and performs the operation.
    #[doc(hidden)]
    fn __perform(
        prepared: Prepared<Self>,
        context: &mut WorkflowContext,
    ) -> impl Future<Output = Self::Output> + Send {
        context.perform(prepared)
    }

    /// Notes what a point awaits.
    #[doc(hidden)]
    fn __note(_: PhantomData<Self>, context: &mut WorkflowContext, point: usize) {
        Self::describe(context.description(), point);
    }
}

/// What an instance waits for, outside of it.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parking {
    /// Nothing.
    None,
    /// A message of this name.
    Message(Cow<'static, str>),
    /// A time, in milliseconds since the Unix epoch.
    Timer(u64),
}

impl Parking {
    /// Adds the timer that ends the wait.
    pub(crate) fn enlist(&self, run: &Run, batch: &mut Batch) {
        if let Parking::Timer(due_ms) = self {
            batch
                .writes
                .push(Write::Put(run.core.keys.timer(&run.id, *due_ms), Bytes::new()));
        }
    }
}

/// What the operations of a workflow want from the engine.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Description {
    pub(crate) tasks: Vec<(&'static str, Vec<StateRequirement>)>,
    pub(crate) operations: Vec<(usize, String)>,
    pub(crate) children: Vec<Entry>,
    pub(crate) messages: Vec<MessageEntry>,
}

/// An operation with its encoding, ready to be stored.
#[doc(hidden)]
#[derive(Debug)]
pub struct Prepared<O> {
    operation: Option<O>,
    encoded: Result<Bytes, String>,
}

impl<O: Operation> Prepared<O> {
    pub(crate) fn new(mut operation: O, now_ms: u64) -> Self {
        let mut out = Vec::with_capacity(64);
        let encoded = operation.encode(now_ms, &mut out).map(|()| Bytes::from(out));
        Prepared {
            operation: Some(operation),
            encoded,
        }
    }

    pub(crate) fn restore(encoded: Bytes) -> Result<Self, Halt> {
        let operation = O::decode(&encoded).map_err(|error| Halt::undecodable("the operation", error))?;
        Ok(Prepared {
            operation: Some(operation),
            encoded: Ok(encoded),
        })
    }

    pub(crate) fn into_parts(self) -> Result<(O, Bytes), Halt> {
        match (self.operation, self.encoded) {
            (Some(operation), Ok(encoded)) => Ok((operation, encoded)),
            (_, Err(error)) => Err(Halt::Unencodable {
                variable: "the operation".to_owned(),
                error,
            }),
            (None, Ok(_)) => Err(Halt::NoInput),
        }
    }
}

impl<O> Prepared<O> {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.encoded.as_deref().unwrap_or_default()
    }
}

/// Writes `kind name-length name`.
pub(crate) fn write_head(out: &mut Vec<u8>, kind: u8, name: &str) {
    out.push(kind);
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(name.as_bytes());
}

/// Reads the head of an operation's encoding; the rest is its input.
pub(crate) fn read_head(encoded: &[u8]) -> Option<(u8, &str, &[u8])> {
    let (kind, rest) = encoded.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (name, rest) = rest.split_at_checked(length)?;
    Some((*kind, std::str::from_utf8(name).ok()?, rest))
}

/// What a stored operation is, for people.
pub(crate) fn describe_encoded(encoded: &[u8]) -> String {
    match read_head(encoded) {
        Some((TASK, name, _)) => format!("task `{name}`"),
        Some((SLEEP, _, rest)) => match rest.first_chunk::<8>() {
            Some(due) => format!("timer due at {} ms", u64::from_be_bytes(*due)),
            None => "timer".to_owned(),
        },
        Some((CHILD | CHILD_HANDLE, name, _)) => format!("child workflow `{name}`"),
        Some((BRANCHES, name, _)) => name.to_owned(),
        Some((CHILD_START, name, _)) => format!("start of child workflow `{name}`"),
        Some((RECEIVE, name, _)) => format!("signal `{name}`"),
        Some((RECEIVE_UPDATE, name, _)) => format!("update `{name}`"),
        _ => "an unknown operation".to_owned(),
    }
}

/// Whether a stored operation is a task.
pub(crate) fn is_task(encoded: &[u8]) -> bool {
    encoded.first() == Some(&TASK)
}

/// Whether a stored operation may run code of the user.
pub(crate) fn runs_code(encoded: &[u8]) -> bool {
    is_task(encoded) || has_branches(encoded)
}

/// Whether a stored operation has branches.
pub(crate) fn has_branches(encoded: &[u8]) -> bool {
    encoded.first() == Some(&BRANCHES)
}

/// When the timer of a stored operation is due, if it is one.
pub(crate) fn timer_due(encoded: &[u8]) -> Option<u64> {
    match read_head(encoded) {
        Some((SLEEP, _, rest)) => rest.first_chunk::<8>().map(|due| u64::from_be_bytes(*due)),
        _ => None,
    }
}

const TASK: u8 = b't';
pub(crate) const BRANCHES: u8 = b'j';
pub(crate) const CHILD: u8 = b'c';
pub(crate) const CHILD_START: u8 = b'b';
pub(crate) const CHILD_HANDLE: u8 = b'h';
const SLEEP: u8 = b's';
pub(crate) const RECEIVE: u8 = b'm';
pub(crate) const RECEIVE_UPDATE: u8 = b'u';

pub(crate) fn expect<'a>(encoded: &'a [u8], kind: u8, name: &str) -> Result<&'a [u8], String> {
    match read_head(encoded) {
        Some((found, other, rest)) if found == kind && other == name => Ok(rest),
        _ => {
            let mut wanted = Vec::new();
            write_head(&mut wanted, kind, name);
            Err(format!(
                "the code awaits {} here, the stored state {}",
                describe_encoded(&wanted),
                describe_encoded(encoded)
            ))
        }
    }
}

/// When a stored task was awaited, and its encoded input.
fn task_input<'a>(encoded: &'a [u8], name: &str) -> Result<(u64, &'a [u8]), String> {
    let rest = expect(encoded, TASK, name)?;
    let (scheduled_ms, input) = rest
        .split_first_chunk::<8>()
        .ok_or_else(|| format!("the stored call of task `{name}` is cut off"))?;
    Ok((u64::from_be_bytes(*scheduled_ms), input))
}

#[diagnostic::do_not_recommend]
impl<T: Task> Operation for TaskCall<T> {
    type Output = T::Output;

    fn describe(description: &mut Description, point: usize) {
        description.tasks.push((T::NAME, T::requirements()));
        description
            .operations
            .push((point, format!("task `{}`", T::NAME)));
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        write_head(out, TASK, T::NAME);
        // From here on the limits of all attempts count.
        out.extend_from_slice(&now_ms.to_be_bytes());
        match &self.input {
            Input::Value(task) => codec::encode_into(task, out).map_err(|error| error.to_string()),
            Input::Encoded(Ok(input)) => {
                out.extend_from_slice(input);
                Ok(())
            }
            Input::Encoded(Err(error)) => Err(error.to_string()),
        }
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        let (_, input) = task_input(encoded, T::NAME)?;
        Ok(TaskCall {
            input: Input::Encoded(Ok(Bytes::copy_from_slice(input))),
        })
    }

    fn cancelled(reason: &str) -> Option<T::Output> {
        let failure = TaskFailure::Cancelled {
            task: T::NAME.to_owned(),
            reason: reason.to_owned(),
        };
        T::from_failure(failure).ok()
    }

    async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<T::Output, Halt> {
        let run = context.run()?;
        if let Some(given) = run.take_given() {
            return Output::decode(&given)
                .map_err(|error| Halt::undecodable(&format!("the given output of `{}`", T::NAME), error));
        }
        let first = match self.input {
            Input::Value(task) => Some(task),
            Input::Encoded(_) => None,
        };
        let (scheduled_ms, _) =
            task_input(&encoded, T::NAME).map_err(|error| Halt::undecodable("the operation", error))?;
        match attempt::until_done(run, &mut Call { first, encoded }, scheduled_ms).await? {
            Ok(output) => output_of::<T>(output),
            Err(failure) => T::from_failure(failure).map_err(|failure| Halt::TaskFailed {
                task: T::NAME.to_owned(),
                error: failure.to_string(),
            }),
        }
    }
}

/// A task that is to be attempted: its value for the first attempt, its encoding for the others.
struct Call<T> {
    first: Option<T>,
    encoded: Bytes,
}

fn output_of<T: Task>(output: AnyOutput) -> Result<T::Output, Halt> {
    match output.downcast() {
        Ok(output) => Ok(*output),
        Err(_) => unreachable!("a task gives its own output"),
    }
}

impl<T: Task> AnyTask for Call<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn options(&self) -> TaskOptions {
        T::options()
    }

    fn attempt(
        &mut self,
        context: TaskContext,
    ) -> Result<Pin<Box<dyn Future<Output = AnyOutput> + Send>>, Halt> {
        let task = match self.first.take() {
            Some(task) => task,
            None => {
                let (_, input) = task_input(&self.encoded, T::NAME)
                    .map_err(|error| Halt::undecodable("the operation", error))?;
                codec::decode::<T>(input)
                    .map_err(|error| Halt::undecodable(&format!("the input of `{}`", T::NAME), error))?
            }
        };
        Ok(Box::pin(async move {
            Box::new(task.run(&context).await) as AnyOutput
        }))
    }

    fn failure(&self, output: &AnyOutput) -> Option<String> {
        output.downcast_ref().and_then(T::failure)
    }

    fn retryable(&self, output: &AnyOutput) -> bool {
        output.downcast_ref().is_none_or(T::retryable)
    }
}

/// A time to wait for.
#[derive(Debug)]
#[must_use = "a timer does nothing unless it is awaited"]
pub struct Sleep {
    duration: Result<Duration, String>,
    due_ms: u64,
}

/// Waits for a duration: a [`Duration`], or text such as `"2h"` or `"1h 30m"`.
///
/// The wait is durable: it goes on while no process runs, and costs no memory.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use workflow_runtime::prelude::*;
///
/// #[workflow]
/// async fn reminder(to: String) -> String {
///     sleep("10ms").await;
///     sleep(Duration::from_millis(5)).await;
///     format!("hello {to}")
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<reminder>::builder().in_memory().build().await.unwrap();
/// let handle = engine.start(reminder("you".into())).await.unwrap();
/// assert_eq!(handle.result().await.unwrap(), "hello you");
/// # });
/// ```
///
/// Text that is no duration blocks the instance with a message that names it.
pub fn sleep(duration: impl IntoDuration) -> Sleep {
    Sleep {
        duration: duration.into_duration(),
        due_ms: 0,
    }
}

/// Waits until a time of the wall clock; one that is over is no wait. The clock is the store's.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use workflow_runtime::prelude::*;
///
/// #[workflow]
/// async fn wake_up(at: SystemTime) -> bool {
///     sleep_until(at).await;
///     true
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<wake_up>::builder().in_memory().build().await.unwrap();
/// let handle = engine.start(wake_up(SystemTime::now() + Duration::from_millis(10))).await.unwrap();
/// assert!(handle.result().await.unwrap());
/// # });
/// ```
pub fn sleep_until(time: SystemTime) -> Sleep {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let due_ms = u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Sleep {
        duration: Ok(Duration::ZERO),
        due_ms,
    }
}

/// What [`sleep`] takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a duration",
    label = "how long?",
    note = "give a `std::time::Duration`, or text such as \"500ms\", \"10s\", \"1h 30m\" or \"2d\""
)]
pub trait IntoDuration {
    #[doc(hidden)]
    fn into_duration(self) -> Result<Duration, String>;
}

impl IntoDuration for Duration {
    fn into_duration(self) -> Result<Duration, String> {
        Ok(self)
    }
}

impl IntoDuration for &str {
    fn into_duration(self) -> Result<Duration, String> {
        workflow_model::duration::parse(self).map_err(|error| error.to_string())
    }
}

impl IntoDuration for String {
    fn into_duration(self) -> Result<Duration, String> {
        self.as_str().into_duration()
    }
}

#[diagnostic::do_not_recommend]
impl IntoFuture for Sleep {
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Outside of a workflow this is an ordinary pause.
    ///
    /// # Panics
    /// The future panics when the text that was given is no duration.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.duration {
                Ok(duration) => tokio::time::sleep(duration).await,
                Err(error) => panic!("{error}"),
            }
        })
    }
}

impl Operation for Sleep {
    type Output = ();

    fn describe(description: &mut Description, point: usize) {
        description.operations.push((point, "timer".to_owned()));
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        let duration = self.duration.clone()?;
        // Rounded up: a timer never fires early.
        let millis = duration.as_nanos().div_ceil(1_000_000);
        if !duration.is_zero() || self.due_ms == 0 {
            self.due_ms = now_ms.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX));
        }
        write_head(out, SLEEP, "");
        out.extend_from_slice(&self.due_ms.to_be_bytes());
        Ok(())
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        let rest = expect(encoded, SLEEP, "")?;
        let due = rest.first_chunk::<8>().ok_or("the stored timer has no time")?;
        Ok(Sleep {
            duration: Ok(Duration::ZERO),
            due_ms: u64::from_be_bytes(*due),
        })
    }

    fn parking(&self, _: &Run) -> Result<Parking, Halt> {
        Ok(Parking::Timer(self.due_ms))
    }

    async fn perform(self, context: &mut WorkflowContext, _: Bytes) -> Result<(), Halt> {
        let run = context.run()?;
        run.wait_until(self.due_ms).await?;
        run.obsolete.push(run.core.keys.timer(&run.id, self.due_ms));
        Ok(())
    }
}
