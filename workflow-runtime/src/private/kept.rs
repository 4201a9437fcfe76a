//! Checks of the variables that a workflow keeps across an await, with errors that say what to do.
//!
//! `Point` is a type named after the awaited operation, so that messages can name it.

use std::marker::PhantomData;

use crate::Durable;

/// A value that can be stored while the workflow waits at `Point`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is kept across the await of `{Point}`, but it cannot be stored",
    label = "this variable is needed after the await of `{Point}`, so it must be stored there",
    note = "what lives across an await is written to the store: its type must implement serde's `Serialize` and `Deserialize`, and be `Send` and `'static`",
    note = "derive them for your own types; turn references into owned values (`.clone()`, `.to_owned()`); end guards, closures, `Rc`s and handles before the await, or move their use into a #[task]"
)]
pub trait KeptAcross<Point>: Durable {}

#[diagnostic::do_not_recommend]
impl<T: Durable, Point> KeptAcross<Point> for T {}

/// A value that borrows nothing; never implemented for references.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is kept across the await of `{Point}`, but a reference cannot be stored",
    label = "this reference is needed after the await of `{Point}`: clone what it points to",
    note = "own the value before the await: `.clone()`, `.to_owned()`, `.to_string()` or `.to_vec()`"
)]
pub trait OwnedAcross<Point>: KeptAcross<Point> {}

/// Items that a loop can keep while the workflow waits at `Point`.
#[diagnostic::on_unimplemented(
    message = "the loop keeps what it still has to visit across the await of `{Point}`, but that cannot be stored",
    label = "this loop's remaining items must be stored at the await of `{Point}`",
    note = "loop over a range, over `&collection`, or over owned items whose type implements serde's `Serialize` and `Deserialize` (`.cloned()`, `.into_iter()`)"
)]
pub trait LoopAcross<Point> {}

impl<S: super::loops::LoopState, Point> LoopAcross<Point> for S {}

/// A variable under examination.
#[derive(Debug)]
pub struct Kept<'a, T, Point>(PhantomData<&'a T>, PhantomData<Point>);

impl<'a, T, Point> Kept<'a, T, Point> {
    /// A probe for the variable's type.
    pub fn new(_: &'a T) -> Self {
        Kept(PhantomData, PhantomData)
    }
}

/// Found for references.
pub trait ReferenceKept<Point> {
    /// The reference type.
    type Value;
    /// Always an error.
    fn __check(&self)
    where
        Self::Value: OwnedAcross<Point>;
}

impl<'a, T: ?Sized, Point> ReferenceKept<Point> for Kept<'_, &'a T, Point> {
    type Value = &'a T;
    fn __check(&self)
    where
        Self::Value: OwnedAcross<Point>,
    {
    }
}

impl<'a, T: ?Sized, Point> ReferenceKept<Point> for Kept<'_, &'a mut T, Point> {
    type Value = &'a mut T;
    fn __check(&self)
    where
        Self::Value: OwnedAcross<Point>,
    {
    }
}

/// Found for everything else.
pub trait ValueKept<Point> {
    /// The variable's type.
    type Value;
    /// An error unless the type can be stored.
    fn __check(&self)
    where
        Self::Value: KeptAcross<Point>;
}

impl<T, Point> ValueKept<Point> for &Kept<'_, T, Point> {
    type Value = T;
    fn __check(&self)
    where
        Self::Value: KeptAcross<Point>,
    {
    }
}

/// The remaining items of a loop under examination.
#[derive(Debug)]
pub struct KeptLoop<'a, T, Point>(PhantomData<&'a T>, PhantomData<Point>);

impl<'a, T, Point> KeptLoop<'a, T, Point> {
    /// A probe for the loop's state.
    pub fn new(_: &'a T) -> Self {
        KeptLoop(PhantomData, PhantomData)
    }

    /// An error unless the state can be stored.
    pub fn __check(&self)
    where
        T: LoopAcross<Point>,
    {
    }
}
