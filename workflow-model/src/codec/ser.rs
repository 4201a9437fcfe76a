//! The encoder: a `serde::Serializer` that appends to a byte buffer in one pass.
//!
//! Invariant: the bytes of a value depend only on what `serde` was told, never on how: a sequence of unknown length, or
//! one that announced a wrong length, gives the bytes of one that announced its length (its header is rewritten at the
//! end).

use serde::ser::{self, Serialize};

use super::error::{Error, ErrorKind, Segment};
use super::names::Interner;
use super::{MAX_DEPTH, tag};

/// Sequences of at least this many small integers are packed: from here on both headers have the same size.
const PACKED_MIN: usize = tag::INLINE_COUNT_MAX + 1;

pub(super) struct Serializer<'a> {
    out: &'a mut Vec<u8>,
    names: Interner,
    depth: u32,
    /// An element failed: what was written is not a value, even if a user's `Serialize` goes on.
    failed: bool,
    byte: ByteElement,
}

/// How a sequence collects its `u8`s without a tag each: it asks before each element, and `serialize_u8` leaves the
/// value here instead of writing it. Whatever has parts of its own withdraws the question first.
#[derive(Clone, Copy)]
enum ByteElement {
    NotAsked,
    Asked,
    Given(u8),
}

impl<'a> Serializer<'a> {
    /// Writes the format tag.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(tag::FORMAT);
        Self {
            out,
            names: Interner::new(),
            depth: 0,
            failed: false,
            byte: ByteElement::NotAsked,
        }
    }

    /// Removes what was written from `start` on, if that is no value.
    pub(super) fn finish(&mut self, start: usize, result: Result<(), Error>) -> Result<(), Error> {
        let result = match result {
            Ok(()) if self.failed => Err(Error::new(ErrorKind::Abandoned)),
            result => result,
        };
        if result.is_err() {
            self.out.truncate(start);
        }
        result
    }

    #[inline]
    fn enter(&mut self) -> Result<(), Error> {
        if self.depth >= MAX_DEPTH {
            return Err(Error::new(ErrorKind::TooDeep { limit: MAX_DEPTH }));
        }
        self.depth += 1;
        self.byte = ByteElement::NotAsked;
        Ok(())
    }

    fn nested<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        tri!(self.enter());
        tri!(value.serialize(&mut *self));
        self.depth -= 1;
        Ok(())
    }

    fn name(&mut self, name: &'static str) {
        match self.names.number(name) {
            Some(number) => write_varint(self.out, (number as u64) << 1),
            None => {
                write_varint(self.out, (name.len() as u64) << 1 | 1);
                self.out.extend_from_slice(name.as_bytes());
            }
        }
    }

    #[inline]
    fn begin(&mut self, kind: Kind, length: usize) -> Result<Compound<'_, 'a>, Error> {
        self.enter()?;
        let header = self.out.len();
        write_header(self.out, kind, length);
        let body = self.out.len();
        Ok(Compound {
            serializer: self,
            kind,
            header,
            body,
            announced: length,
            count: 0,
            levels: 1,
            is_raw: kind == Kind::Sequence && length >= PACKED_MIN,
            key_is_open: false,
        })
    }

    /// The variant and its payload are one level each.
    fn begin_variant(
        &mut self,
        variant: &'static str,
        kind: Kind,
        length: usize,
    ) -> Result<Compound<'_, 'a>, Error> {
        self.out.push(tag::VARIANT);
        self.name(variant);
        self.enter()?;
        Ok(Compound {
            levels: 2,
            ..self.begin(kind, length)?
        })
    }
}

#[inline]
pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_varint_128(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(super) fn write_unsigned(out: &mut Vec<u8>, value: u64) {
    if value <= 0xFF {
        write_byte(out, value as u8);
    } else {
        out.push(tag::INTEGER);
        write_varint(out, value);
    }
}

#[inline]
fn write_byte(out: &mut Vec<u8>, value: u8) {
    if value <= tag::INLINE_INTEGER_MAX {
        out.push(value);
    } else {
        out.extend_from_slice(&[tag::BYTE, value]);
    }
}

#[inline]
pub(super) fn write_signed(out: &mut Vec<u8>, value: i64) {
    if value >= 0 {
        write_unsigned(out, value as u64);
    } else {
        out.push(tag::NEGATIVE);
        write_varint(out, !value as u64);
    }
}

pub(super) fn write_unsigned_128(out: &mut Vec<u8>, value: u128) {
    match u64::try_from(value) {
        Ok(value) => write_unsigned(out, value),
        Err(_) => {
            out.push(tag::INTEGER);
            write_varint_128(out, value);
        }
    }
}

pub(super) fn write_signed_128(out: &mut Vec<u8>, value: i128) {
    if value >= 0 {
        write_unsigned_128(out, value as u128);
    } else {
        out.push(tag::NEGATIVE);
        write_varint_128(out, !value as u128);
    }
}

#[inline]
pub(super) fn write_string(out: &mut Vec<u8>, value: &str) {
    if value.len() <= tag::INLINE_STRING_MAX {
        out.push(tag::INLINE_STRING | value.len() as u8);
    } else {
        out.push(tag::STRING);
        write_varint(out, value.len() as u64);
    }
    out.extend_from_slice(value.as_bytes());
}

pub(super) fn write_f64(out: &mut Vec<u8>, value: f64) {
    let [a, b, c, d, e, f, g, h] = value.to_bits().to_le_bytes();
    out.extend_from_slice(&[tag::F64, a, b, c, d, e, f, g, h]);
}

/// The compound nodes that start with a count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sequence,
    Map,
    Struct,
}

#[inline]
pub(super) fn write_header(out: &mut Vec<u8>, kind: Kind, count: usize) {
    let inline = count <= tag::INLINE_COUNT_MAX;
    match kind {
        Kind::Sequence if inline => out.push(tag::INLINE_SEQUENCE | count as u8),
        Kind::Struct if inline => out.push(tag::INLINE_STRUCT | count as u8),
        Kind::Sequence | Kind::Struct | Kind::Map => {
            out.push(match kind {
                Kind::Sequence => tag::SEQUENCE,
                Kind::Struct => tag::STRUCT,
                Kind::Map => tag::MAP,
            });
            write_varint(out, count as u64);
        }
    }
}

/// Rewrites a sequence of `count` integers from 0 to 255 as raw bytes, in place; leaves any other as it is.
pub(super) fn pack(out: &mut Vec<u8>, header: usize, body: usize, count: usize) {
    if count < PACKED_MIN || !is_packable(&out[body..], count) {
        return;
    }
    let elements = &mut out[body..];
    let mut read = 0;
    for write in 0..count {
        let first = elements[read];
        let wide = usize::from(first == tag::BYTE);
        elements[write] = elements[read + wide];
        read += 1 + wide;
    }
    out[header] = tag::PACKED;
    out.truncate(body + count);
}

fn is_packable(elements: &[u8], count: usize) -> bool {
    if elements.len() > 2 * count {
        return false;
    }
    let mut read = 0;
    while let Some(&first) = elements.get(read) {
        if first > tag::INLINE_INTEGER_MAX && first != tag::BYTE {
            return false;
        }
        read += 1 + usize::from(first == tag::BYTE);
    }
    true
}

/// A sequence, map or struct whose elements are being written.
pub(super) struct Compound<'s, 'a> {
    serializer: &'s mut Serializer<'a>,
    kind: Kind,
    /// Where the header starts and ends.
    header: usize,
    body: usize,
    announced: usize,
    count: usize,
    /// How many levels of nesting it ends.
    levels: u32,
    /// So far all elements are `u8`s, and stand in the body as raw bytes.
    is_raw: bool,
    key_is_open: bool,
}

impl Compound<'_, '_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        segment: impl FnOnce() -> Segment,
    ) -> Result<(), Error> {
        match value.serialize(&mut *self.serializer) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.serializer.failed = true;
                Err(error.within(segment()))
            }
        }
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let index = self.count;
        if self.is_raw {
            let end = self.serializer.out.len();
            self.serializer.byte = ByteElement::Asked;
            self.write(value, || Segment::Index(index))?;
            match std::mem::replace(&mut self.serializer.byte, ByteElement::NotAsked) {
                ByteElement::Given(byte) => self.serializer.out.push(byte),
                ByteElement::Asked | ByteElement::NotAsked => self.leave_raw(end),
            }
        } else {
            self.write(value, || Segment::Index(index))?;
        }
        self.count += 1;
        Ok(())
    }

    /// Gives the raw bytes between the header and `end` their tags.
    #[cold]
    fn leave_raw(&mut self, end: usize) {
        self.is_raw = false;
        let mut elements = Vec::with_capacity(2 * (end - self.body));
        for &byte in &self.serializer.out[self.body..end] {
            write_byte(&mut elements, byte);
        }
        self.serializer.out.splice(self.body..end, elements);
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.count += 1;
        self.serializer.name(name);
        self.write(value, || Segment::Name(name.to_owned()))
    }

    #[inline]
    fn finish(mut self) -> Result<(), Error> {
        if self.count != self.announced {
            self.correct_header();
        }
        if self.is_raw {
            self.serializer.out[self.header] = tag::PACKED;
        } else if self.kind == Kind::Sequence {
            pack(self.serializer.out, self.header, self.body, self.count);
        }
        self.serializer.depth -= self.levels;
        Ok(())
    }

    #[cold]
    fn correct_header(&mut self) {
        if self.is_raw {
            self.leave_raw(self.serializer.out.len());
        }
        let mut header = Vec::with_capacity(8);
        write_header(&mut header, self.kind, self.count);
        let length = header.len();
        self.serializer.out.splice(self.header..self.body, header);
        self.body = self.header + length;
    }
}

macro_rules! integers {
    ($($method:ident($type:ty) => $write:ident),* $(,)?) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), Error> {
            $write(self.out, value.into());
            Ok(())
        }
    )*};
}

impl<'s, 'a> ser::Serializer for &'s mut Serializer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Compound<'s, 'a>;
    type SerializeTuple = Compound<'s, 'a>;
    type SerializeTupleStruct = Compound<'s, 'a>;
    type SerializeTupleVariant = Compound<'s, 'a>;
    type SerializeMap = Compound<'s, 'a>;
    type SerializeStruct = Compound<'s, 'a>;
    type SerializeStructVariant = Compound<'s, 'a>;

    integers! {
        serialize_u16(u16) => write_unsigned,
        serialize_u32(u32) => write_unsigned,
        serialize_u64(u64) => write_unsigned,
        serialize_u128(u128) => write_unsigned_128,
        serialize_i8(i8) => write_signed,
        serialize_i16(i16) => write_signed,
        serialize_i32(i32) => write_signed,
        serialize_i64(i64) => write_signed,
        serialize_i128(i128) => write_signed_128,
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        match self.byte {
            ByteElement::Asked => self.byte = ByteElement::Given(value),
            ByteElement::NotAsked | ByteElement::Given(_) => write_byte(self.out, value),
        }
        Ok(())
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.out.push(if value { tag::TRUE } else { tag::FALSE });
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        let [a, b, c, d] = value.to_bits().to_le_bytes();
        self.out.extend_from_slice(&[tag::F32, a, b, c, d]);
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        write_f64(self.out, value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.out.push(tag::CHAR);
        write_varint(self.out, u64::from(u32::from(value)));
        Ok(())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        write_string(self.out, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.out.push(tag::BYTES);
        write_varint(self.out, value.len() as u64);
        self.out.extend_from_slice(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Error> {
        self.out.push(tag::NONE);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.out.push(tag::SOME);
        self.nested(value)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.out.push(tag::UNIT);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.nested(value)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.out.push(tag::UNIT_VARIANT);
        self.name(variant);
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.out.push(tag::VARIANT);
        self.name(variant);
        self.nested(value)
            .map_err(|error| error.within(Segment::Name(variant.to_owned())))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'s, 'a>, Error> {
        self.begin(Kind::Sequence, length.unwrap_or(0))
    }

    fn serialize_tuple(self, length: usize) -> Result<Compound<'s, 'a>, Error> {
        self.begin(Kind::Sequence, length)
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<Compound<'s, 'a>, Error> {
        self.begin(Kind::Sequence, length)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'s, 'a>, Error> {
        self.begin_variant(variant, Kind::Sequence, length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'s, 'a>, Error> {
        self.begin(Kind::Map, length.unwrap_or(0))
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Compound<'s, 'a>, Error> {
        self.begin(Kind::Struct, length)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'s, 'a>, Error> {
        self.begin_variant(variant, Kind::Struct, length)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! compounds {
    ($($trait:ident { $method:ident($($name:ident)?) => $write:ident })*) => {$(
        impl ser::$trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> Result<(), Error> {
                self.$write($($name,)? value)
            }

            #[inline]
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    )*};
}

compounds! {
    SerializeSeq { serialize_element() => element }
    SerializeTuple { serialize_element() => element }
    SerializeTupleStruct { serialize_field() => element }
    SerializeTupleVariant { serialize_field() => element }
    SerializeStruct { serialize_field(name) => field }
    SerializeStructVariant { serialize_field(name) => field }
}

impl ser::SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        if std::mem::replace(&mut self.key_is_open, true) {
            return Err(Error::new(ErrorKind::UnpairedMapEntry));
        }
        let entry = self.count;
        self.count += 1;
        self.write(key, || Segment::Entry(entry))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::replace(&mut self.key_is_open, false) {
            return Err(Error::new(ErrorKind::UnpairedMapEntry));
        }
        let entry = self.count - 1;
        self.write(value, || Segment::Entry(entry))
    }

    fn end(self) -> Result<(), Error> {
        if self.key_is_open {
            return Err(Error::new(ErrorKind::UnpairedMapEntry));
        }
        self.finish()
    }
}
