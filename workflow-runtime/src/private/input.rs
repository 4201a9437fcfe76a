//! The inputs of tasks and workflows, as they are stored: structs that are read and written by the names of their fields.
//!
//! Derived serde implementations do the same and more (fields by position, a type per field); written out for each task they
//! were most of what a task costs to compile. Here the code is shared, and generated code holds one call per field.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeStruct, Serializer};

/// A struct of arguments.
pub trait Input: Sized {
    /// The struct's name.
    const NAME: &'static str;
    /// The names of its fields.
    const FIELDS: &'static [&'static str];
    /// The fields that have been read.
    type Slots;
    /// None of the fields.
    fn slots() -> Self::Slots;
    /// Writes all fields.
    ///
    /// # Errors
    /// When one cannot be encoded.
    fn write<F: SerializeStruct>(&self, fields: &mut F) -> Result<(), F::Error>;
    /// Reads the field of this number; says whether it had been read before.
    ///
    /// # Errors
    /// When the stored value does not fit.
    fn read<'de, A: MapAccess<'de>>(
        slots: &mut Self::Slots,
        field: usize,
        from: &mut A,
    ) -> Result<bool, A::Error>;
    /// The struct of the fields that were read.
    ///
    /// # Errors
    /// The number of a field that is missing.
    fn complete(slots: Self::Slots) -> Result<Self, usize>;
}

/// Writes an input.
///
/// # Errors
/// When a field cannot be encoded.
pub fn write_input<T: Input, S: Serializer>(input: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct(T::NAME, T::FIELDS.len())?;
    input.write(&mut fields)?;
    fields.end()
}

/// Reads an input.
///
/// # Errors
/// When a field is missing or does not fit.
pub fn read_input<'de, T: Input, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_struct(T::NAME, T::FIELDS, InputVisitor(PhantomData))
}

struct InputVisitor<T>(PhantomData<T>);

impl<'de, T: Input> Visitor<'de> for InputVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the arguments of `{}` by name", T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut slots = T::slots();
        loop {
            // One `?` for all: each is much to compile for each input.
            let read = match map.next_key_seed(FieldName(T::FIELDS)) {
                Ok(None) => return complete(slots),
                Ok(Some(None)) => map.next_value().map(|IgnoredAny| false),
                Ok(Some(Some(field))) => match T::read(&mut slots, field, &mut map) {
                    Ok(true) => Err(de::Error::duplicate_field(name(T::FIELDS, field))),
                    read => read,
                },
                Err(error) => Err(error),
            };
            read?;
        }
    }

    /// A unit has no fields, as for any struct.
    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        complete(T::slots())
    }
}

fn complete<T: Input, E: de::Error>(slots: T::Slots) -> Result<T, E> {
    match T::complete(slots) {
        Ok(input) => Ok(input),
        Err(field) => Err(de::Error::missing_field(name(T::FIELDS, field))),
    }
}

fn name(fields: &'static [&'static str], field: usize) -> &'static str {
    fields.get(field).copied().unwrap_or_default()
}

/// Finds the number of a field by its name; `None` for a name that the struct does not have.
struct FieldName(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of an argument")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|field| *field == name))
    }

    fn visit_bytes<E: de::Error>(self, name: &[u8]) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|field| field.as_bytes() == name))
    }
}
