//! The decoder: a `serde::Deserializer` over a byte slice that borrows strings and bytes from it.
//!
//! Invariants: no input makes it panic, recurse deeper than `DECODE_DEPTH`, or allocate more than a small multiple of
//! the input; every call that does not consume a byte (an added `Option`, a newtype) still counts as a level, so that a
//! recursive type cannot loop on one byte. What depends on the visitor is kept small: a user's crate compiles it for each
//! of its types.

use std::fmt;

use serde::de::{self, Expected, SeqAccess, Unexpected, Visitor};

use super::access::{Compound, PackedElements, StoredVariant};
use super::error::{Error, ErrorKind};
use super::read::Deserializer;
use super::tag;

/// A number of any width.
enum Number {
    Unsigned(u64),
    Unsigned128(u128),
    Signed(i64),
    Signed128(i128),
    F32(f32),
    F64(f64),
}

impl Number {
    #[inline]
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Number::Unsigned(value) => visitor.visit_u64(value),
            Number::Unsigned128(value) => visitor.visit_u128(value),
            Number::Signed(value) => visitor.visit_i64(value),
            Number::Signed128(value) => visitor.visit_i128(value),
            Number::F32(value) => visitor.visit_f32(value),
            Number::F64(value) => visitor.visit_f64(value),
        }
    }
}

/// What a string or a name may have been stored as.
enum Text<'de> {
    Str(&'de str),
    Char(char),
    Bytes(&'de [u8]),
    /// A field or variant by its number.
    Index(u64),
}

impl<'de> Text<'de> {
    #[inline]
    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Text::Str(text) => visitor.visit_borrowed_str(text),
            Text::Char(character) => visitor.visit_char(character),
            Text::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Text::Index(index) => visitor.visit_u64(index),
        }
    }
}

#[cold]
fn unexpected_text(text: &str, expected: &dyn Expected) -> Error {
    de::Error::invalid_type(Unexpected::Str(text), expected)
}

// What can be read without knowing the visitor: it is compiled once.
impl<'de> Deserializer<'de> {
    // Left to the compiler, it is not inlined, and numbers are read a fourth slower; a debug build has it once.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn number(&mut self, expected: &dyn Expected) -> Result<Number, Error> {
        let tag = self.tag()?;
        self.number_of(tag, expected)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn number_of(&mut self, tag: u8, expected: &dyn Expected) -> Result<Number, Error> {
        Ok(match tag {
            0x00..=0x7F => Number::Unsigned(u64::from(tag)),
            tag::BYTE => Number::Unsigned(u64::from(self.byte("an integer")?)),
            tag::INTEGER => {
                let value = self.varint_128()?;
                match u64::try_from(value) {
                    Ok(value) => Number::Unsigned(value),
                    Err(_) => Number::Unsigned128(value),
                }
            }
            tag::NEGATIVE => {
                let value = match i128::try_from(self.varint_128()?) {
                    Ok(value) => !value,
                    Err(_) => return Err(self.error(ErrorKind::NumberTooLarge { limit: "i128" })),
                };
                match i64::try_from(value) {
                    Ok(value) => Number::Signed(value),
                    Err(_) => Number::Signed128(value),
                }
            }
            tag::F32 => Number::F32(self.f32()?),
            tag::F64 => Number::F64(self.f64()?),
            tag => return Err(self.mismatch(tag, expected)),
        })
    }

    /// A number, or a string that `parse` takes for one.
    #[inline]
    fn number_or_text(
        &mut self,
        expected: &dyn Expected,
        parse: fn(&str) -> Option<Number>,
    ) -> Result<Number, Error> {
        let tag = self.tag()?;
        match self.string(tag)? {
            None => self.number_of(tag, expected),
            Some(text) => parse(text).ok_or_else(|| unexpected_text(text, expected)),
        }
    }

    #[inline]
    fn float(&mut self, expected: &dyn Expected) -> Result<Number, Error> {
        self.number_or_text(expected, |text| {
            Some(Number::F64(match text {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ => return None,
            }))
        })
    }

    #[inline]
    fn boolean(&mut self, expected: &dyn Expected) -> Result<bool, Error> {
        match self.tag()? {
            tag::FALSE => Ok(false),
            tag::TRUE => Ok(true),
            tag => Err(self.mismatch(tag, expected)),
        }
    }

    #[inline]
    fn text_node(&mut self, expected: &dyn Expected) -> Result<Text<'de>, Error> {
        let tag = self.tag()?;
        if let Some(text) = self.string(tag)? {
            return Ok(Text::Str(text));
        }
        self.other_text(tag, expected)
    }

    fn other_text(&mut self, tag: u8, expected: &dyn Expected) -> Result<Text<'de>, Error> {
        match tag {
            tag::CHAR => self.character().map(Text::Char),
            tag::UNIT_VARIANT => self.name().map(Text::Str),
            tag::BYTES => self.bytes("bytes").map(Text::Bytes),
            tag => Err(self.mismatch(tag, expected)),
        }
    }

    fn identifier(&mut self, expected: &dyn Expected) -> Result<Text<'de>, Error> {
        let tag = self.tag()?;
        if let Some(text) = self.string(tag)? {
            return Ok(Text::Str(text));
        }
        match tag {
            0x00..=0x7F | tag::BYTE | tag::INTEGER => match self.number_of(tag, expected)? {
                Number::Unsigned(index) => Ok(Text::Index(index)),
                _ => Err(self.error(ErrorKind::NumberTooLarge { limit: "u64" })),
            },
            tag => self.other_text(tag, expected),
        }
    }

    /// Whether an option is `Some`: its content comes next, one level deeper.
    #[inline]
    fn enter_some(&mut self) -> Result<bool, Error> {
        match self.peek()? {
            tag::NONE => {
                self.byte("a value")?;
                return Ok(false);
            }
            tag::SOME => drop(self.byte("a value")?),
            _ => {}
        }
        self.enter()?;
        Ok(true)
    }

    fn unit(&mut self, expected: &dyn Expected) -> Result<(), Error> {
        match self.tag()? {
            tag::UNIT | tag::NONE => Ok(()),
            tag => Err(self.mismatch(tag, expected)),
        }
    }

    /// A struct that has lost its fields is a unit struct.
    fn unit_struct(&mut self, expected: &dyn Expected) -> Result<(), Error> {
        match self.peek()? {
            0xC0..=0xCF | tag::STRUCT | tag::MAP => self.skip(),
            _ => self.unit(expected),
        }
    }

    /// A sequence; `None` for one that is packed.
    #[inline]
    fn sequence(&mut self, expected: &dyn Expected) -> Result<Option<Compound<'_, 'de>>, Error> {
        let tag = self.tag()?;
        if let Some(count) = self.sequence_length(tag)? {
            return Compound::sequence(self, count).map(Some);
        }
        match tag {
            tag::PACKED | tag::BYTES => Ok(None),
            tag => Err(self.mismatch(tag, expected)),
        }
    }

    /// Accepts a sequence of pairs too: that is how [`to_json`](super::to_json) shows a map with compound keys.
    fn map(&mut self, expected: &dyn Expected) -> Result<Compound<'_, 'de>, Error> {
        let tag = self.tag()?;
        if tag == tag::MAP {
            return Compound::entries(self);
        }
        if let Some(count) = self.struct_length(tag)? {
            return Compound::fields(self, count);
        }
        match self.sequence_length(tag)? {
            Some(count) => Compound::pairs(self, count),
            None => Err(self.mismatch(tag, expected)),
        }
    }

    /// Accepts a map, a sequence (by position) and a unit (a unit struct that has gained fields) too.
    #[inline]
    fn structure(&mut self, expected: &dyn Expected) -> Result<Compound<'_, 'de>, Error> {
        let tag = self.tag()?;
        if let Some(count) = self.struct_length(tag)? {
            return Compound::fields(self, count);
        }
        match tag {
            tag::MAP => Compound::entries(self),
            tag::UNIT => Compound::fields(self, 0),
            tag => match self.sequence_length(tag)? {
                Some(count) => Compound::sequence(self, count),
                None => Err(self.mismatch(tag, expected)),
            },
        }
    }

    /// A compound value of any kind, whose tag has been read.
    fn compound(&mut self, tag: u8) -> Result<Compound<'_, 'de>, Error> {
        if let Some(count) = self.struct_length(tag)? {
            return Compound::fields(self, count);
        }
        if let Some(count) = self.sequence_length(tag)? {
            return Compound::sequence(self, count);
        }
        match tag {
            tag::MAP => Compound::entries(self),
            tag::VARIANT => {
                let name = self.name()?;
                Compound::variant(self, name)
            }
            tag => Err(self.error(ErrorKind::UnknownTag { tag })),
        }
    }

    /// The variant of an enum; its data, if there is any, is one level deeper.
    fn variant(&mut self, expected: &dyn Expected) -> Result<StoredVariant<'_, 'de>, Error> {
        let tag = self.tag()?;
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
        let Some(name) = name else {
            return Err(self.mismatch(tag, expected));
        };
        if has_payload {
            self.enter()?;
        }
        Ok(StoredVariant::new(name, has_payload, self))
    }
}

/// What a visitor makes of a compound value.
#[inline]
fn visit_compound<'de, V: Visitor<'de>>(
    mut compound: Compound<'_, 'de>,
    visitor: V,
) -> Result<V::Value, Error> {
    let value = if compound.is_sequence() {
        tri!(visitor.visit_seq(&mut compound))
    } else {
        tri!(visitor.visit_map(&mut compound))
    };
    tri!(compound.close());
    Ok(value)
}

fn visit_packed<'de, V: Visitor<'de>>(
    mut elements: PackedElements<'de>,
    visitor: V,
) -> Result<V::Value, Error> {
    let value = tri!(visitor.visit_seq(&mut elements));
    tri!(elements.close());
    Ok(value)
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            tri!(self.number(&visitor)).visit(visitor)
        }
    )*};
}

// Each of these is compiled for each type of the user.
impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = Error;

    numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match tri!(self.byte("a value")) {
            tag @ (0x00..=0x7F | tag::BYTE | tag::INTEGER | tag::NEGATIVE | tag::F32 | tag::F64) => {
                tri!(self.number_of(tag, &visitor)).visit(visitor)
            }
            tag @ (0x80..=0xBF | tag::STRING) => match tri!(self.string(tag)) {
                Some(text) => visitor.visit_borrowed_str(text),
                None => Err(self.mismatch(tag, &visitor)),
            },
            tag @ (tag::CHAR | tag::UNIT_VARIANT | tag::BYTES) => {
                tri!(self.other_text(tag, &visitor)).visit(visitor)
            }
            tag::NONE => visitor.visit_none(),
            tag::SOME => {
                tri!(self.enter());
                let value = visitor.visit_some(&mut *self);
                self.leave();
                value
            }
            tag::UNIT => visitor.visit_unit(),
            tag::FALSE => visitor.visit_bool(false),
            tag::TRUE => visitor.visit_bool(true),
            tag::PACKED => visit_packed(tri!(PackedElements::read(self)), visitor),
            tag => visit_compound(tri!(self.compound(tag)), visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let parse = |text: &str| text.parse().ok().map(Number::Unsigned128);
        tri!(self.number_or_text(&visitor, parse)).visit(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let parse = |text: &str| text.parse().ok().map(Number::Signed128);
        tri!(self.number_or_text(&visitor, parse)).visit(visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        tri!(self.float(&visitor)).visit(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        tri!(self.float(&visitor)).visit(visitor)
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = tri!(self.boolean(&visitor));
        visitor.visit_bool(value)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        tri!(self.text_node(&visitor)).visit(visitor)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        tri!(self.text_node(&visitor)).visit(visitor)
    }

    /// A field or variant name that was stored as a value: a key of a map.
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        tri!(self.identifier(&visitor)).visit(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let tag = tri!(self.tag());
        if let Some(text) = tri!(self.string(tag)) {
            return visitor.visit_borrowed_str(text);
        }
        match tag {
            tag::BYTES | tag::PACKED => visitor.visit_borrowed_bytes(tri!(self.bytes("bytes"))),
            tag => match tri!(self.sequence_length(tag)) {
                Some(count) => {
                    let elements = tri!(Compound::sequence(self, count));
                    visitor.visit_byte_buf(tri!(visit_compound(elements, ByteSequence)))
                }
                None => Err(self.mismatch(tag, &visitor)),
            },
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if !tri!(self.enter_some()) {
            return visitor.visit_none();
        }
        let value = visitor.visit_some(&mut *self);
        self.leave();
        value
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        tri!(self.unit(&visitor));
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        tri!(self.unit_struct(&visitor));
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        tri!(self.enter());
        let value = visitor.visit_newtype_struct(&mut *self);
        self.leave();
        value
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Some(mut elements) = tri!(self.sequence(&visitor)) {
            let value = tri!(visitor.visit_seq(&mut elements));
            tri!(elements.close());
            return Ok(value);
        }
        visit_packed(tri!(PackedElements::read(self)), visitor)
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

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let mut entries = tri!(self.map(&visitor));
        let value = tri!(visitor.visit_map(&mut entries));
        tri!(entries.close());
        Ok(value)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visit_compound(tri!(self.structure(&visitor)), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let depth = self.depth();
        let variant = tri!(self.variant(&visitor));
        let value = visitor.visit_enum(variant);
        self.leave_to(depth);
        value
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        tri!(self.skip());
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
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
