//! The decoder: a `serde::Deserializer` over a byte slice that borrows strings and bytes from it.
//!
//! Invariants: no input makes it panic, recurse deeper than `DECODE_DEPTH`, or allocate more than a small multiple of
//! the input; every call that does not consume a byte (an added `Option`, a newtype) still counts as a level, so that a
//! recursive type cannot loop on one byte.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, SeqAccess, Unexpected, Visitor};

use super::access::{Elements, Entries, Fields, PackedElements, Pairs, SingleEntry, StoredVariant};
use super::error::{Error, ErrorKind};
use super::read::Deserializer;
use super::tag;

impl<'de> Deserializer<'de> {
    /// Reads an integer of any width; `None` if the tag is not that of one.
    #[inline]
    fn integer<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<Result<V::Value, V>, Error> {
        match tag {
            0x00..=0x7F => visitor.visit_u64(u64::from(tag)),
            tag::BYTE => {
                let value = self.byte("an integer")?;
                visitor.visit_u64(u64::from(value))
            }
            tag::INTEGER => {
                let value = self.varint_128()?;
                match u64::try_from(value) {
                    Ok(value) => visitor.visit_u64(value),
                    Err(_) => visitor.visit_u128(value),
                }
            }
            tag::NEGATIVE => {
                let value = match i128::try_from(self.varint_128()?) {
                    Ok(value) => !value,
                    Err(_) => return Err(self.error(ErrorKind::NumberTooLarge { limit: "i128" })),
                };
                match i64::try_from(value) {
                    Ok(value) => visitor.visit_i64(value),
                    Err(_) => visitor.visit_i128(value),
                }
            }
            _ => return Ok(Err(visitor)),
        }
        .map(Ok)
    }

    fn visit_elements<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.nested(|input| {
            let mut elements = Elements::new(input, count);
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish()?;
            Ok(value)
        })
    }

    fn visit_packed<V: Visitor<'de>>(&mut self, bytes: &'de [u8], visitor: V) -> Result<V::Value, Error> {
        self.nested(|input| {
            let mut elements = PackedElements::new(input, bytes);
            let value = visitor.visit_seq(&mut elements)?;
            elements.finish()?;
            Ok(value)
        })
    }

    #[inline]
    fn visit_fields<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.nested(|input| {
            let mut fields = Fields::new(input, count);
            let value = visitor.visit_map(&mut fields)?;
            fields.finish()?;
            Ok(value)
        })
    }

    fn visit_entries<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let count = self.length("a map", 2)?;
        self.nested(|input| {
            let mut entries = Entries::new(input, count);
            let value = visitor.visit_map(&mut entries)?;
            entries.finish()?;
            Ok(value)
        })
    }

    fn visit_pairs<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.nested(|input| {
            let mut pairs = Pairs::new(input, count);
            let value = visitor.visit_map(&mut pairs)?;
            pairs.finish()?;
            Ok(value)
        })
    }

    fn visit_any<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, Error> {
        match tag {
            0x00..=0x7F | tag::BYTE | tag::INTEGER | tag::NEGATIVE => match self.integer(tag, visitor)? {
                Ok(value) => Ok(value),
                Err(visitor) => Err(self.mismatch(tag, &visitor)),
            },
            0x80..=0xBF | tag::STRING => match self.string(tag)? {
                Some(text) => visitor.visit_borrowed_str(text),
                None => Err(self.mismatch(tag, &visitor)),
            },
            0xC0..=0xCF | tag::STRUCT => {
                let count = self.struct_length(tag)?.unwrap_or(0);
                self.visit_fields(count, visitor)
            }
            0xD0..=0xDF | tag::SEQUENCE => {
                let count = self.sequence_length(tag)?.unwrap_or(0);
                self.visit_elements(count, visitor)
            }
            tag::NONE => visitor.visit_none(),
            tag::SOME => self.nested(|input| visitor.visit_some(input)),
            tag::UNIT => visitor.visit_unit(),
            tag::FALSE => visitor.visit_bool(false),
            tag::TRUE => visitor.visit_bool(true),
            tag::F32 => visitor.visit_f32(self.f32()?),
            tag::F64 => visitor.visit_f64(self.f64()?),
            tag::CHAR => visitor.visit_char(self.character()?),
            tag::BYTES => visitor.visit_borrowed_bytes(self.bytes("bytes")?),
            tag::PACKED => {
                let bytes = self.bytes("a packed sequence")?;
                self.visit_packed(bytes, visitor)
            }
            tag::MAP => self.visit_entries(visitor),
            tag::UNIT_VARIANT => visitor.visit_borrowed_str(self.name()?),
            tag::VARIANT => {
                let variant = self.name()?;
                self.nested(|input| {
                    let mut entry = SingleEntry::new(input, variant);
                    let value = visitor.visit_map(&mut entry)?;
                    entry.finish()?;
                    Ok(value)
                })
            }
            tag => Err(self.error(ErrorKind::UnknownTag { tag })),
        }
    }

    /// An integer or floating point number.
    #[inline]
    fn visit_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        self.visit_number_of(tag, visitor)
    }

    #[inline]
    fn visit_number_of<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, Error> {
        match self.integer(tag, visitor)? {
            Ok(value) => Ok(value),
            Err(visitor) => match tag {
                tag::F32 => visitor.visit_f32(self.f32()?),
                tag::F64 => visitor.visit_f64(self.f64()?),
                tag => Err(self.mismatch(tag, &visitor)),
            },
        }
    }

    fn visit_float<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        match self.string(tag)? {
            None => self.visit_number_of(tag, visitor),
            Some("NaN") => visitor.visit_f64(f64::NAN),
            Some("Infinity") => visitor.visit_f64(f64::INFINITY),
            Some("-Infinity") => visitor.visit_f64(f64::NEG_INFINITY),
            Some(text) => Err(de::Error::invalid_type(Unexpected::Str(text), &visitor)),
        }
    }

    /// The value of an enum whose tag has been read.
    fn visit_variant<V: Visitor<'de>>(&mut self, tag: u8, visitor: V) -> Result<V::Value, Error> {
        let (name, has_payload) = match tag {
            0x80..=0xBF | tag::STRING => (self.string(tag)?, false),
            tag::UNIT_VARIANT => (Some(self.name()?), false),
            tag::VARIANT => (Some(self.name()?), true),
            tag::MAP => match self.length("a map", 2)? {
                1 => (self.next_string()?, true),
                _ => (None, true),
            },
            0xC0..=0xCF | tag::STRUCT => match self.struct_length(tag)? {
                Some(1) => (Some(self.name()?), true),
                _ => (None, true),
            },
            _ => (None, false),
        };
        match name {
            Some(name) if has_payload => {
                self.nested(|input| visitor.visit_enum(StoredVariant::with_payload(name, input)))
            }
            Some(name) => visitor.visit_enum(StoredVariant::unit(name, self)),
            None => Err(self.mismatch(tag, &visitor)),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.visit_number(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = Error;

    numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.byte("a value")?;
        self.visit_any(tag, visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        match self.string(tag)? {
            None => self.visit_number_of(tag, visitor),
            Some(text) => match text.parse() {
                Ok(value) => visitor.visit_u128(value),
                Err(_) => Err(de::Error::invalid_type(Unexpected::Str(text), &visitor)),
            },
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        match self.string(tag)? {
            None => self.visit_number_of(tag, visitor),
            Some(text) => match text.parse() {
                Ok(value) => visitor.visit_i128(value),
                Err(_) => Err(de::Error::invalid_type(Unexpected::Str(text), &visitor)),
            },
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_float(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_float(visitor)
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tag()? {
            tag::FALSE => visitor.visit_bool(false),
            tag::TRUE => visitor.visit_bool(true),
            tag => Err(self.mismatch(tag, &visitor)),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        if let Some(text) = self.string(tag)? {
            return visitor.visit_borrowed_str(text);
        }
        match tag {
            tag::CHAR => visitor.visit_char(self.character()?),
            tag::UNIT_VARIANT => visitor.visit_borrowed_str(self.name()?),
            tag::BYTES => visitor.visit_borrowed_bytes(self.bytes("bytes")?),
            tag => Err(self.mismatch(tag, &visitor)),
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    /// A field or variant name that was stored as a value: a key of a map.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.byte("a value")?;
        self.visit_any(tag, visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tag()? {
            tag::BYTES | tag::PACKED => visitor.visit_borrowed_bytes(self.bytes("bytes")?),
            tag @ (0x80..=0xBF | tag::STRING) => self.visit_any(tag, visitor),
            tag => match self.sequence_length(tag)? {
                Some(count) => visitor.visit_byte_buf(self.visit_elements(count, ByteSequence)?),
                None => Err(self.mismatch(tag, &visitor)),
            },
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek()? {
            tag::NONE => {
                self.byte("a value")?;
                visitor.visit_none()
            }
            tag::SOME => {
                self.byte("a value")?;
                self.nested(|input| visitor.visit_some(input))
            }
            _ => self.nested(|input| visitor.visit_some(input)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tag()? {
            tag::UNIT | tag::NONE => visitor.visit_unit(),
            tag => Err(self.mismatch(tag, &visitor)),
        }
    }

    /// A struct that has lost its fields is a unit struct.
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.peek()? {
            0xC0..=0xCF | tag::STRUCT | tag::MAP => {
                self.skip()?;
                visitor.visit_unit()
            }
            _ => self.deserialize_unit(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.nested(|input| visitor.visit_newtype_struct(input))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        if let Some(count) = self.sequence_length(tag)? {
            return self.visit_elements(count, visitor);
        }
        match tag {
            tag::PACKED | tag::BYTES => {
                let bytes = self.bytes("a packed sequence")?;
                self.visit_packed(bytes, visitor)
            }
            tag => Err(self.mismatch(tag, &visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    /// Accepts a sequence of pairs too: that is how [`to_json`](super::to_json) shows a map with compound keys.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        if tag == tag::MAP {
            return self.visit_entries(visitor);
        }
        if let Some(count) = self.struct_length(tag)? {
            return self.visit_fields(count, visitor);
        }
        match self.sequence_length(tag)? {
            Some(count) => self.visit_pairs(count, visitor),
            None => Err(self.mismatch(tag, &visitor)),
        }
    }

    /// Accepts a map, a sequence (by position) and a unit (a unit struct that has gained fields) too.
    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        if let Some(count) = self.struct_length(tag)? {
            return self.visit_fields(count, visitor);
        }
        match tag {
            tag::MAP => self.visit_entries(visitor),
            tag::UNIT => self.visit_fields(0, visitor),
            tag => match self.sequence_length(tag)? {
                Some(count) => self.visit_elements(count, visitor),
                None => Err(self.mismatch(tag, &visitor)),
            },
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let tag = self.tag()?;
        self.visit_variant(tag, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A field or variant name as serde reads it.
#[inline]
pub(super) fn read_name<'de, S: DeserializeSeed<'de>>(name: &'de str, seed: S) -> Result<S::Value, Error> {
    seed.deserialize(BorrowedStrDeserializer::new(name))
}

/// A sequence that was too short to be packed, where bytes are expected.
struct ByteSequence;

impl<'de> Visitor<'de> for ByteSequence {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<u8>, A::Error> {
        std::iter::from_fn(|| elements.next_element().transpose()).collect()
    }
}
