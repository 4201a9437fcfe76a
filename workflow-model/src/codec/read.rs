//! Reading the parts that nodes consist of: tags, numbers, lengths, names, text.
//!
//! Every length is checked against the rest of the input before anything is read or allocated for it.

use std::borrow::Cow;

use serde::de::{self, Expected, Unexpected};

use super::error::{Error, ErrorKind};
use super::names::NameList;
use super::{MAX_DEPTH, tag};

/// The wrappers that newer code may add around a stored value are levels too.
pub(super) const DECODE_DEPTH: u32 = MAX_DEPTH + 32;

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

    pub(super) fn finish(&self) -> Result<(), Error> {
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
    pub(super) fn remaining(&self) -> usize {
        self.input.len() - self.position
    }

    #[cold]
    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind).at(self.position)
    }

    #[cold]
    pub(super) fn end(&self, expected: &'static str) -> Error {
        self.error(ErrorKind::UnexpectedEnd { expected })
    }

    #[inline]
    pub(super) fn byte(&mut self, expected: &'static str) -> Result<u8, Error> {
        match self.input.get(self.position) {
            Some(&byte) => {
                self.position += 1;
                Ok(byte)
            }
            None => Err(self.end(expected)),
        }
    }

    #[inline]
    pub(super) fn peek(&self) -> Result<u8, Error> {
        self.input
            .get(self.position)
            .copied()
            .ok_or_else(|| self.end("a value"))
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize, expected: &'static str) -> Result<&'de [u8], Error> {
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
    pub(super) fn varint(&mut self) -> Result<u64, Error> {
        let first = self.byte("a number")?;
        if first < 0x80 {
            Ok(u64::from(first))
        } else {
            self.long_varint(first)
        }
    }

    pub(super) fn long_varint(&mut self, first: u8) -> Result<u64, Error> {
        self.varint_128_after(first)?
            .try_into()
            .map_err(|_| self.error(ErrorKind::NumberTooLarge { limit: "u64" }))
    }

    #[inline]
    pub(super) fn varint_128(&mut self) -> Result<u128, Error> {
        let first = self.byte("a number")?;
        self.varint_128_after(first)
    }

    #[inline]
    pub(super) fn varint_128_after(&mut self, first: u8) -> Result<u128, Error> {
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
    pub(super) fn varint_128_beyond(&mut self, low: u64) -> Result<u128, Error> {
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
    pub(super) fn length(&mut self, what: &'static str, size: usize) -> Result<usize, Error> {
        let claimed = self.varint()?;
        self.check_length(claimed, what, size)
    }

    #[inline]
    pub(super) fn check_length(&self, claimed: u64, what: &'static str, size: usize) -> Result<usize, Error> {
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
    pub(super) fn text(&mut self, length: usize, what: &'static str) -> Result<&'de str, Error> {
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

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.enter()?;
        read(self)?;
        self.leave();
        Ok(())
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    #[inline]
    pub(super) fn leave_to(&mut self, depth: u32) {
        self.depth = depth;
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
    pub(super) fn tag(&mut self) -> Result<u8, Error> {
        loop {
            match self.byte("a value")? {
                tag::SOME => {}
                tag => return Ok(tag),
            }
        }
    }

    /// The string, if the tag is that of one.
    #[inline]
    pub(super) fn string(&mut self, tag: u8) -> Result<Option<&'de str>, Error> {
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

    pub(super) fn bytes(&mut self, what: &'static str) -> Result<&'de [u8], Error> {
        let length = self.length(what, 1)?;
        self.take(length, what)
    }

    pub(super) fn character(&mut self) -> Result<char, Error> {
        let code = self.varint()?;
        u32::try_from(code)
            .ok()
            .and_then(char::from_u32)
            .ok_or_else(|| self.error(ErrorKind::InvalidCharacter { code }))
    }

    pub(super) fn f32(&mut self) -> Result<f32, Error> {
        let bytes = self.take(4, "four bytes of a number")?;
        Ok(f32::from_bits(
            bytes
                .iter()
                .rev()
                .fold(0, |bits, &byte| bits << 8 | u32::from(byte)),
        ))
    }

    pub(super) fn f64(&mut self) -> Result<f64, Error> {
        let bytes = self.take(8, "eight bytes of a number")?;
        Ok(f64::from_bits(
            bytes
                .iter()
                .rev()
                .fold(0, |bits, &byte| bits << 8 | u64::from(byte)),
        ))
    }

    #[inline]
    pub(super) fn sequence_length(&mut self, tag: u8) -> Result<Option<usize>, Error> {
        match tag {
            0xD0..=0xDF => self
                .check_length(u64::from(tag & 0x0F), "a sequence", 1)
                .map(Some),
            tag::SEQUENCE => self.length("a sequence", 1).map(Some),
            _ => Ok(None),
        }
    }

    #[inline]
    pub(super) fn struct_length(&mut self, tag: u8) -> Result<Option<usize>, Error> {
        match tag {
            0xC0..=0xCF => self.check_length(u64::from(tag & 0x0F), "a struct", 2).map(Some),
            tag::STRUCT => self.length("a struct", 2).map(Some),
            _ => Ok(None),
        }
    }

    /// The error that a value of this tag is not what the visitor takes; shows the value if it is a scalar.
    #[cold]
    pub(super) fn mismatch(&mut self, tag: u8, expected: &dyn Expected) -> Error {
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
    pub(super) fn unexpected(&mut self, tag: u8) -> Result<Cow<'de, str>, Error> {
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
}
