//! How the code of a workflow goes from stage to stage.
//!
//! Generated code runs one stage and says where it goes on: at once, or behind an await. What stands between two stages is
//! done by code that is not generic ([`WorkflowContext::arrive`]): it commits the step, performs the operation, and keeps
//! the variables of the next stage, whose type only that stage knows.

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::Durable;
use crate::attempt::AnyOutput;
use crate::context::{Arrived, Content, Saver, WorkflowContext};
use crate::halt::Halt;
use crate::operation::{Decode, Pending};

/// How a variable is stored and read back. It is made once for each variable, where the compiler checks that it can be.
#[derive(Debug)]
pub struct Codec<T> {
    save: fn(&T, &mut Saver<'_>, &'static str, u32),
    restore: fn(&mut WorkflowContext, &'static str) -> Result<T, Halt>,
    slot: u32,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Codec<T> {}

impl<T> Codec<T> {
    pub(super) fn new(
        save: fn(&T, &mut Saver<'_>, &'static str, u32),
        restore: fn(&mut WorkflowContext, &'static str) -> Result<T, Halt>,
        slot: u32,
    ) -> Self {
        Codec { save, restore, slot }
    }
}

impl<T: Durable> Codec<T> {
    /// For a variable that may have changed since the last step.
    pub(super) fn variable() -> Self {
        let save = |value: &T, saver: &mut Saver<'_>, name, _| saver.variable(name, value);
        Codec::new(save, |context, name| context.restore(name), 0)
    }

    /// For a variable that cannot have been assigned since it was declared.
    pub(super) fn constant(slot: u32) -> Self {
        let save = |value: &T, saver: &mut Saver<'_>, name, slot| saver.constant(name, slot, value);
        Codec::new(save, |context, name| context.restore(name), slot)
    }
}

/// A variable of a point: the name under which it is stored there, and how.
#[derive(Debug)]
pub struct Stored<T>(pub &'static str, pub Codec<T>);

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Stored<T> {}

/// The variables of a point, as the tuple that its values are.
pub trait Variables<V>: Copy {
    /// Stores all of them.
    fn save(self, values: &V, saver: &mut Saver<'_>);
    /// Reads all of them back.
    ///
    /// # Errors
    /// When one does not fit.
    fn restore(self, context: &mut WorkflowContext) -> Result<V, Halt>;
}

impl<T> Variables<T> for Stored<T> {
    fn save(self, value: &T, saver: &mut Saver<'_>) {
        (self.1.save)(value, saver, self.0, self.1.slot);
    }

    fn restore(self, context: &mut WorkflowContext) -> Result<T, Halt> {
        (self.1.restore)(context, self.0)
    }
}

impl Variables<()> for () {
    fn save(self, (): &(), _: &mut Saver<'_>) {}

    fn restore(self, _: &mut WorkflowContext) -> Result<(), Halt> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($(($stored:ident $value:ident $place:tt))*;)*) => { $(
        impl<$($stored: Variables<$value>, $value),*> Variables<($($value,)*)> for ($($stored,)*) {
            fn save(self, values: &($($value,)*), saver: &mut Saver<'_>) {
                $(self.$place.save(&values.$place, saver);)*
            }

            fn restore(self, context: &mut WorkflowContext) -> Result<($($value,)*), Halt> {
                Ok(($(self.$place.restore(context)?,)*))
            }
        }
    )* };
}

// Generated code nests the tuple of more variables (`VARIABLES_MAX` in the macros).
tuples! {
    (A V 0);
    (A V 0) (B W 1);
    (A V 0) (B W 1) (C X 2);
    (A V 0) (B W 1) (C X 2) (D Y 3);
    (A V 0) (B W 1) (C X 2) (D Y 3) (E Z 4);
    (A V 0) (B W 1) (C X 2) (D Y 3) (E Z 4) (F T 5);
    (A V 0) (B W 1) (C X 2) (D Y 3) (E Z 4) (F T 5) (G U 6);
    (A V 0) (B W 1) (C X 2) (D Y 3) (E Z 4) (F T 5) (G U 6) (H S 7);
}

/// A durable point: what it awaits (`O`), what it is stored with (`V`), and how (`C`).
#[derive(Debug)]
pub struct Point<O, V, C> {
    number: usize,
    variables: C,
    kind: PhantomData<fn() -> (O, V)>,
}

impl<O, V, C: Copy> Clone for Point<O, V, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O, V, C: Copy> Copy for Point<O, V, C> {}

impl<O, V, C> Point<O, V, C> {
    /// The point of this number, counted from 0.
    pub const fn new(number: usize, variables: C) -> Self {
        Point {
            number,
            variables,
            kind: PhantomData,
        }
    }

    /// The number of the point.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Stands for the point's variables in code that never runs.
    pub fn values(self) -> V {
        unreachable!("code that exists for its types was run")
    }
}

// What depends on the operation is in its functions, so that this is compiled once for each tuple of variables.
impl<O, V: Send + 'static, C: Variables<V>> Point<O, V, C> {
    /// Goes on behind the await of `operation`: begins the record of the step, and leaves the rest to the context.
    pub(crate) fn leave(self, operation: Box<dyn Pending>, context: &mut WorkflowContext, values: V) {
        leave(self.number, self.variables, operation, context, values);
    }

    /// The output of the operation, and the variables. A resumed instance is not that far: what is stored is read, and the
    /// stage is entered again when the operation is done.
    pub(crate) fn enter(self, context: &mut WorkflowContext, decode: Decode) -> Option<(AnyOutput, V)> {
        enter_point(self.number, self.variables, context, decode)
    }
}

fn leave<V: Send + 'static, C: Variables<V>>(
    point: usize,
    variables: C,
    operation: Box<dyn Pending>,
    context: &mut WorkflowContext,
    values: V,
) {
    let pending = context.prepare(operation);
    variables.save(&values, &mut context.checkpoint(point, &pending));
    context.go_behind(point, pending, Box::new(values));
}

fn enter_point<V: Send + 'static, C: Variables<V>>(
    point: usize,
    variables: C,
    context: &mut WorkflowContext,
    decode: Decode,
) -> Option<(AnyOutput, V)> {
    match context.arrived(decode) {
        Arrived::Done(output, values) => Some((output, unboxed(values))),
        Arrived::Resumed(pending) => {
            match variables.restore(context) {
                Ok(values) => context.resume_at(point, pending, Box::new(values)),
                Err(halt) => context.stop(halt),
            }
            None
        }
        Arrived::Stopped => None,
    }
}

/// A place that the code comes to from several others: what it is entered with is a tuple of type `T`.
#[derive(Debug)]
pub struct Join<T> {
    stage: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Join<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Join<T> {}

impl<T> Join<T> {
    /// The join that is this stage.
    pub const fn new(stage: usize) -> Self {
        Join {
            stage,
            kind: PhantomData,
        }
    }
}

/// Goes on at a join.
pub fn go<T: Send + 'static>(join: Join<T>, context: &mut WorkflowContext, content: T) {
    context.go_to(join.stage, Box::new(content));
}

/// What a join is entered with.
pub fn enter<T: 'static>(_: Join<T>, context: &mut WorkflowContext) -> T {
    match context.content() {
        Content::Went(content) => unboxed(content),
        _ => unreachable!("a join is entered from other stages only"),
    }
}

pub(crate) fn unboxed<T: 'static>(content: Box<dyn Any + Send>) -> T {
    match content.downcast() {
        Ok(content) => *content,
        Err(_) => unreachable!("a stage is entered with what was made for it"),
    }
}

/// Runs the code of a stage: its output, or `None` when it waits, which it does when it goes on at another stage.
pub fn run<T>(code: Pin<&mut (dyn Future<Output = T> + '_)>) -> Option<T> {
    match code.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Stands for a value of the marker's type in code that never runs.
pub fn unwitness<T>(_: &PhantomData<T>) -> T {
    never()
}

/// Stands for a value in code that never runs.
pub fn never<T>() -> T {
    unreachable!("code that exists for its types was run")
}
