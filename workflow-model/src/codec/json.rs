//! Values as JSON: what an operator reads, and what an operator writes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::error::{Error, ErrorKind};
use super::ser::{self, Kind};
use super::{MAX_DEPTH, decode, tag};

/// Shows a value as JSON.
///
/// Structs and maps are objects; enums are shown as `serde_json` does it, a string or an object of one entry; `None` and
/// units are `null`, and `Some` is its content; bytes are an array of numbers; a character is a string; an integer that
/// needs more than 64 bits is a decimal string; a floating point number that JSON has no word for is `"NaN"`,
/// `"Infinity"` or `"-Infinity"`. Keys that are numbers or booleans are shown as text. A map with compound keys, or with
/// two keys of the same text, is an array of pairs.
///
/// [`decode`] reads a type from [`from_json`] of this, except that `Some(None)` and `Some(())` have become `None`, that
/// the bits of a NaN are lost, and that a `Some` around an untagged type is gone.
///
/// ```
/// use std::collections::BTreeMap;
/// use workflow_model::codec;
///
/// let bytes = codec::encode(&BTreeMap::from([(1_u8, Some('a')), (2, None)]))?;
/// assert_eq!(codec::to_json(&bytes)?.to_string(), r#"{"1":"a","2":null}"#);
/// # Ok::<(), codec::Error>(())
/// ```
///
/// # Errors
///
/// If the bytes are not exactly one value.
pub fn to_json(bytes: &[u8]) -> Result<Value, Error> {
    decode::<Readable>(bytes).map(|readable| readable.0)
}

/// Encodes a JSON value so that a type is decoded from it as from its own encoding.
///
/// This is how an operator's edit becomes a stored value. What each type accepts is listed in the documentation of
/// [`codec`](super).
///
/// ```
/// use serde::Deserialize;
/// use workflow_model::codec;
///
/// #[derive(Debug, PartialEq, Deserialize)]
/// enum Method { Card { number: String }, Invoice }
///
/// let edited = serde_json::json!([{"Card": {"number": "4111"}}, "Invoice"]);
/// let methods: Vec<Method> = codec::decode(&codec::from_json(&edited)?)?;
/// assert_eq!(methods, [Method::Card { number: "4111".into() }, Method::Invoice]);
/// # Ok::<(), codec::Error>(())
/// ```
///
/// # Errors
///
/// If the value is nested deeper than [`MAX_DEPTH`].
pub fn from_json(value: &Value) -> Result<Vec<u8>, Error> {
    let mut out = vec![tag::FORMAT];
    write(&mut out, value, 0)?;
    Ok(out)
}

fn write(out: &mut Vec<u8>, value: &Value, depth: u32) -> Result<(), Error> {
    if depth >= MAX_DEPTH && (value.is_array() || value.is_object()) {
        return Err(Error::new(ErrorKind::TooDeep { limit: MAX_DEPTH }));
    }
    match value {
        Value::Null => out.push(tag::NONE),
        Value::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
        Value::Number(number) => write_number(out, number)?,
        Value::String(text) => ser::write_string(out, text),
        Value::Array(elements) => {
            let header = out.len();
            ser::write_header(out, Kind::Sequence, elements.len());
            let body = out.len();
            for element in elements {
                write(out, element, depth + 1)?;
            }
            ser::pack(out, header, body, elements.len());
        }
        Value::Object(entries) => {
            ser::write_header(out, Kind::Map, entries.len());
            for (key, value) in entries {
                ser::write_string(out, key);
                write(out, value, depth + 1)?;
            }
        }
    }
    Ok(())
}

/// Another crate may have turned on `serde_json`'s arbitrary precision, so a number may be larger than an `i64`.
fn write_number(out: &mut Vec<u8>, number: &Number) -> Result<(), Error> {
    if let Some(value) = number.as_u64() {
        ser::write_unsigned(out, value);
    } else if let Some(value) = number.as_i64() {
        ser::write_signed(out, value);
    } else if let Ok(value) = number.to_string().parse() {
        ser::write_unsigned_128(out, value);
    } else if let Ok(value) = number.to_string().parse() {
        ser::write_signed_128(out, value);
    } else if let Some(value) = number.as_f64() {
        ser::write_f64(out, value);
    } else {
        return Err(Error::new(ErrorKind::Custom(format!(
            "number {number} does not fit any type"
        ))));
    }
    Ok(())
}

struct Readable(Value);

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadableVisitor).map(Self)
    }
}

struct ReadableVisitor;

impl<'de> Visitor<'de> for ReadableVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    /// The shortest text that reads back as this `f32`: `0.1`, not `0.10000000149011612`.
    fn visit_f32<E>(self, value: f32) -> Result<Value, E> {
        Ok(float(value.to_string().parse().unwrap_or_else(|_| value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Readable(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Readable(key), Readable(value))) = entries.next_entry()? {
            pairs.push((key, value));
        }
        Ok(object(pairs))
    }
}

fn float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// An object if the keys are distinct scalars, otherwise an array of pairs.
fn object(pairs: Vec<(Value, Value)>) -> Value {
    let mut seen = BTreeSet::new();
    let is_object = pairs
        .iter()
        .all(|(key, _)| key_text(key).is_some_and(|text| seen.insert(text)));
    if is_object {
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key_text(&key)?.into_owned(), value)))
            .collect()
    } else {
        pairs
            .into_iter()
            .map(|(key, value)| Value::Array(vec![key, value]))
            .collect()
    }
}

fn key_text(key: &Value) -> Option<Cow<'_, str>> {
    match key {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(value) => Some(Cow::Owned(value.to_string())),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
