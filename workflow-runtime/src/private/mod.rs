//! What generated code uses. Nothing in here is stable: it changes together with the macros.

mod argument;
mod input;
mod kept;
mod loops;
mod machine;
mod output;

pub use serde;
use serde::Serialize;
use workflow_model::codec;

pub use self::argument::Argument;
pub use self::input::{Input, read_input, write_input};
pub use self::kept::{
    Across, Keeper, Kept, KeptAcross, Named, OtherNamed, OwnedAcross, ReferenceKept, TaskNamed, Tied,
    ValueKept, keep, tie,
};
pub use self::loops::{
    Counter, Cursor, IntoRangeLoop, ItemsKind, ItemsLoop, ItemsStart, LoopItem, LoopState, Ordered,
    OrderedMut, RangeKind, RangeLoop, RangeStart,
};
pub use self::machine::{Codec, Join, Point, Stored, Variables, enter, go, never, run, unwitness};
pub use self::output::{
    AnyChildFailure, AnyFailure, AnyOutput, ErrorChildFailure, ErrorFailure, Fails, Fallible, OpaqueOutput,
    Output, ResultOutput, retryable,
};
pub use crate::block::{
    BlockCode, Captured, CapturedVariable, Captures, Code, CodeSlot, OwnedCapture, ReferenceCaptured,
    ValueCaptured,
};
pub use crate::child::AwaitedChild;
pub use crate::context::Saver;
pub use crate::engine::Entry;
pub use crate::halt::Halt;
pub use crate::join::{join, select, try_join};
pub use crate::operation::{Description, Operation, Parking};
pub use crate::task::StateRequirement;
pub use crate::task_context::Extract;

pub(crate) use self::machine::unboxed;
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

/// Generated code for `publish!`.
pub fn publish<T: Serialize + ?Sized>(context: &mut crate::WorkflowContext, name: &str, value: &T) {
    context.publish(name, codec::encode(value));
}
