//! What a workflow can await: tasks, timers; messages are in `receive.rs`.

use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use workflow_model::codec;

use crate::__private::{Point, Variables, unboxed};
use crate::Output;
use crate::attempt::{self, AnyOutput, AnyTask};
use crate::context::WorkflowContext;
use crate::engine::{Entry, MessageEntry};
use crate::halt::Halt;
use crate::record::{self, OutcomeRecord};
use crate::run::Run;
use crate::store::{Batch, Write};
use crate::task::{Input, StateRequirement, Task, TaskCall, TaskFailure, TaskOptions};
use crate::task_context::TaskContext;

/// Something that a workflow can await.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be awaited in a workflow",
    label = "not durable: it could not be continued after a restart",
    note = "a workflow can only await tasks, timers (`sleep`), signals (`receive`), other workflows, `async` blocks, and `join!`, `try_join!` and `select!` of them",
    note = "put this work in a `#[task]` function and await that"
)]
pub trait Operation: Sized + Send + 'static {
    /// What the await gives.
    type Output: Send + 'static;

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

    /// As [`perform`](Operation::perform), without the type of the output.
    #[doc(hidden)]
    fn perform_any<'a>(
        self: Box<Self>,
        context: &'a mut WorkflowContext,
        encoded: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<AnyOutput, Halt>> + Send + 'a>> {
        let perform = Operation::perform(*self, context, encoded);
        Box::pin(async move { perform.await.map(|output| Box::new(output) as AnyOutput) })
    }

    // What generated code calls. These are functions of this trait, and nothing else is asked of an awaited value, so that
    // a value that is no operation is one error, on the user's `await`.

    /// Goes on behind the await.
    #[doc(hidden)]
    fn __await<V: Send + 'static, C: Variables<V>>(
        self,
        point: Point<Self, V, C>,
        context: &mut WorkflowContext,
        values: V,
    ) {
        point.leave(Box::new(self), context, values);
    }

    /// What the await gave, and the variables of its point; `None` before it has given anything.
    #[doc(hidden)]
    fn __awaited<V: Send + 'static, C: Variables<V>>(
        point: Point<Self, V, C>,
        context: &mut WorkflowContext,
    ) -> Option<(Self::Output, V)> {
        let (output, values) = point.enter(context, decode::<Self>)?;
        Some((unboxed(output), values))
    }

    /// Notes what a point awaits.
    #[doc(hidden)]
    fn __note<V, C>(point: Point<Self, V, C>, context: &mut WorkflowContext) {
        Self::describe(context.description(), point.number());
    }

    /// A task needs no future of its own: the runtime attempts it without knowing its type.
    #[doc(hidden)]
    fn as_task(&mut self, encoded: &Bytes) -> Option<&mut dyn AnyTask> {
        let _ = encoded;
        None
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

/// An operation that a step awaits, without its type. Whatever a step does is written for this type once; only what
/// depends on the operation is compiled for each.
pub(crate) trait Pending: Send {
    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String>;
    fn parking(&self, run: &Run) -> Result<Parking, Halt>;
    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt>;
    /// What says that the instance was asked to stop, which must be known when the operation is spent.
    fn cancelled(&self) -> fn(&str) -> Option<AnyOutput>;
    fn as_task(&mut self, encoded: &Bytes) -> Option<&mut dyn AnyTask>;
    fn perform<'a>(
        self: Box<Self>,
        context: &'a mut WorkflowContext,
        encoded: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<AnyOutput, Halt>> + Send + 'a>>;
}

impl<O: Operation> Pending for O {
    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        Operation::encode(self, now_ms, out)
    }

    fn parking(&self, run: &Run) -> Result<Parking, Halt> {
        Operation::parking(self, run)
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        Operation::enlist(self, run, batch)
    }

    fn cancelled(&self) -> fn(&str) -> Option<AnyOutput> {
        |reason| match O::cancelled(reason) {
            Some(output) => Some(Box::new(output)),
            None => None,
        }
    }

    fn as_task(&mut self, encoded: &Bytes) -> Option<&mut dyn AnyTask> {
        Operation::as_task(self, encoded)
    }

    fn perform<'a>(
        self: Box<Self>,
        context: &'a mut WorkflowContext,
        encoded: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<AnyOutput, Halt>> + Send + 'a>> {
        Operation::perform_any(self, context, encoded)
    }
}

/// Reads a stored operation.
pub(crate) type Decode = fn(&[u8]) -> Result<Box<dyn Pending>, String>;

fn decode<O: Operation>(encoded: &[u8]) -> Result<Box<dyn Pending>, String> {
    match O::decode(encoded) {
        Ok(operation) => Ok(Box::new(operation)),
        Err(error) => Err(error),
    }
}

impl Description {
    /// Adds what a block at `point` wants.
    pub(crate) fn absorb(&mut self, block: Description, point: usize) {
        self.tasks.extend(block.tasks);
        self.children.extend(block.children);
        self.messages.extend(block.messages);
        let operations = block.operations.into_iter();
        self.operations
            .extend(operations.map(|(_, operation)| (point, operation)));
    }
}

/// An operation with its encoding, ready to be stored.
pub(crate) struct Prepared {
    operation: Box<dyn Pending>,
    encoded: Result<Bytes, String>,
}

impl Prepared {
    pub(crate) fn new(mut operation: Box<dyn Pending>, now_ms: u64) -> Self {
        let mut out = Vec::with_capacity(64);
        let encoded = operation.encode(now_ms, &mut out);
        Prepared {
            operation,
            encoded: encoded.map(|()| Bytes::from(out)),
        }
    }

    pub(crate) fn restore(encoded: Bytes, decode: Decode) -> Result<Self, Halt> {
        let operation = decode(&encoded).map_err(|error| Halt::undecodable("the operation", error))?;
        Ok(Prepared {
            operation,
            encoded: Ok(encoded),
        })
    }

    pub(crate) fn into_parts(self) -> Result<(Box<dyn Pending>, Bytes), Halt> {
        match self.encoded {
            Ok(encoded) => Ok((self.operation, encoded)),
            Err(error) => Err(Halt::Unencodable {
                variable: "the operation".to_owned(),
                error,
            }),
        }
    }

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
        Some((BLOCK, _, _)) => "an async block".to_owned(),
        Some((CHILD_START, name, _)) => format!("start of child workflow `{name}`"),
        Some((RECEIVE, name, _)) => format!("signal `{name}`"),
        Some((RECEIVE_UPDATE, name, _)) => format!("update `{name}`"),
        Some((END, _, _)) => "its children to end".to_owned(),
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

/// Whether a stored operation is an `async` block.
pub(crate) fn is_block(encoded: &[u8]) -> bool {
    encoded.first() == Some(&BLOCK)
}

/// Whether a stored operation has lines of its own.
pub(crate) fn has_branches(encoded: &[u8]) -> bool {
    matches!(encoded.first(), Some(&BRANCHES | &BLOCK))
}

/// What an instance awaits whose code has returned: that its children end. `outcome` is how it ends then.
pub(crate) fn write_end(outcome: &OutcomeRecord) -> Vec<u8> {
    let mut out = Vec::new();
    write_head(&mut out, END, "");
    out.extend_from_slice(&record::encode(outcome));
    out
}

/// How an instance ends that awaits its children.
pub(crate) fn read_end(encoded: &[u8]) -> Result<OutcomeRecord, String> {
    codec::decode(expect(encoded, END, "")?).map_err(|error| error.to_string())
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
pub(crate) const BLOCK: u8 = b'a';
pub(crate) const CHILD: u8 = b'c';
pub(crate) const CHILD_START: u8 = b'b';
pub(crate) const CHILD_HANDLE: u8 = b'h';
const SLEEP: u8 = b's';
const END: u8 = b'e';
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

/// The input of an attempt that has only the stored operation.
fn stored_input<'a>(encoded: &'a [u8], name: &str) -> Result<&'a [u8], Halt> {
    match task_input(encoded, name) {
        Ok((_, input)) => Ok(input),
        Err(error) => Err(Halt::undecodable("the operation", error)),
    }
}

#[cold]
fn undecodable_input(name: &str, error: codec::Error) -> Halt {
    Halt::undecodable(&format!("the input of `{name}`"), error)
}

/// A call that was stored: its encoded input.
fn stored_call(encoded: &[u8], name: &str) -> Result<Bytes, String> {
    task_input(encoded, name).map(|(_, input)| Bytes::copy_from_slice(input))
}

/// Writes what stands in front of a task's input. From here on the limits of all attempts count.
fn write_task(out: &mut Vec<u8>, name: &str, now_ms: u64) {
    write_head(out, TASK, name);
    out.extend_from_slice(&now_ms.to_be_bytes());
}

fn written(result: Result<(), codec::Error>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

fn description_of_task(
    description: &mut Description,
    point: usize,
    name: &'static str,
    states: Vec<StateRequirement>,
) {
    description.tasks.push((name, states));
    description.operations.push((point, format!("task `{name}`")));
}

#[diagnostic::do_not_recommend]
impl<T: Task> Operation for TaskCall<T> {
    type Output = T::Output;

    fn describe(description: &mut Description, point: usize) {
        description_of_task(description, point, T::NAME, T::requirements());
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        write_task(out, T::NAME, now_ms);
        match &self.input {
            Input::Value(task) => written(codec::encode_into(task, out)),
            Input::Encoded(Ok(input)) => {
                out.extend_from_slice(input);
                Ok(())
            }
            Input::Encoded(Err(error)) => Err(error.to_string()),
            Input::Spent => Err("the task was attempted already".to_owned()),
        }
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        match stored_call(encoded, T::NAME) {
            Ok(input) => Ok(TaskCall {
                input: Input::Encoded(Ok(input)),
                encoded: Bytes::new(),
            }),
            Err(error) => Err(error),
        }
    }

    fn cancelled(reason: &str) -> Option<T::Output> {
        let failure = TaskFailure::Cancelled {
            task: T::NAME.to_owned(),
            reason: reason.to_owned(),
        };
        T::from_failure(failure).ok()
    }

    fn perform_any<'a>(
        mut self: Box<Self>,
        context: &'a mut WorkflowContext,
        encoded: Bytes,
    ) -> Pin<Box<dyn Future<Output = Result<AnyOutput, Halt>> + Send + 'a>> {
        self.encoded = encoded;
        attempt::perform_boxed(self, context)
    }

    fn as_task(&mut self, encoded: &Bytes) -> Option<&mut dyn AnyTask> {
        self.encoded = encoded.clone();
        Some(self)
    }

    async fn perform(mut self, context: &mut WorkflowContext, encoded: Bytes) -> Result<T::Output, Halt> {
        self.encoded = encoded;
        let output = attempt::perform(context.run()?, &mut self).await?;
        match output.downcast() {
            Ok(output) => Ok(*output),
            Err(_) => unreachable!("a task gives its own output"),
        }
    }
}

impl<T: Task> AnyTask for TaskCall<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn options(&self) -> TaskOptions {
        T::options()
    }

    /// The value serves the first attempt, its encoding the others.
    fn attempt(
        &mut self,
        context: TaskContext,
    ) -> Result<Pin<Box<dyn Future<Output = AnyOutput> + Send>>, Halt> {
        let task = match std::mem::replace(&mut self.input, Input::Spent) {
            Input::Value(task) => task,
            Input::Encoded(_) | Input::Spent => {
                let input = stored_input(&self.encoded, T::NAME)?;
                match codec::decode::<T>(input) {
                    Ok(task) => task,
                    Err(error) => return Err(undecodable_input(T::NAME, error)),
                }
            }
        };
        #[cfg(feature = "testing")]
        if let Some(mock) = context.state::<crate::testing::Mock<T>>() {
            return Ok(Box::pin(
                async move { Box::new(mock.run(task).await) as AnyOutput },
            ));
        }
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

    fn scheduled_ms(&self) -> Result<u64, Halt> {
        task_input(&self.encoded, T::NAME)
            .map(|(scheduled_ms, _)| scheduled_ms)
            .map_err(|error| Halt::undecodable("the operation", error))
    }

    fn decode(&self, output: &[u8]) -> Result<AnyOutput, String> {
        match <T::Output as Output>::decode(output) {
            Ok(output) => Ok(Box::new(output)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn failed(&self, failure: TaskFailure) -> Result<AnyOutput, TaskFailure> {
        match T::from_failure(failure) {
            Ok(output) => Ok(Box::new(output)),
            Err(failure) => Err(failure),
        }
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
