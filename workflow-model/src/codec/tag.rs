//! The first byte of every encoded node. The meaning of each is specified in the documentation of [`codec`](super).

/// The first byte of a value: this format, version 1.
pub(super) const FORMAT: u8 = 0xD1;

/// The largest integer that is its own tag.
pub(super) const INLINE_INTEGER_MAX: u8 = 0x7F;
pub(super) const INLINE_STRING: u8 = 0x80;
pub(super) const INLINE_STRING_MAX: usize = 0x3F;
pub(super) const INLINE_STRUCT: u8 = 0xC0;
pub(super) const INLINE_SEQUENCE: u8 = 0xD0;
pub(super) const INLINE_COUNT_MAX: usize = 0x0F;

pub(super) const NONE: u8 = 0xE0;
pub(super) const SOME: u8 = 0xE1;
pub(super) const UNIT: u8 = 0xE2;
pub(super) const FALSE: u8 = 0xE3;
pub(super) const TRUE: u8 = 0xE4;
pub(super) const BYTE: u8 = 0xE5;
pub(super) const INTEGER: u8 = 0xE6;
pub(super) const NEGATIVE: u8 = 0xE7;
pub(super) const F32: u8 = 0xE8;
pub(super) const F64: u8 = 0xE9;
pub(super) const CHAR: u8 = 0xEA;
pub(super) const STRING: u8 = 0xEB;
pub(super) const BYTES: u8 = 0xEC;
pub(super) const SEQUENCE: u8 = 0xED;
pub(super) const PACKED: u8 = 0xEE;
pub(super) const MAP: u8 = 0xEF;
pub(super) const STRUCT: u8 = 0xF0;
pub(super) const UNIT_VARIANT: u8 = 0xF1;
pub(super) const VARIANT: u8 = 0xF2;

/// What a tag announces, in the words of an error message.
pub(super) fn describe(tag: u8) -> &'static str {
    match tag {
        0x00..=INLINE_INTEGER_MAX | BYTE | INTEGER | NEGATIVE => "an integer",
        0x80..=0xBF | STRING => "a string",
        0xC0..=0xCF | STRUCT => "a struct",
        0xD0..=0xDF | SEQUENCE | PACKED => "a sequence",
        NONE | SOME => "an option",
        UNIT => "a unit",
        FALSE | TRUE => "a boolean",
        F32 | F64 => "a floating point number",
        CHAR => "a character",
        BYTES => "bytes",
        MAP => "a map",
        UNIT_VARIANT | VARIANT => "an enum variant",
        0xF3.. => "a tag that is not assigned",
    }
}
