//! What serde's visitors read compound values through.
//!
//! It adds the place and the start of a failing element to the error, on the error path only, and [`Compound::close`]
//! refuses a type that leaves elements unread: stored data is never dropped silently.

use std::str::FromStr;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{Error, ErrorKind, Segment};
use super::read::{DECODE_DEPTH, Deserializer};

/// Fails if a type took fewer elements than there are.
#[inline]
fn check_all_read(left: usize, count: usize) -> Result<(), Error> {
    if left == 0 {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::LengthMismatch {
            read: count - left,
            count,
        }))
    }
}

/// How the parts of a compound value are laid out.
enum Layout<'de> {
    /// Elements one after the other.
    Sequence,
    /// Fields: each a name and a value.
    Struct,
    /// Entries: each a key and a value.
    Map,
    /// The entries of a map that is written as a sequence of pairs.
    Pairs,
    /// An enum variant with data, read as a map of one entry with this key.
    Variant(&'de str),
}

/// A compound value: what serde reads as a sequence or a map. It is one type whatever the layout, so that the code that
/// reads a user's type is compiled once for that type. Packed sequences are another, because they are read fast.
pub(super) struct Compound<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    layout: Layout<'de>,
    count: usize,
    left: usize,
    /// The name or key that was read last, if it is text.
    key: Option<&'de str>,
}

impl<'a, 'de> Compound<'a, 'de> {
    #[inline]
    fn enter(input: &'a mut Deserializer<'de>, layout: Layout<'de>, count: usize) -> Result<Self, Error> {
        input.enter()?;
        Ok(Self {
            input,
            layout,
            count,
            left: count,
            key: None,
        })
    }

    #[inline]
    pub(super) fn sequence(input: &'a mut Deserializer<'de>, count: usize) -> Result<Self, Error> {
        Self::enter(input, Layout::Sequence, count)
    }

    #[inline]
    pub(super) fn fields(input: &'a mut Deserializer<'de>, count: usize) -> Result<Self, Error> {
        Self::enter(input, Layout::Struct, count)
    }

    /// Reads the number of entries.
    pub(super) fn entries(input: &'a mut Deserializer<'de>) -> Result<Self, Error> {
        let count = input.length("a map", 2)?;
        Self::enter(input, Layout::Map, count)
    }

    pub(super) fn pairs(input: &'a mut Deserializer<'de>, count: usize) -> Result<Self, Error> {
        Self::enter(input, Layout::Pairs, count)
    }

    pub(super) fn variant(input: &'a mut Deserializer<'de>, name: &'de str) -> Result<Self, Error> {
        Self::enter(input, Layout::Variant(name), 1)
    }

    #[inline]
    pub(super) fn is_sequence(&self) -> bool {
        matches!(self.layout, Layout::Sequence)
    }

    #[inline]
    pub(super) fn close(self) -> Result<(), Error> {
        check_all_read(self.left, self.count)?;
        self.input.leave();
        Ok(())
    }

    /// The key of the next entry; `None` when there is none.
    #[inline]
    fn advance(&mut self) -> Result<Option<Key<'_, 'de>>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let text = match self.layout {
            Layout::Struct => Some(self.input.name()?),
            Layout::Variant(name) => {
                // Its value counts: see `next_value_seed`.
                if self.key.is_some() {
                    return Ok(None);
                }
                self.left += 1;
                Some(name)
            }
            Layout::Pairs => {
                self.input.pair()?;
                None
            }
            Layout::Map | Layout::Sequence => None,
        };
        self.left -= 1;
        Ok(Some(Key {
            input: &mut *self.input,
            text,
        }))
    }

    /// Where the key or value that failed is: it starts at `start`.
    #[cold]
    fn locate(&self, error: Error, start: usize) -> Error {
        let index = (self.count - self.left).saturating_sub(1);
        match self.layout {
            Layout::Sequence => error.at(start).within(Segment::Index(index)),
            Layout::Struct | Layout::Variant(_) => error
                .at(start)
                .within(Segment::Name(self.key.unwrap_or_default().to_owned())),
            Layout::Pairs => error.at(start).within(Segment::Entry(index)),
            Layout::Map => error.at(start).within(match self.key {
                Some(key) => Segment::Key(key.to_owned()),
                None => Segment::Entry(index),
            }),
        }
    }

    #[cold]
    fn locate_key(&self, error: Error, start: usize) -> Error {
        match self.layout {
            // A name that the type does not know is an error of the value that has the name.
            Layout::Struct | Layout::Variant(_) => error.at(start),
            _ => self.locate(error, start),
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Compound<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let start = self.input.position();
        match seed.deserialize(&mut *self.input) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.locate(error, start)),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for &mut Compound<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let start = self.input.position();
        let Some(mut key) = tri!(self.advance()) else {
            return Ok(None);
        };
        let result = seed.deserialize(&mut key);
        self.key = key.text;
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.locate_key(error, start)),
        }
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let start = self.input.position();
        if let Layout::Variant(_) = self.layout {
            self.left = 0;
        }
        match seed.deserialize(&mut *self.input) {
            Ok(value) => Ok(value),
            Err(error) => Err(self.locate(error, start)),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// An enum variant, with or without data.
pub(super) struct StoredVariant<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    name: &'de str,
    has_payload: bool,
}

impl<'a, 'de> StoredVariant<'a, 'de> {
    pub(super) fn new(name: &'de str, has_payload: bool, input: &'a mut Deserializer<'de>) -> Self {
        Self {
            input,
            name,
            has_payload,
        }
    }
}

/// Where the data of a variant that failed is.
#[cold]
fn within_variant(error: Error, start: usize, name: &str) -> Error {
    error.at(start).within(Segment::Name(name.to_owned()))
}

#[cold]
fn lacks_payload(expected: &dyn de::Expected) -> Error {
    de::Error::invalid_type(Unexpected::UnitVariant, expected)
}

/// The data of a variant, or where it failed.
macro_rules! payload {
    ($self:ident, $input:ident => $read:expr) => {{
        let start = $self.input.position();
        let $input = $self.input;
        match $read {
            Ok(value) => Ok(value),
            Err(error) => Err(within_variant(error, start, $self.name)),
        }
    }};
}

impl<'de> EnumAccess<'de> for StoredVariant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        match seed.deserialize(BorrowedStrDeserializer::new(self.name)) {
            Ok(value) => Ok((value, self)),
            Err(error) => Err(error),
        }
    }
}

impl<'de> VariantAccess<'de> for StoredVariant<'_, 'de> {
    type Error = Error;

    /// A variant whose data is a unit (a `null` in JSON) is a unit variant; other data is not dropped.
    fn unit_variant(self) -> Result<(), Error> {
        if self.has_payload {
            payload!(self, input => de::Deserialize::deserialize(input))
        } else {
            Ok(())
        }
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        if self.has_payload {
            payload!(self, input => seed.deserialize(input))
        } else {
            Err(lacks_payload(&"newtype variant"))
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        if self.has_payload {
            payload!(self, input => de::Deserializer::deserialize_tuple(input, length, visitor))
        } else {
            Err(lacks_payload(&visitor))
        }
    }

    /// A unit variant that has gained fields has none of them.
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.has_payload {
            payload!(self, input => de::Deserializer::deserialize_struct(input, "", fields, visitor))
        } else {
            match Compound::fields(self.input, 0) {
                Ok(mut fields) => visitor.visit_map(&mut fields),
                Err(error) => Err(error),
            }
        }
    }
}

/// The elements of a packed sequence.
pub(super) struct PackedElements<'de> {
    bytes: std::slice::Iter<'de, u8>,
    count: usize,
    start: usize,
    depth: u32,
}

impl<'de> PackedElements<'de> {
    /// Reads the bytes.
    pub(super) fn read(input: &mut Deserializer<'de>) -> Result<Self, Error> {
        let bytes = input.bytes("a packed sequence")?;
        // They are a level, though nothing is read from the input there.
        input.enter()?;
        input.leave();
        Ok(Self {
            bytes: bytes.iter(),
            count: bytes.len(),
            start: input.position() - bytes.len(),
            depth: input.depth() + 1,
        })
    }

    pub(super) fn close(self) -> Result<(), Error> {
        check_all_read(self.bytes.len(), self.count)
    }

    /// Where the element that was read last is.
    #[cold]
    fn locate(&self, error: Error) -> Error {
        let index = self.count - self.bytes.len() - 1;
        error.at(self.start + index).within(Segment::Index(index))
    }
}

impl<'de> SeqAccess<'de> for &mut PackedElements<'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(&value) = self.bytes.next() else {
            return Ok(None);
        };
        let element = PackedByte {
            value,
            depth: self.depth,
        };
        match seed.deserialize(element) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.locate(error)),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len())
    }
}

/// One element of a packed sequence: an integer.
struct PackedByte {
    value: u8,
    depth: u32,
}

impl PackedByte {
    fn deeper(self) -> Result<Self, Error> {
        if self.depth >= DECODE_DEPTH {
            return Err(Error::new(ErrorKind::TooDeep { limit: DECODE_DEPTH }));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> de::Deserializer<'de> for PackedByte {
    type Error = Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(self.value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self.deeper()?)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self.deeper()?)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The name of a field or the key of an entry: a string may stand for a number or a boolean, because JSON has no other keys.
struct Key<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    /// The key, if it is a string that has been read.
    text: Option<&'de str>,
}

impl<'de> Key<'_, 'de> {
    /// The key, if it is a string.
    #[inline]
    fn text(&mut self) -> Result<Option<&'de str>, Error> {
        if self.text.is_none() {
            self.text = self.input.next_string()?;
        }
        Ok(self.text)
    }
}

/// Reads a string that holds a `T`, or fails with what the visitor expected.
fn parse<'de, T, V>(text: &str, visitor: V) -> Result<V::Value, Error>
where
    T: FromStr + IntoDeserializer<'de, Error>,
    V: Visitor<'de>,
{
    match text.parse::<T>() {
        Ok(value) => de::Deserializer::deserialize_any(value.into_deserializer(), visitor),
        Err(_) => Err(de::Error::invalid_type(Unexpected::Str(text), &visitor)),
    }
}

macro_rules! parsed {
    ($($method:ident => $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match tri!(self.text()) {
                Some(text) => parse::<$type, V>(text, visitor),
                None => self.input.$method(visitor),
            }
        }
    )*};
}

macro_rules! passed_on {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Error> {
            match self.text {
                Some(text) => visitor.visit_borrowed_str(text),
                None => self.input.$method($($argument,)* visitor),
            }
        }
    )*};
}

macro_rules! strings {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match tri!(self.text()) {
                Some(text) => visitor.visit_borrowed_str(text),
                None => self.input.$method(visitor),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Key<'_, 'de> {
    type Error = Error;

    parsed! {
        deserialize_bool => bool,
        deserialize_i8 => i64,
        deserialize_i16 => i64,
        deserialize_i32 => i64,
        deserialize_i64 => i64,
        deserialize_i128 => i128,
        deserialize_u8 => u64,
        deserialize_u16 => u64,
        deserialize_u32 => u64,
        deserialize_u64 => u64,
        deserialize_u128 => u128,
        deserialize_f32 => f64,
        deserialize_f64 => f64,
    }

    strings! {
        deserialize_any deserialize_identifier deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf
    }

    passed_on! {
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_ignored_any()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.text {
            Some(text) => visitor.visit_enum(StoredVariant::new(text, false, self.input)),
            None => self.input.deserialize_enum(name, variants, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.text.is_none() && !tri!(self.input.string_is_next()) {
            return self.input.deserialize_option(visitor);
        }
        tri!(self.input.enter());
        let value = visitor.visit_some(&mut *self);
        self.input.leave();
        value
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        tri!(self.input.enter());
        let value = visitor.visit_newtype_struct(&mut *self);
        self.input.leave();
        value
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
