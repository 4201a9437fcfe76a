//! What generated code uses. Nothing in here is stable: it changes together with the macros.

mod kept;
mod loops;
mod output;

use std::marker::PhantomData;

pub use serde;
use serde::Serialize;
use workflow_model::codec;

pub use self::kept::{Kept, KeptAcross, KeptLoop, LoopAcross, OwnedAcross, ReferenceKept, ValueKept};
pub use self::loops::{
    Counter, Cursor, IntoRangeLoop, ItemsKind, ItemsLoop, ItemsStart, LoopItem, LoopState, Ordered, OrderedMut,
    RangeKind, RangeLoop, RangeStart, restore_loop, save_loop,
};
pub use self::output::{AnyFailure, AnyOutput, ErrorFailure, Fails, OpaqueOutput, Output, ResultOutput};
pub use crate::context::Saver;
pub use crate::engine::Entry;
pub use crate::halt::Halt;
pub use crate::join::{join, select, try_join};
pub use crate::operation::{Description, Operation, Parking, Prepared};
pub use crate::task::StateRequirement;
pub use crate::task_context::Extract;

use crate::context::WorkflowContext;
use crate::workflow::Workflow;

/// The entry at which a workflow only describes its operations.
pub const DESCRIBE: usize = crate::context::DESCRIBE;

/// The entry of a workflow type.
pub fn entry<W: Workflow>() -> Entry {
    Entry::of::<W>()
}

/// Encodes borrowed arguments.
///
/// # Errors
/// When a value cannot be encoded.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, codec::Error> {
    codec::encode(value)
}

/// Ties the type of a value to a marker that exists before it.
pub fn witness<T>(_: &PhantomData<T>, value: T) -> T {
    value
}

/// Stands for a value of the marker's type in code that never runs.
pub fn unwitness<T>(_: &PhantomData<T>) -> T {
    unreachable!("code that exists for its types was run")
}

/// Notes what a point awaits.
pub fn describe<O: Operation>(context: &mut WorkflowContext, point: usize, _: PhantomData<O>) {
    O::describe(context.description(), point);
}

/// Stores a variable that may have changed.
pub fn save<T: KeptAcross<Point>, Point>(saver: &mut Saver<'_>, name: &'static str, value: &T) {
    saver.variable(name, value);
}

/// Stores a variable that cannot have been assigned since it was declared.
pub fn save_constant<T: KeptAcross<Point>, Point>(saver: &mut Saver<'_>, name: &'static str, slot: u32, value: &T) {
    saver.constant(name, slot, value);
}

/// Reads a variable back.
///
/// # Errors
/// When the stored value does not fit.
pub fn restore<T: KeptAcross<Point>, Point>(context: &mut WorkflowContext, name: &'static str) -> Result<T, Halt> {
    context.restore(name)
}
