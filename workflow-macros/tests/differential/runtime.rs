//! Tasks, workflows, and the log of effects.

use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;
use workflow_model::codec;

use crate::WorkflowContext;
use crate::context::Prepared;
use crate::halt::Halt;

pub trait Durable: Serialize + DeserializeOwned + Send + 'static {}
impl<T: Serialize + DeserializeOwned + Send + 'static> Durable for T {}

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes an effect.
pub fn log(effect: impl Into<String>) {
    LOG.with_borrow_mut(|log| log.push(effect.into()));
}

pub fn log_length() -> usize {
    LOG.with_borrow(Vec::len)
}

pub fn take_log() -> Vec<String> {
    LOG.take()
}

pub trait Operation: Sized + Send {
    type Output: Send;
    fn into_encoded(self) -> Vec<u8>;
    fn perform(encoded: Vec<u8>) -> impl Future<Output = Self::Output> + Send;

    fn __prepare(self, context: &mut WorkflowContext) -> Prepared<Self> {
        context.prepare(self)
    }

    fn __restore(context: &mut WorkflowContext) -> Result<Prepared<Self>, Halt> {
        context.restore_operation()
    }

    fn __perform(
        prepared: Prepared<Self>,
        context: &mut WorkflowContext,
    ) -> impl Future<Output = Self::Output> + Send {
        context.perform(prepared)
    }

    fn __note(_: PhantomData<Self>, context: &mut WorkflowContext, point: usize) {
        assert_eq!(context.described, point);
        context.described += 1;
    }
}

#[derive(Debug)]
pub struct TaskFailure;
#[derive(Debug)]
pub struct TaskContext;
#[derive(Debug, Default)]
pub struct TaskOptions;
pub struct StateRequirement;

pub trait Task: Durable {
    const NAME: &'static str;
    type Output: Durable;
    fn options() -> TaskOptions;
    fn requirements() -> Vec<StateRequirement>;
    fn failure(output: &Self::Output) -> Option<String>;
    fn from_failure(failure: TaskFailure) -> Result<Self::Output, TaskFailure>;
    fn run(self, context: &TaskContext) -> impl Future<Output = Self::Output> + Send;
}

pub struct TaskCall<T> {
    encoded: Vec<u8>,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> TaskCall<T> {
    #[expect(clippy::needless_pass_by_value, reason = "as the real one")]
    pub fn new(task: T) -> Self {
        Self::encoded(codec::encode(&task))
    }

    pub fn encoded(input: Result<Vec<u8>, codec::Error>) -> Self {
        TaskCall {
            encoded: input.expect("encodes"),
            task: PhantomData,
        }
    }
}

impl<T: Task> Operation for TaskCall<T> {
    type Output = T::Output;

    fn into_encoded(self) -> Vec<u8> {
        self.encoded
    }

    async fn perform(encoded: Vec<u8>) -> T::Output {
        let task: T = codec::decode(&encoded).expect("decodes");
        let output = task.run(&TaskContext).await;
        codec::decode(&codec::encode(&output).expect("encodes")).expect("decodes")
    }
}

impl<T: Task> IntoFuture for TaskCall<T> {
    type Output = T::Output;
    type IntoFuture = Pin<Box<dyn Future<Output = T::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(<Self as Operation>::perform(self.encoded))
    }
}

pub struct Sleep;

pub fn sleep(_: &str) -> Sleep {
    Sleep
}

impl Operation for Sleep {
    type Output = ();

    fn into_encoded(self) -> Vec<u8> {
        Vec::new()
    }

    async fn perform(_: Vec<u8>) {}
}

impl IntoFuture for Sleep {
    type Output = ();
    type IntoFuture = std::future::Ready<()>;

    fn into_future(self) -> Self::IntoFuture {
        std::future::ready(())
    }
}

pub trait Workflow: Durable {
    const NAME: &'static str;
    const POINTS: &'static [&'static str];
    type Output: Durable;
    fn failure(output: &Self::Output) -> Option<String>;
    fn run(input: Option<Self>, context: &mut WorkflowContext) -> impl Future<Output = Self::Output> + Send;
}

pub struct WorkflowCall<W> {
    pub input: W,
}

impl<W> WorkflowCall<W> {
    pub fn new(input: W) -> Self {
        WorkflowCall { input }
    }
}

pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, codec::Error> {
    codec::encode(value)
}

pub fn unwitness<T>(_: &PhantomData<T>) -> T {
    unreachable!()
}
