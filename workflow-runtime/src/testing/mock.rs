//! Stand-ins for tasks, typed by the task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use workflow_model::codec;

use crate::{EngineBuilder, Registry, Task, TaskCall};

/// A function under `#[task]`, however many arguments it takes.
///
/// Implemented for each such function; `Arguments` are found out by the compiler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a function under `#[task]`",
    note = "name the task's function, without calling it: `kit.mock(charge, |input| async move {{ .. }})`"
)]
pub trait TaskFn<Arguments> {
    /// The task.
    type Task: Task;
}

macro_rules! task_fn {
    ($($argument:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<F, T, $($argument),*> TaskFn<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> TaskCall<T>,
            T: Task,
        {
            type Task = T;
        }
    };
}

task_fn!();
task_fn!(A);
task_fn!(A B);
task_fn!(A B C);
task_fn!(A B C D);
task_fn!(A B C D E);
task_fn!(A B C D E G);
task_fn!(A B C D E G H);
task_fn!(A B C D E G H I);

type Answer<T> = Pin<Box<dyn Future<Output = <T as Task>::Output> + Send>>;

/// What stands in for a task. Clones share the calls.
pub(crate) struct Mock<T: Task> {
    answer: Arc<dyn Fn(T) -> Answer<T> + Send + Sync>,
    calls: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl<T: Task> Clone for Mock<T> {
    fn clone(&self) -> Self {
        Mock {
            answer: self.answer.clone(),
            calls: self.calls.clone(),
        }
    }
}

impl<T: Task> Mock<T> {
    fn new<Fut>(answer: impl Fn(T) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = T::Output> + Send + 'static,
    {
        Mock {
            answer: Arc::new(move |input| Box::pin(answer(input))),
            calls: Arc::default(),
        }
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn run(&self, input: T) -> Answer<T> {
        // An input that cannot be encoded never gets here: it was stored before.
        let encoded = codec::encode(&input).unwrap_or_default();
        self.calls().push(encoded);
        (self.answer)(input)
    }
}

/// The calls of a mocked task.
///
/// Each attempt is a call; one that a crash interrupted is repeated.
pub struct Calls<T: Task>(Mock<T>);

impl<T: Task> fmt::Debug for Calls<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Calls")
            .field("task", &T::NAME)
            .field("count", &self.count())
            .finish()
    }
}

impl<T: Task> Clone for Calls<T> {
    fn clone(&self) -> Self {
        Calls(self.0.clone())
    }
}

impl<T: Task> Calls<T> {
    pub(super) fn answered<Fut>(answer: impl Fn(T) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = T::Output> + Send + 'static,
    {
        Calls(Mock::new(answer))
    }

    /// How often the task was called.
    pub fn count(&self) -> usize {
        self.0.calls().len()
    }

    /// What it was called with, oldest first. The fields of an input have the names of the task's parameters.
    ///
    /// # Panics
    /// When an input cannot be decoded again; an engine would then block the instance.
    pub fn inputs(&self) -> Vec<T> {
        let decode = |encoded: &Vec<u8>| match codec::decode(encoded) {
            Ok(input) => input,
            Err(error) => panic!(
                "an input of the task `{}` does not survive being stored: {error}",
                T::NAME
            ),
        };
        self.0.calls().iter().map(decode).collect()
    }

    /// Forgets the calls so far.
    pub fn clear(&self) {
        self.0.calls().clear();
    }
}

impl<R: Registry> EngineBuilder<R> {
    /// Lets `answer` stand in for a task; what it was called with is in the [`Calls`]. Attempts, timeouts and storage are
    /// those of the task; dependencies of its own are not needed.
    pub(crate) fn mocked<T: Task>(self, calls: &Calls<T>) -> Self {
        let mock = calls.0.clone();
        self.state(mock).without_requirements(T::NAME)
    }
}
