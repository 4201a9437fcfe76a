//! The arguments of tasks and workflows, as the stored input holds them.
//!
//! The code that reads and writes an input goes through this trait, on the token of the parameter's type, so that an
//! argument that cannot be stored is one error there.

use serde::de::MapAccess;
use serde::ser::SerializeStruct;

use crate::Durable;

/// A type that can be an argument of a task or workflow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument here: it cannot be stored",
    label = "the input of a task or workflow is stored before it runs",
    note = "an argument's type must implement serde's `Serialize` and `Deserialize`, be `Send`, and borrow nothing: derive them for your own types",
    note = "a client, a pool or a handle is no argument but a dependency: let the task take it as `State(x): State<T>`"
)]
pub trait Argument: Sized {
    /// Writes an argument as a field of the input.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn write<F: SerializeStruct>(value: &Self, fields: &mut F, name: &'static str) -> Result<(), F::Error>;

    /// Writes arguments that are given as a slice.
    ///
    /// # Errors
    /// When they cannot be encoded.
    fn write_slice<F: SerializeStruct>(
        values: &[Self],
        fields: &mut F,
        name: &'static str,
    ) -> Result<(), F::Error>;

    /// Reads an argument.
    ///
    /// # Errors
    /// When the stored value does not fit.
    fn read<'de, A: MapAccess<'de>>(from: &mut A) -> Result<Self, A::Error>;

    /// Reads the arguments of a slice.
    ///
    /// # Errors
    /// When the stored value does not fit.
    fn read_slice<'de, A: MapAccess<'de>>(from: &mut A) -> Result<Vec<Self>, A::Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Durable> Argument for T {
    fn write<F: SerializeStruct>(value: &Self, fields: &mut F, name: &'static str) -> Result<(), F::Error> {
        fields.serialize_field(name, value)
    }

    fn write_slice<F: SerializeStruct>(
        values: &[Self],
        fields: &mut F,
        name: &'static str,
    ) -> Result<(), F::Error> {
        fields.serialize_field(name, values)
    }

    fn read<'de, A: MapAccess<'de>>(from: &mut A) -> Result<Self, A::Error> {
        from.next_value()
    }

    fn read_slice<'de, A: MapAccess<'de>>(from: &mut A) -> Result<Vec<Self>, A::Error> {
        from.next_value()
    }
}
