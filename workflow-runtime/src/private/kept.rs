//! What a workflow keeps across an await, with errors that say what to do.
//!
//! Generated code asks [`Keeper`] how a variable is stored, on the variable's token. Whatever is unmet there is one error,
//! since rustc does not repeat the same one on the same token. References to text or bytes pass as far as traits
//! can tell (serde reads them from its input), so [`Kept`] examines each variable once more where all types are known.

use std::marker::PhantomData;

use super::machine::Codec;
use crate::Durable;
use crate::task::{Task, TaskCall};

/// A value that can be stored while the workflow waits for `Awaited`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is kept across the await of `{Awaited}`, but it cannot be stored",
    label = "needed after the await of `{Awaited}`, so it is stored there",
    note = "if it is a reference or holds one, keep the value itself: `.clone()`, `.to_owned()`, `.to_string()`, `.to_vec()`",
    note = "if the type is yours, derive serde's `Serialize` and `Deserialize` for it",
    note = "if it is a guard, a closure, an iterator, an `Rc`, a handle or a call without its `.await`: end its use before the await, or move its use into a #[task]"
)]
pub trait KeptAcross<Awaited>: Durable {}

#[diagnostic::do_not_recommend]
impl<T: Durable, Awaited> KeptAcross<Awaited> for T {}

/// A value that borrows nothing; never implemented for references.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is kept across the await of `{Awaited}`, but a reference cannot be stored",
    label = "needed after the await of `{Awaited}`: own the value here",
    note = "what a reference points to is gone after a restart: keep the value itself (`.clone()`, `.to_owned()`, `.to_string()`, `.to_vec()`)"
)]
pub trait OwnedAcross<Awaited>: KeptAcross<Awaited> {}

/// Something that a variable of type `T` is kept across. No argument mentions `Self`, so that rustc reports what is unmet
/// on the variable; [`tie`] says which keeper it is.
pub trait Keeper<T>: Sized {
    /// How a variable that may be assigned is stored.
    fn variable() -> Tied<Self, Codec<T>>;
    /// How a variable that cannot be assigned is stored.
    fn constant(slot: u32) -> Tied<Self, Codec<T>>;
}

impl<T: KeptAcross<Awaited>, Awaited> Keeper<T> for Across<Awaited> {
    fn variable() -> Tied<Self, Codec<T>> {
        Tied(Codec::variable(), PhantomData)
    }

    fn constant(slot: u32) -> Tied<Self, Codec<T>> {
        Tied(Codec::constant(slot), PhantomData)
    }
}

/// What a keeper gives.
#[derive(Debug)]
pub struct Tied<K, T>(T, PhantomData<fn() -> K>);

/// Says which keeper gave `value`.
pub fn tie<K, T>(_: PhantomData<K>, value: Tied<K, T>) -> T {
    value.0
}

/// The await of an operation, named as messages shall name it.
#[derive(Debug)]
pub struct Across<Awaited>(PhantomData<fn() -> Awaited>);

/// Makes known what the variables of a point are kept across.
pub fn keep<K>(_: PhantomData<K>, _: K) {}

/// An awaited operation that is to be named.
#[derive(Debug)]
pub struct Named<O>(PhantomData<O>);

impl<O> Named<O> {
    /// A probe for the operation's type.
    pub fn of(_: &O) -> Self {
        Named(PhantomData)
    }
}

/// Found for tasks: they are called by their own name.
pub trait TaskNamed {
    /// The task.
    type Awaited;
    /// Stands for the await of the task.
    fn __across(&self) -> Across<Self::Awaited> {
        Across(PhantomData)
    }
}

impl<T: Task> TaskNamed for Named<TaskCall<T>> {
    type Awaited = T;
}

/// Found for every other operation: it is called by its type.
pub trait OtherNamed {
    /// The operation.
    type Awaited;
    /// Stands for the await of the operation.
    fn __across(&self) -> Across<Self::Awaited> {
        Across(PhantomData)
    }
}

impl<O> OtherNamed for &Named<O> {
    type Awaited = O;
}

/// A variable under examination.
#[derive(Debug)]
pub struct Kept<'a, T, Awaited>(PhantomData<&'a T>, PhantomData<Awaited>);

impl<'a, T, Awaited> Kept<'a, T, Awaited> {
    /// A probe for the variable's type.
    pub fn new(_: &'a T, _: PhantomData<Across<Awaited>>) -> Self {
        Kept(PhantomData, PhantomData)
    }
}

/// Found for references that could be stored if they were not references.
pub trait ReferenceKept<Awaited> {
    /// The reference type.
    type Value;
    /// Always an error.
    fn __must_be_stored(&self)
    where
        Self::Value: OwnedAcross<Awaited>;
}

impl<'a, T: ?Sized, Awaited> ReferenceKept<Awaited> for Kept<'_, &'a T, Awaited>
where
    &'a T: KeptAcross<Awaited>,
{
    type Value = &'a T;
    fn __must_be_stored(&self)
    where
        Self::Value: OwnedAcross<Awaited>,
    {
    }
}

/// Found for everything else.
pub trait ValueKept<Awaited> {
    /// The variable's type.
    type Value;
    /// An error unless the type can be stored.
    fn __must_be_stored(&self)
    where
        Self::Value: KeptAcross<Awaited>;
}

impl<T, Awaited> ValueKept<Awaited> for &Kept<'_, T, Awaited> {
    type Value = T;
    fn __must_be_stored(&self)
    where
        Self::Value: KeptAcross<Awaited>,
    {
    }
}
