//! The arguments of tasks and workflows, as the stored input holds them.
//!
//! The derived serde implementations of an input go through this trait, so that an argument that cannot be stored is one
//! error on the parameter's type, and not one per place where serde uses it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Durable;

/// A type that can be an argument of a task or workflow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument here: it cannot be stored",
    label = "the input of a task or workflow is stored before it runs",
    note = "an argument's type must implement serde's `Serialize` and `Deserialize`, be `Send`, and borrow nothing: derive them for your own types",
    note = "a client, a pool or a handle is no argument but a dependency: let the task take it as `State(x): State<T>`"
)]
pub trait Argument: Sized {
    /// Writes an argument.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn store<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Writes an argument that the call borrows.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn store_borrowed<S: Serializer>(value: &&Self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads an argument.
    ///
    /// # Errors
    /// When the stored value does not fit.
    fn load<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// Writes arguments that the call borrows as a slice.
    ///
    /// # Errors
    /// When they cannot be encoded.
    fn store_slice<S: Serializer>(values: &&[Self], serializer: S) -> Result<S::Ok, S::Error>;

    /// Writes the arguments of a slice.
    ///
    /// # Errors
    /// When they cannot be encoded.
    fn store_vec<S: Serializer>(values: &[Self], serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads the arguments of a slice.
    ///
    /// # Errors
    /// When the stored value does not fit.
    fn load_vec<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Self>, D::Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Durable> Argument for T {
    fn store<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn store_borrowed<S: Serializer>(value: &&Self, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn load<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer)
    }

    fn store_slice<S: Serializer>(values: &&[Self], serializer: S) -> Result<S::Ok, S::Error> {
        Self::store_vec(values, serializer)
    }

    fn store_vec<S: Serializer>(values: &[Self], serializer: S) -> Result<S::Ok, S::Error> {
        values.serialize(serializer)
    }

    fn load_vec<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Self>, D::Error> {
        Vec::deserialize(deserializer)
    }
}
