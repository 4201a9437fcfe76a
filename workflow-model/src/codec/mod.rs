//! The value format.

mod access;
mod de;
mod error;
mod json;
mod names;
mod ser;
mod tag;

use serde::{Deserialize, Serialize};

pub use error::{Error, ErrorKind};
pub use json::{from_json, to_json};

/// How many levels deep a value may be nested.
///
/// Every sequence, map, struct, `Some`, newtype struct and enum variant with data is a level.
pub const MAX_DEPTH: u32 = 128;

/// Encodes a value.
///
/// # Errors
///
/// If the value is nested deeper than [`MAX_DEPTH`], or its `Serialize` implementation fails.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(64);
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Encodes a value at the end of a buffer. On error the buffer is as it was.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    out.push(tag::FORMAT);
    let mut serializer = ser::Serializer::new(out);
    let result = value
        .serialize(&mut serializer)
        .and_then(|()| serializer.finish());
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Decodes a value, which may borrow strings and bytes from the input.
///
/// # Errors
///
/// If the bytes are not exactly one value, or the value is not one of `T`.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut deserializer = de::Deserializer::new(bytes)?;
    let value = T::deserialize(&mut deserializer).map_err(|error| error.at(1))?;
    deserializer.finish()?;
    Ok(value)
}
