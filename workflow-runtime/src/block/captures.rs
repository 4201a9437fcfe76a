//! The variables around a block that it mentions, on their way into it.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use workflow_model::codec;

use crate::Durable;
use crate::context::WorkflowContext;
use crate::record::{put_slice, take_slice, take_text};
use crate::run::Outbox;

/// The captures of a block, encoded. `C` is a list of their types, made of pairs.
pub struct Captures<C> {
    encoded: Result<Vec<u8>, String>,
    types: PhantomData<fn() -> C>,
}

impl<C> fmt::Debug for Captures<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Captures").finish_non_exhaustive()
    }
}

impl Captures<()> {
    /// No captures yet.
    #[expect(clippy::new_without_default, reason = "called by generated code only")]
    pub fn new() -> Self {
        Captures::stored()
    }
}

impl<C> Captures<C> {
    /// Those of a block that is in the store already.
    pub(super) fn stored() -> Self {
        Captures {
            encoded: Ok(Vec::new()),
            types: PhantomData,
        }
    }

    /// Hands over the encoded captures.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let encoded = std::mem::replace(&mut self.encoded, Ok(Vec::new()))?;
        out.extend_from_slice(&encoded);
        Ok(())
    }

    fn and<T: Durable>(self, name: &str, value: &T) -> Captures<(C, T)> {
        let encoded = self.encoded.and_then(|mut encoded| {
            let value = Outbox::storing(|| codec::encode(value))
                .map_err(|error| format!("the variable `{name}`: {error}"))?;
            put_slice(&mut encoded, name.as_bytes());
            put_slice(&mut encoded, &value);
            Ok(encoded)
        });
        Captures {
            encoded,
            types: PhantomData,
        }
    }
}

/// Reads the captures of a stored block: `(name: text, value: bytes)*`.
pub(super) fn read(mut encoded: Bytes) -> Result<Vec<(String, Bytes)>, String> {
    let mut captures = Vec::new();
    while !encoded.is_empty() {
        captures.push((take_text(&mut encoded)?, take_slice(&mut encoded)?));
    }
    Ok(captures)
}

/// A value that an `async` block can mention.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is mentioned in an `async` block, but it cannot be stored",
    label = "an `async` block is stored with a copy of each variable around it that it mentions",
    note = "if it is a reference or holds one, let the block mention the value itself: before the block, `let name = name.clone();` (or `.to_owned()`, `.to_string()`, `.to_vec()`)",
    note = "if the type is yours, derive serde's `Serialize` and `Deserialize` for it",
    note = "if it is a guard, an iterator, an `Rc`, a handle or a call without its `.await`: make it inside of the block"
)]
pub trait Captured: Sized {
    /// Adds a copy to the captures.
    fn copied<C>(value: &Self, name: &'static str, captures: Captures<C>) -> Captures<(C, Self)>;
    /// Adds the value itself to the captures.
    fn moved<C>(value: Self, name: &'static str, captures: Captures<C>) -> Captures<(C, Self)>;
    /// Reads a capture back; when the stored value does not fit, the code stops.
    fn restored(context: &mut WorkflowContext, name: &'static str) -> Option<Self>;
}

#[diagnostic::do_not_recommend]
impl<T: Durable> Captured for T {
    fn copied<C>(value: &Self, name: &'static str, captures: Captures<C>) -> Captures<(C, Self)> {
        captures.and(name, value)
    }

    fn moved<C>(value: Self, name: &'static str, captures: Captures<C>) -> Captures<(C, Self)> {
        captures.and(name, &value)
    }

    fn restored(context: &mut WorkflowContext, name: &'static str) -> Option<Self> {
        context.restore(name).map_err(|halt| context.stop(halt)).ok()
    }
}

/// A value that borrows nothing; never implemented for references.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is mentioned in an `async` block, but a reference cannot be stored",
    label = "own the value before the block: `.clone()`, `.to_owned()`, `.to_string()`, `.to_vec()`",
    note = "what a reference points to is gone after a restart"
)]
pub trait OwnedCapture: Durable {}

/// A capture under examination.
#[derive(Debug)]
pub struct CapturedVariable<'a, T>(PhantomData<&'a T>);

impl<'a, T> CapturedVariable<'a, T> {
    /// A probe for the variable's type.
    pub fn new(_: &'a T) -> Self {
        CapturedVariable(PhantomData)
    }
}

/// Found for references that could be stored if they were not references.
pub trait ReferenceCaptured {
    /// The reference type.
    type Value;
    /// Always an error.
    fn __must_be_owned(&self)
    where
        Self::Value: OwnedCapture;
}

impl<'a, T: ?Sized> ReferenceCaptured for CapturedVariable<'_, &'a T>
where
    &'a T: Captured,
{
    type Value = &'a T;
    fn __must_be_owned(&self)
    where
        Self::Value: OwnedCapture,
    {
    }
}

/// Found for everything else.
pub trait ValueCaptured {
    /// The variable's type.
    type Value;
    /// An error unless the type can be stored.
    fn __must_be_owned(&self)
    where
        Self::Value: Captured;
}

impl<T> ValueCaptured for &CapturedVariable<'_, T> {
    type Value = T;
    fn __must_be_owned(&self)
    where
        Self::Value: Captured,
    {
    }
}
