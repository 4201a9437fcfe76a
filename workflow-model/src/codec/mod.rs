//! The format in which inputs, outputs and live variables are stored.
//!
//! [`encode`] and [`decode`] work for every type that implements serde's traits. The format is compact, describes
//! itself, and is lossless for everything that serde can express: nested options, units, 128-bit integers, characters,
//! floating point numbers to the bit, byte strings, maps with keys of any type. Structs are stored by the names of their
//! fields and enums by the names of their variants, each name once per value.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use workflow_model::codec;
//!
//! #[derive(Serialize)]
//! struct Charge { order: u64, cents: u32, note: &'static str }
//!
//! /// A later version: one field fewer, one more, in another order, one wider.
//! #[derive(Debug, PartialEq, Deserialize)]
//! struct NewCharge { cents: i64, order: u64, #[serde(default)] currency: Option<String> }
//!
//! let bytes = codec::encode(&Charge { order: 7, cents: 1_250, note: "gift" })?;
//! let charge: NewCharge = codec::decode(&bytes)?;
//! assert_eq!(charge, NewCharge { cents: 1_250, order: 7, currency: None });
//! assert_eq!(codec::to_json(&bytes)?.to_string(), r#"{"cents":1250,"note":"gift","order":7}"#);
//! # Ok::<(), codec::Error>(())
//! ```
//!
//! # Format
//!
//! A *value* is the format tag, the byte `0xD1`, followed by one *node* and nothing else. A node is a tag byte and what
//! the tag announces. Nodes have no padding and no terminators; all counts come first.
//!
//! | tag | node | what follows |
//! |---|---|---|
//! | `0x00..=0x7F` | integer 0 to 127: the tag itself | |
//! | `0x80..=0xBF` | string of `tag & 0x3F` bytes | UTF-8 |
//! | `0xC0..=0xCF` | struct of `tag & 0x0F` fields | for each: name, node |
//! | `0xD0..=0xDF` | sequence of `tag & 0x0F` elements | nodes |
//! | `0xE0` | none | |
//! | `0xE1` | some | node |
//! | `0xE2` | unit, unit struct | |
//! | `0xE3`, `0xE4` | false, true | |
//! | `0xE5` | integer 0 to 255 | one byte |
//! | `0xE6` | integer *n* | varint *n*, up to 128 bits |
//! | `0xE7` | integer −1 − *n* | varint *n*, up to 127 bits |
//! | `0xE8` | `f32` | its bits, 4 bytes, least significant first |
//! | `0xE9` | `f64` | its bits, 8 bytes, least significant first |
//! | `0xEA` | character | varint: the Unicode scalar value |
//! | `0xEB` | string | varint length, UTF-8 |
//! | `0xEC` | bytes | varint length, bytes |
//! | `0xED` | sequence | varint count, nodes |
//! | `0xEE` | packed sequence of integers 0 to 255 | varint count, one byte each |
//! | `0xEF` | map | varint count, for each entry: key node, value node |
//! | `0xF0` | struct | varint count, for each field: name, node |
//! | `0xF1` | unit variant of an enum | name |
//! | `0xF2` | variant with data | name, node |
//! | `0xF3..=0xFF` | not assigned: an error | |
//!
//! A **varint** holds seven bits per byte, least significant first; the top bit of every byte but the last is set.
//!
//! A **name** (of a field or a variant) starts with a varint *v*. If *v* is odd, `v >> 1` bytes of UTF-8 follow; they get
//! the next number, counted from 0 within the value. If *v* is even, it is the name with the number `v >> 1`, which an
//! earlier node defined. A decoder that skips a node must still number the names in it.
//!
//! **Sequences** hold serde's sequences, tuples, tuple structs and the data of tuple variants. The data of a newtype
//! variant is its content, that of a struct variant is a struct. A newtype struct is stored as its content alone.
//!
//! **Canonical form.** Equal input gives equal bytes. The encoder uses the shortest form of every integer and header;
//! packs exactly the sequences of at least 16 elements whose elements are all integers from 0 to 255; gives a name a
//! number once per value, by its text. It does not sort: a `HashMap` is written in the order in which it iterates. A
//! decoder accepts every form that is described here, shortest or not.
//!
//! # What a type may be decoded from
//!
//! Besides what its own encoding is:
//!
//! - *integers*: an integer of any width that fits the type, otherwise the error names the number and the type; a
//!   128-bit integer also from a decimal string; a floating point number from an integer, from the other width, and
//!   from the strings `"NaN"`, `"Infinity"`, `"-Infinity"`;
//! - *`Option<T>`*: a `T`, which becomes `Some`; and a `T` from a `Some`, so that an option may be added and removed;
//! - *structs*: fields in any order, without the unknown ones and with `#[serde(default)]` for the missing ones; a map
//!   with string keys; a sequence of the fields by position; a unit, which has no fields. A unit struct from any struct;
//! - *enums*: a unit variant from a string, from data that is a unit or none; a variant with data from a map with the
//!   variant's name as its only key; a struct variant from a unit variant, which has no fields;
//! - *sequences, tuples and bytes*: each other, and for bytes a string. All elements must be read: a tuple of two cannot
//!   be decoded from three;
//! - *maps*: a struct; a sequence of pairs. A number or boolean key from a string that shows it;
//! - *strings and characters*: each other; a string from a unit variant;
//! - *units*: none.
//!
//! One limit is serde's, not the format's: what serde buffers (`flatten`, `untagged`, internally tagged enums, the content
//! of an adjacently tagged enum before its tag) cannot hold an integer that needs more than 64 bits.
//!
//! # Limits
//!
//! A value is nested at most [`MAX_DEPTH`] levels deep, or `encode` fails. `decode` allows 32 levels more, for wrappers
//! that the type has gained since. Every length is checked against the rest of the input before it is used, so memory
//! is bounded by the input's length times the size of the elements that it is decoded to.

/// `?` without a conversion of the error: in generic code that is much less to compile.
macro_rules! tri {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Err(error),
        }
    };
}

mod access;
mod de;
mod error;
mod json;
mod names;
mod read;
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
    let mut serializer = ser::Serializer::new(out);
    let result = value.serialize(&mut serializer);
    serializer.finish(start, result)
}

/// Decodes a value, which may borrow strings and bytes from the input.
///
/// # Errors
///
/// If the bytes are not exactly one value, or the value is not one of `T`.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut deserializer = tri!(read::Deserializer::new(bytes));
    match T::deserialize(&mut deserializer) {
        Ok(value) => {
            tri!(deserializer.finish());
            Ok(value)
        }
        Err(error) => Err(error.at(1)),
    }
}
