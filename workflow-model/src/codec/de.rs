//! The decoder: a `serde::Deserializer` over a byte slice that borrows strings and bytes from it.
//!
//! Invariants: no input makes it panic, recurse deeper than `DECODE_DEPTH`, or allocate more than a small multiple of
//! the input; every call that does not consume a byte (an added `Option`, a newtype) still counts as a level, so that a
//! recursive type cannot loop on one byte.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Expected, SeqAccess, Unexpected, Visitor};

use super::MAX_DEPTH;
use super::access::{Elements, Entries, Fields, PackedElements, Pairs, SingleEntry, StoredVariant};
use super::error::{Error, ErrorKind};
use super::names::NameList;
use super::tag;

/// The wrappers that newer code may add around a stored value are levels too.
const DECODE_DEPTH: u32 = MAX_DEPTH + 32;

pub(super) struct Deserializer<'de> {
    input: &'de [u8],
    position: usize,
    names: NameList<'de>,
    depth: u32,
}

impl<'de> Deserializer<'de> {
    /// Checks the format tag.
    pub(super) fn new(input: &'de [u8]) -> Result<Self, Error> {
        match input.first() {
            Some(&tag::FORMAT) => Ok(Self {
                input,
                position: 1,
                names: NameList::new(),
                depth: 0,
            }),
            Some(&found) => Err(Error::new(ErrorKind::UnknownFormat { found }).at(0)),
            None => Err(Error::new(ErrorKind::UnexpectedEnd {
                expected: "a format tag",
            })
            .at(0)),
        }
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(Error::new(ErrorKind::TrailingBytes { count }).at(self.position)),
        }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    #[inline]
    fn remaining(&self) -> usize {
        self.input.len() - self.position
    }

    #[cold]
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind).at(self.position)
    }

    #[cold]
    fn end(&self, expected: &'static str) -> Error {
        self.error(ErrorKind::UnexpectedEnd { expected })
    }

    #[inline]
    fn byte(&mut self, expected: &'static str) -> Result<u8, Error> {
        match self.input.get(self.position) {
            Some(&byte) => {
                self.position += 1;
                Ok(byte)
            }
            None => Err(self.end(expected)),
        }
    }

    #[inline]
    fn peek(&self) -> Result<u8, Error> {
        self.input
            .get(self.position)
            .copied()
            .ok_or_else(|| self.end("a value"))
    }

    #[inline]
    fn take(&mut self, length: usize, expected: &'static str) -> Result<&'de [u8], Error> {
        let rest = self.input.get(self.position..).unwrap_or_default();
        match rest.get(..length) {
            Some(taken) => {
                self.position += length;
                Ok(taken)
            }
            None => Err(self.end(expected)),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Error> {
        let first = self.byte("a number")?;
        if first < 0x80 {
            Ok(u64::from(first))
        } else {
            self.long_varint(first)
        }
    }

    fn long_varint(&mut self, first: u8) -> Result<u64, Error> {
        self.varint_128_after(first)?
            .try_into()
            .map_err(|_| self.error(ErrorKind::NumberTooLarge { limit: "u64" }))
    }

    #[inline]
    fn varint_128(&mut self) -> Result<u128, Error> {
        let first = self.byte("a number")?;
        self.varint_128_after(first)
    }

    #[inline]
    fn varint_128_after(&mut self, first: u8) -> Result<u128, Error> {
        let mut value = u64::from(first & 0x7F);
        let mut shift = 0;
        let mut byte = first;
        while byte >= 0x80 {
            shift += 7;
            if shift == 63 {
                return self.varint_128_beyond(value);
            }
            byte = self.byte("the rest of a number")?;
            value |= u64::from(byte & 0x7F) << shift;
        }
        Ok(value.into())
    }

    /// Continues after the first nine bytes, which hold 63 bits.
    fn varint_128_beyond(&mut self, low: u64) -> Result<u128, Error> {
        let mut value = u128::from(low);
        for shift in (63..128).step_by(7) {
            let byte = self.byte("the rest of a number")?;
            let bits = u128::from(byte & 0x7F);
            // The nineteenth byte holds the topmost two bits.
            if shift == 126 && bits > 0b11 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(ErrorKind::NumberTooLarge { limit: "u128" }))
    }

    /// A count of items of at least `size` bytes each, which the rest of the input can hold.
    #[inline]
    fn length(&mut self, what: &'static str, size: usize) -> Result<usize, Error> {
        let claimed = self.varint()?;
        self.check_length(claimed, what, size)
    }

    #[inline]
    fn check_length(&self, claimed: u64, what: &'static str, size: usize) -> Result<usize, Error> {
        match usize::try_from(claimed) {
            Ok(length) if length <= self.remaining() / size => Ok(length),
            _ => Err(self.error(ErrorKind::LengthBeyondInput {
                what,
                claimed,
                remaining: self.remaining(),
            })),
        }
    }

    #[inline]
    fn text(&mut self, length: usize, what: &'static str) -> Result<&'de str, Error> {
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| self.error(ErrorKind::InvalidUtf8 { what }))
    }

    #[inline]
    pub(super) fn name(&mut self) -> Result<&'de str, Error> {
        let header = self.varint()?;
        if header & 1 == 0 {
            let known = self.names.len();
            let number = usize::try_from(header >> 1)
                .ok()
                .and_then(|number| self.names.get(number));
            number.ok_or_else(|| {
                self.error(ErrorKind::UnknownName {
                    index: header >> 1,
                    known,
                })
            })
        } else {
            let length = self.check_length(header >> 1, "a name", 1)?;
            let name = self.text(length, "a name")?;
            self.names.push(name);
            Ok(name)
        }
    }

    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        if self.depth >= DECODE_DEPTH {
            return Err(self.error(ErrorKind::TooDeep { limit: DECODE_DEPTH }));
        }
        self.depth += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.enter()?;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// The header of a pair: a sequence of two elements.
    pub(super) fn pair(&mut self) -> Result<(), Error> {
        let start = self.position;
        let tag = self.tag()?;
        match self.sequence_length(tag)? {
            Some(2) => Ok(()),
            Some(count) => Err(Error::new(ErrorKind::LengthMismatch { read: 2, count }).at(start)),
            None => Err(self.mismatch(tag, &"a pair of a key and a value").at(start)),
        }
    }

    /// The next tag of a value that may have been stored as `Some` of it.
    #[inline]
    fn tag(&mut self) -> Result<u8, Error> {
        loop {
            match self.byte("a value")? {
                tag::SOME => {}
                tag => return Ok(tag),
            }
        }
    }

    /// The string, if the tag is that of one.
    #[inline]
    fn string(&mut self, tag: u8) -> Result<Option<&'de str>, Error> {
        let length = match tag {
            0x80..=0xBF => usize::from(tag) & tag::INLINE_STRING_MAX,
            tag::STRING => self.length("a string", 1)?,
            _ => return Ok(None),
        };
        self.text(length, "a string").map(Some)
    }

    pub(super) fn string_is_next(&self) -> Result<bool, Error> {
        Ok(matches!(self.peek()?, 0x80..=0xBF | tag::STRING))
    }

    /// The string that comes next, if one does; consumes nothing otherwise.
    pub(super) fn next_string(&mut self) -> Result<Option<&'de str>, Error> {
        if !self.string_is_next()? {
            return Ok(None);
        }
        let tag = self.byte("a string")?;
        self.string(tag)
    }

    fn bytes(&mut self, what: &'static str) -> Result<&'de [u8], Error> {
        let length = self.length(what, 1)?;
        self.take(length, what)
    }

    fn character(&mut self) -> Result<char, Error> {
        let code = self.varint()?;
        u32::try_from(code)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| self.error(ErrorKind::InvalidCharacter { code }))
    }

    fn f32(&mut self) -> Result<f32, Error> {
        let bytes = self.take(4, "four bytes of a number")?;
        Ok(f32::from_bits(
            bytes
                .iter()
                .rev()
                .fold(0, |bits, &byte| bits << 8 | u32::from(byte)),
        ))
    }

    fn f64(&mut self) -> Result<f64, Error> {
        let bytes = self.take(8, "eight bytes of a number")?;
        Ok(f64::from_bits(
            bytes
                .iter()
                .rev()
                .fold(0, |bits, &byte| bits << 8 | u64::from(byte)),
        ))
    }

    #[inline]
    fn sequence_length(&mut self, tag: u8) -> Result<Option<usize>, Error> {
        match tag {
            0xD0..=0xDF => self
                .check_length(u64::from(tag & 0x0F), "a sequence", 1)
                .map(Some),
            tag::SEQUENCE => self.length("a sequence", 1).map(Some),
            _ => Ok(None),
        }
    }

    #[inline]
    fn struct_length(&mut self, tag: u8) -> Result<Option<usize>, Error> {
        match tag {
            0xC0..=0xCF => self.check_length(u64::from(tag & 0x0F), "a struct", 2).map(Some),
            tag::STRUCT => self.length("a struct", 2).map(Some),
            _ => Ok(None),
        }
    }

    /// The error that a value of this tag is not what the visitor takes; shows the value if it is a scalar.
    #[cold]
    fn mismatch(&mut self, tag: u8, expected: &dyn Expected) -> Error {
        fn build(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Error {
            de::Error::invalid_type(unexpected, expected)
        }
        match self.unexpected(tag) {
            Ok(Cow::Borrowed(text)) => build(Unexpected::Str(text), expected),
            Ok(Cow::Owned(text)) => build(Unexpected::Other(&text), expected),
            Err(error) => error,
        }
    }

    /// A borrowed string is a stored string; an owned one describes any other value.
    fn unexpected(&mut self, tag: u8) -> Result<Cow<'de, str>, Error> {
        if let Some(text) = self.string(tag)? {
            return Ok(Cow::Borrowed(text));
        }
        let description = match tag {
            0x00..=0x7F => format!("integer `{tag}`"),
            tag::BYTE => format!("integer `{}`", self.byte("an integer")?),
            tag::INTEGER => format!("integer `{}`", self.varint_128()?),
            tag::NEGATIVE => match i128::try_from(self.varint_128()?) {
                Ok(value) => format!("integer `{}`", !value),
                Err(_) => return Err(self.error(ErrorKind::NumberTooLarge { limit: "i128" })),
            },
            tag::FALSE => "boolean `false`".to_owned(),
            tag::TRUE => "boolean `true`".to_owned(),
            tag::F32 => format!("floating point `{}`", self.f32()?),
            tag::F64 => format!("floating point `{}`", self.f64()?),
            tag::CHAR => format!("character `{}`", self.character()?),
            tag::UNIT_VARIANT | tag::VARIANT => format!("enum variant `{}`", self.name()?),
            tag::NONE => "an absent option".to_owned(),
            tag if tag > tag::VARIANT => return Err(self.error(ErrorKind::UnknownTag { tag })),
            tag => tag::describe(tag)
                .trim_start_matches("a ")
                .trim_start_matches("an ")
                .to_owned(),
        };
        Ok(Cow::Owned(description))
    }

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

    /// Reads past a value. Names are still defined by it.
    pub(super) fn skip(&mut self) -> Result<(), Error> {
        match self.byte("a value")? {
            0x00..=0x7F | tag::NONE | tag::UNIT | tag::FALSE | tag::TRUE => Ok(()),
            tag @ (0x80..=0xBF | tag::STRING) => self.string(tag).map(drop),
            tag @ (0xC0..=0xCF | tag::STRUCT) => {
                let count = self.struct_length(tag)?.unwrap_or(0);
                self.nested(|input| {
                    (0..count).try_for_each(|_| {
                        input.name()?;
                        input.skip()
                    })
                })
            }
            tag @ (0xD0..=0xDF | tag::SEQUENCE) => {
                let count = self.sequence_length(tag)?.unwrap_or(0);
                self.nested(|input| (0..count).try_for_each(|_| input.skip()))
            }
            tag::SOME => self.nested(Self::skip),
            tag::BYTE => self.byte("an integer").map(drop),
            tag::INTEGER | tag::NEGATIVE => self.varint_128().map(drop),
            tag::F32 => self.f32().map(drop),
            tag::F64 => self.f64().map(drop),
            tag::CHAR => self.character().map(drop),
            tag::BYTES | tag::PACKED => self.bytes("bytes").map(drop),
            tag::MAP => {
                let count = self.length("a map", 2)?;
                self.nested(|input| {
                    (0..count).try_for_each(|_| {
                        input.skip()?;
                        input.skip()
                    })
                })
            }
            tag::UNIT_VARIANT => self.name().map(drop),
            tag::VARIANT => {
                self.name()?;
                self.nested(Self::skip)
            }
            tag => Err(self.error(ErrorKind::UnknownTag { tag })),
        }
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

    /// A field or variant name that was stored as a value: a key of a map. Numbers select by position, as serde does.
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
                self.position += 1;
                visitor.visit_none()
            }
            tag::SOME => {
                self.position += 1;
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
