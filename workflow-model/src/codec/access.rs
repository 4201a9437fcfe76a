//! What serde's visitors read compound values through.
//!
//! Each access adds the place and the start of a failing element to the error, on the error path only, and `finish`
//! refuses a type that leaves elements unread: stored data is never dropped silently.

use std::str::FromStr;

use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::de::read_name;
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

/// The elements of a sequence.
pub(super) struct Elements<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    count: usize,
    left: usize,
}

impl<'a, 'de> Elements<'a, 'de> {
    pub(super) fn new(input: &'a mut Deserializer<'de>, count: usize) -> Self {
        Self {
            input,
            count,
            left: count,
        }
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        check_all_read(self.left, self.count)
    }
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let index = self.count - self.left;
        self.left -= 1;
        let start = self.input.position();
        match seed.deserialize(&mut *self.input) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(error.at(start).within(Segment::Index(index))),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The fields of a struct.
pub(super) struct Fields<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    count: usize,
    left: usize,
    name: &'de str,
}

impl<'a, 'de> Fields<'a, 'de> {
    pub(super) fn new(input: &'a mut Deserializer<'de>, count: usize) -> Self {
        Self {
            input,
            count,
            left: count,
            name: "",
        }
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        check_all_read(self.left, self.count)
    }
}

impl<'de> MapAccess<'de> for &mut Fields<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let start = self.input.position();
        self.name = self.input.name()?;
        read_name(self.name, seed)
            .map(Some)
            .map_err(|error| error.at(start))
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let start = self.input.position();
        match seed.deserialize(&mut *self.input) {
            Ok(value) => Ok(value),
            Err(error) => Err(error.at(start).within(Segment::Name(self.name.to_owned()))),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a map.
pub(super) struct Entries<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    count: usize,
    left: usize,
    /// The key that was read last, if it is a string.
    key: Option<&'de str>,
}

impl<'a, 'de> Entries<'a, 'de> {
    pub(super) fn new(input: &'a mut Deserializer<'de>, count: usize) -> Self {
        Self {
            input,
            count,
            left: count,
            key: None,
        }
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        check_all_read(self.left, self.count)
    }

    fn segment(&self) -> Segment {
        match self.key {
            Some(key) => Segment::Key(key.to_owned()),
            None => Segment::Entry((self.count - self.left).saturating_sub(1)),
        }
    }
}

impl<'de> MapAccess<'de> for &mut Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let start = self.input.position();
        let mut key = Key {
            input: &mut *self.input,
            text: None,
        };
        let result = seed.deserialize(&mut key);
        self.key = key.text;
        result
            .map(Some)
            .map_err(|error| error.at(start).within(self.segment()))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let start = self.input.position();
        seed.deserialize(&mut *self.input)
            .map_err(|error| error.at(start).within(self.segment()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The entries of a map that is written as a sequence of pairs.
pub(super) struct Pairs<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    count: usize,
    left: usize,
}

impl<'a, 'de> Pairs<'a, 'de> {
    pub(super) fn new(input: &'a mut Deserializer<'de>, count: usize) -> Self {
        Self {
            input,
            count,
            left: count,
        }
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        check_all_read(self.left, self.count)
    }

    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let start = self.input.position();
        let entry = (self.count - self.left).saturating_sub(1);
        seed.deserialize(&mut *self.input)
            .map_err(|error| error.at(start).within(Segment::Entry(entry)))
    }
}

impl<'de> MapAccess<'de> for &mut Pairs<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.input.pair()?;
        self.read(seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.read(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// An enum variant with data, read as a map of one entry.
pub(super) struct SingleEntry<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    name: &'de str,
    key_is_read: bool,
    value_is_read: bool,
}

impl<'a, 'de> SingleEntry<'a, 'de> {
    pub(super) fn new(input: &'a mut Deserializer<'de>, name: &'de str) -> Self {
        Self {
            input,
            name,
            key_is_read: false,
            value_is_read: false,
        }
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        check_all_read(usize::from(!self.value_is_read), 1)
    }
}

impl<'de> MapAccess<'de> for &mut SingleEntry<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if std::mem::replace(&mut self.key_is_read, true) {
            return Ok(None);
        }
        read_name(self.name, seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.value_is_read = true;
        let start = self.input.position();
        seed.deserialize(&mut *self.input)
            .map_err(|error| error.at(start).within(Segment::Name(self.name.to_owned())))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(usize::from(!self.key_is_read))
    }
}

/// An enum variant, with or without data.
pub(super) struct StoredVariant<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    name: &'de str,
    has_payload: bool,
}

impl<'a, 'de> StoredVariant<'a, 'de> {
    pub(super) fn unit(name: &'de str, input: &'a mut Deserializer<'de>) -> Self {
        Self {
            input,
            name,
            has_payload: false,
        }
    }

    pub(super) fn with_payload(name: &'de str, input: &'a mut Deserializer<'de>) -> Self {
        Self {
            input,
            name,
            has_payload: true,
        }
    }

    fn read<T>(self, read: impl FnOnce(&mut Deserializer<'de>) -> Result<T, Error>) -> Result<T, Error> {
        let start = self.input.position();
        read(self.input).map_err(|error| error.at(start).within(Segment::Name(self.name.to_owned())))
    }
}

impl<'de> EnumAccess<'de> for StoredVariant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        Ok((read_name(self.name, seed)?, self))
    }
}

impl<'de> VariantAccess<'de> for StoredVariant<'_, 'de> {
    type Error = Error;

    /// A variant whose data is a unit (a `null` in JSON) is a unit variant; other data is not dropped.
    fn unit_variant(self) -> Result<(), Error> {
        if self.has_payload {
            self.read(|input| de::Deserialize::deserialize(input))
        } else {
            Ok(())
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        if self.has_payload {
            self.read(|input| seed.deserialize(input))
        } else {
            Err(de::Error::invalid_type(
                Unexpected::UnitVariant,
                &"newtype variant",
            ))
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        if self.has_payload {
            self.read(|input| de::Deserializer::deserialize_tuple(input, length, visitor))
        } else {
            Err(de::Error::invalid_type(Unexpected::UnitVariant, &visitor))
        }
    }

    /// A unit variant that has gained fields has none of them.
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.has_payload {
            self.read(|input| de::Deserializer::deserialize_struct(input, "", fields, visitor))
        } else {
            visitor.visit_map(&mut Fields::new(self.input, 0))
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
    /// The input has just been advanced past the bytes.
    pub(super) fn new(input: &Deserializer<'de>, bytes: &'de [u8]) -> Self {
        let start = input.position() - bytes.len();
        Self {
            bytes: bytes.iter(),
            count: bytes.len(),
            start,
            depth: input.depth(),
        }
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        check_all_read(self.bytes.len(), self.count)
    }
}

impl<'de> SeqAccess<'de> for &mut PackedElements<'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(&value) = self.bytes.next() else {
            return Ok(None);
        };
        match seed.deserialize(PackedByte {
            value,
            depth: self.depth,
        }) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let index = self.count - self.bytes.len() - 1;
                Err(error.at(self.start + index).within(Segment::Index(index)))
            }
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

/// A key of a map: a string may stand for a number or a boolean, because JSON has no other keys.
struct Key<'a, 'de> {
    input: &'a mut Deserializer<'de>,
    /// The key, if it is a string.
    text: Option<&'de str>,
}

impl<'de> Key<'_, 'de> {
    /// Reads the key as a string that holds a `T`, or fails with what the visitor expected.
    fn parse<T, V>(&mut self, visitor: V) -> Result<V::Value, Error>
    where
        T: FromStr + IntoDeserializer<'de, Error>,
        V: Visitor<'de>,
    {
        let text = self.text.unwrap_or_default();
        match text.parse::<T>() {
            Ok(value) => de::Deserializer::deserialize_any(value.into_deserializer(), visitor),
            Err(_) => Err(de::Error::invalid_type(Unexpected::Str(text), &visitor)),
        }
    }
}

macro_rules! parsed {
    ($($method:ident => $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.text = self.input.next_string()?;
            if self.text.is_some() {
                self.parse::<$type, V>(visitor)
            } else {
                self.input.$method(visitor)
            }
        }
    )*};
}

macro_rules! passed_on {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Error> {
            self.input.$method($($argument,)* visitor)
        }
    )*};
}

macro_rules! strings {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.text = self.input.next_string()?;
            match self.text {
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
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_ignored_any()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if !self.input.string_is_next()? {
            return self.input.deserialize_option(visitor);
        }
        self.input.enter()?;
        let value = visitor.visit_some(&mut *self)?;
        self.input.leave();
        Ok(value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.input.enter()?;
        let value = visitor.visit_newtype_struct(&mut *self)?;
        self.input.leave();
        Ok(value)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
