//! What a workflow keeps across an await, with errors that say what to do.
//!
//! Generated code stores and restores a variable through [`Keeper`], on the variable's token. Whatever is unmet there is
//! one error, since rustc does not repeat the same one on the same token. References to text or bytes pass as far as traits
//! can tell (serde reads them from its input), so [`Kept`] examines each variable once more where all types are known.

use std::marker::PhantomData;

use crate::Durable;
use crate::context::{Saver, WorkflowContext};
use crate::halt::Halt;

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

/// What a variable of type `T` is kept across.
pub trait Keeper<T> {
    /// Stores a variable that may have changed.
    fn save(value: &T, saver: &mut Saver<'_>, name: &'static str);
    /// Stores a variable that cannot have been assigned since it was declared.
    fn save_constant(value: &T, saver: &mut Saver<'_>, name: &'static str, slot: u32);
    /// Reads a variable back.
    ///
    /// # Errors
    /// When the stored value does not fit.
    fn restore(context: &mut WorkflowContext, name: &'static str) -> Result<T, Halt>;
}

/// The await of a point. `Awaited` is a type with the point's name, so that messages can name it.
#[derive(Debug)]
pub struct Across<Awaited>(PhantomData<fn() -> Awaited>);

impl<T: KeptAcross<Awaited>, Awaited> Keeper<T> for Across<Awaited> {
    fn save(value: &T, saver: &mut Saver<'_>, name: &'static str) {
        saver.variable(name, value);
    }

    fn save_constant(value: &T, saver: &mut Saver<'_>, name: &'static str, slot: u32) {
        saver.constant(name, slot, value);
    }

    fn restore(context: &mut WorkflowContext, name: &'static str) -> Result<T, Halt> {
        context.restore(name)
    }
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
