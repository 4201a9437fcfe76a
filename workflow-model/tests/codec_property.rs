//! Random values of every serde kind survive; damaged bytes give an error or another value, never a panic.
//!
//! A failure prints its seed. `CODEC_SEED` repeats it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use workflow_model::codec;

/// A value of each kind in serde's data model, and of each kind that serde buffers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Any {
    Unit,
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    F32(Bits32),
    F64(Bits64),
    Char(char),
    Text(String),
    Bytes(Bytes),
    Nothing(()),
    UnitStruct(UnitStruct),
    Option(Option<Option<Box<Any>>>),
    UnitOption(Option<Option<()>>),
    Newtype(Newtype),
    Tuple(Box<(Any, u8, Any)>),
    TupleVariant(u16, Box<Any>),
    StructVariant { left: Box<Any>, right: Option<u64> },
    Struct(Box<Struct>),
    Sequence(Vec<Any>),
    Options(Vec<Option<bool>>),
    Small(Vec<u8>),
    Wide(Vec<u64>),
    Array([u8; 17]),
    EmptyArray([u8; 0]),
    Map(BTreeMap<Key, Any>),
    Numbered(BTreeMap<i64, String>),
    Flat(Flat),
    Tagged(Tagged),
    Adjacent(Adjacent),
    Untagged(Vec<Untagged>),
    Results(Vec<Result<u8, String>>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UnitStruct;
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Box<Any>);
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Struct {
    first: Any,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    second: Option<Any>,
    third: Vec<Pair>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u8, i32);
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Key {
    Number(u32),
    Text(String),
    Compound(Vec<Option<bool>>, char),
    Plain,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    own: u8,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, Option<Option<char>>>,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    inner_float: Bits32,
    inner_units: Vec<()>,
    inner_option: Option<Option<u8>>,
    inner_bytes: Bytes,
    inner_shape: Tagged,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Nothing,
    Number { value: i64 },
    Pair(InnerPair),
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InnerPair {
    left: Option<u64>,
    right: (char, Bits64),
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Nothing,
    Wide(u128),
    Tuple(u8, String),
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Flag(bool),
    Number(i64),
    Letter(char),
    Text(String),
    Sequence(Vec<u8>),
    Struct { field: Box<Untagged> },
    Nothing,
}

/// Floating point numbers that are equal if their bits are.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bits32(f32);
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bits64(f64);

impl PartialEq for Bits32 {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl PartialEq for Bits64 {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

/// SplitMix64, the generator of Steele, Lea and Flood (2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    /// All magnitudes are equally likely, and the bounds of integer types and varints are frequent.
    fn integer(&mut self) -> i128 {
        let wide = u128::from(self.next()) << 64 | u128::from(self.next());
        match self.below(4) {
            0 => (1_i128 << self.below(127)).wrapping_sub(self.below(3) as i128),
            1 => !((1_i128 << self.below(127)).wrapping_sub(self.below(3) as i128)),
            _ => (wide as i128) >> self.below(128),
        }
    }

    fn character(&mut self) -> char {
        loop {
            let code = self.next() as u32 & (u32::MAX >> (11 + self.below(15)));
            if let Some(character) = char::from_u32(code) {
                return character;
            }
        }
    }

    fn text(&mut self) -> String {
        let length = [0, 1, 5, 70][self.below(4)];
        (0..length).map(|_| self.character()).collect()
    }

    fn list<T>(&mut self, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let length = [0, 1, 2, 3, 15, 16, 20][self.below(7)];
        (0..length).map(|_| element(self)).collect()
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| value(self))
    }

    fn float32(&mut self) -> Bits32 {
        const SPECIAL: [u32; 5] = [0, 0x8000_0000, 0x7F80_0000, 0x7FC0_1234, 0xFF80_0001];
        Bits32(f32::from_bits(if self.flag() {
            SPECIAL[self.below(5)]
        } else {
            self.next() as u32
        }))
    }

    fn float64(&mut self) -> Bits64 {
        const SPECIAL: [u64; 5] = [0, 1 << 63, 0x7FF0 << 48, 0x7FF8 << 48 | 77, 0xFFF0 << 48 | 1];
        Bits64(f64::from_bits(if self.flag() {
            SPECIAL[self.below(5)]
        } else {
            self.next()
        }))
    }

    fn tagged(&mut self) -> Tagged {
        match self.below(3) {
            0 => Tagged::Nothing,
            1 => Tagged::Number {
                value: self.integer() as i64,
            },
            _ => Tagged::Pair(InnerPair {
                left: self.maybe(|random| random.integer() as u64),
                right: (self.character(), self.float64()),
            }),
        }
    }

    fn untagged(&mut self, depth: usize) -> Untagged {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => Untagged::Flag(self.flag()),
            1 => Untagged::Number(self.integer() as i64),
            2 => Untagged::Letter(self.character()),
            // A text of one character would be read as a letter.
            3 => Untagged::Text(self.text() + "--"),
            4 => Untagged::Nothing,
            5 => Untagged::Sequence(self.list(|random| random.next() as u8)),
            _ => Untagged::Struct {
                field: Box::new(self.untagged(depth - 1)),
            },
        }
    }

    fn key(&mut self) -> Key {
        match self.below(4) {
            0 => Key::Number(self.next() as u32),
            1 => Key::Text(self.text()),
            2 => Key::Compound(self.list(|random| random.maybe(Self::flag)), self.character()),
            _ => Key::Plain,
        }
    }

    fn any(&mut self, depth: usize) -> Any {
        let kind = self.below(if depth == 0 { 27 } else { 39 });
        let inner = |random: &mut Self| Box::new(random.any(depth - 1));
        match kind {
            0 => Any::Unit,
            1 => Any::Bool(self.flag()),
            2 => Any::I8(self.integer() as i8),
            3 => Any::I16(self.integer() as i16),
            4 => Any::I32(self.integer() as i32),
            5 => Any::I64(self.integer() as i64),
            6 => Any::I128(self.integer()),
            7 => Any::U8(self.integer() as u8),
            8 => Any::U16(self.integer() as u16),
            9 => Any::U32(self.integer() as u32),
            10 => Any::U64(self.integer() as u64),
            11 => Any::U128(self.integer() as u128),
            12 => Any::F32(self.float32()),
            13 => Any::F64(self.float64()),
            14 => Any::Char(self.character()),
            15 => Any::Text(self.text()),
            16 => Any::Bytes(Bytes(self.list(|random| random.next() as u8))),
            17 => Any::Nothing(()),
            18 => Any::UnitStruct(UnitStruct),
            19 => Any::UnitOption(self.maybe(|random| random.maybe(|_| ()))),
            20 => Any::Options(self.list(|random| random.maybe(Self::flag))),
            21 => Any::Small(self.list(|random| random.next() as u8)),
            22 => Any::Wide(self.list(|random| random.next() >> random.below(64))),
            23 => Any::Array(std::array::from_fn(|_| self.next() as u8)),
            24 => Any::EmptyArray([]),
            25 => Any::Numbered(
                self.list(|random| (random.integer() as i64, random.text()))
                    .into_iter()
                    .collect(),
            ),
            26 => Any::Results(
                self.list(|random| random.maybe(|random| random.next() as u8).ok_or(random.text())),
            ),
            27 => Any::Option(self.maybe(|random| random.maybe(inner))),
            28 => Any::Newtype(Newtype(inner(self))),
            29 => Any::Tuple(Box::new((*inner(self), self.next() as u8, *inner(self)))),
            30 => Any::TupleVariant(self.next() as u16, inner(self)),
            31 => Any::StructVariant {
                left: inner(self),
                right: self.maybe(Self::next),
            },
            32 => Any::Struct(Box::new(Struct {
                first: *inner(self),
                second: self.maybe(|random| *inner(random)),
                third: self.list(|random| Pair(random.next() as u8, random.next() as i32)),
            })),
            33 => Any::Sequence(self.list(|random| *inner(random))),
            34 => Any::Map(
                self.list(|random| (random.key(), *inner(random)))
                    .into_iter()
                    .collect(),
            ),
            35 => Any::Flat(Flat {
                own: self.next() as u8,
                inner: Inner {
                    inner_float: self.float32(),
                    inner_units: self.list(|_| ()),
                    inner_option: self.maybe(|random| random.maybe(|random| random.next() as u8)),
                    inner_bytes: Bytes(self.list(|random| random.next() as u8)),
                    inner_shape: self.tagged(),
                },
                rest: (0..self.below(3))
                    .map(|index| {
                        (
                            format!("rest {index}"),
                            self.maybe(|random| random.maybe(Self::character)),
                        )
                    })
                    .collect(),
            }),
            36 => Any::Tagged(self.tagged()),
            37 => Any::Adjacent(match self.below(3) {
                0 => Adjacent::Nothing,
                1 => Adjacent::Wide(self.integer() as u128),
                _ => Adjacent::Tuple(self.next() as u8, self.text()),
            }),
            _ => Any::Untagged(self.list(|random| random.untagged(2))),
        }
    }
}

/// Runs a check with `count` seeds, or with the one in `CODEC_SEED`.
fn for_seeds(count: u64, check: impl Fn(&mut Random)) {
    struct Reporter(u64);
    impl Drop for Reporter {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with CODEC_SEED={}", self.0);
            }
        }
    }
    let only: Option<u64> = std::env::var("CODEC_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        let _reporter = Reporter(seed);
        check(&mut Random(seed));
    }
}

#[test]
fn values_survive() {
    for_seeds(10_000, |random| {
        let value = random.any(3);
        let bytes = codec::encode(&value).unwrap();
        assert_eq!(bytes, codec::encode(&value).unwrap());
        assert_eq!(codec::decode::<Any>(&bytes).unwrap(), value);
        codec::decode::<IgnoredAny>(&bytes).unwrap();
        codec::from_json(&codec::to_json(&bytes).unwrap()).unwrap();
        let pair = (value.clone(), value.clone());
        let (IgnoredAny, second) =
            codec::decode::<(IgnoredAny, Any)>(&codec::encode(&pair).unwrap()).unwrap();
        assert_eq!(second, value);
    });
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Editable {
    tagged: Tagged,
    adjacent: Adjacent,
    wide: (i128, u128),
    pair: Option<Pair>,
    names: BTreeMap<i64, Option<char>>,
    flags: BTreeMap<bool, Bytes>,
    compound: BTreeMap<Key, Result<String, UnitStruct>>,
    optional: BTreeMap<Option<u8>, f32>,
    special: Vec<f64>,
}

/// An edit that changes nothing decodes to the original.
#[test]
fn values_survive_json() {
    for_seeds(2_000, |random| {
        let value = Editable {
            tagged: Tagged::Number {
                value: random.integer() as i64,
            },
            adjacent: Adjacent::Tuple(random.next() as u8, random.text()),
            wide: (random.integer(), random.integer() as u128),
            pair: random.maybe(|random| Pair(random.next() as u8, random.next() as i32)),
            names: random
                .list(|random| (random.integer() as i64, random.maybe(Random::character)))
                .into_iter()
                .collect(),
            flags: random
                .list(|random| (random.flag(), Bytes(random.list(|random| random.next() as u8))))
                .into_iter()
                .collect(),
            compound: random
                .list(|random| (random.key(), random.maybe(Random::text).ok_or(UnitStruct)))
                .into_iter()
                .collect(),
            optional: random
                .list(|random| {
                    (
                        random.maybe(|random| random.next() as u8),
                        random.below(1_000) as f32 / 7.0,
                    )
                })
                .into_iter()
                .collect(),
            special: random.list(|random| [f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1][random.below(4)]),
        };
        let json = codec::to_json(&codec::encode(&value).unwrap()).unwrap();
        let edited = codec::from_json(&json).unwrap();
        assert_eq!(codec::decode::<Editable>(&edited).unwrap(), value, "{json}");
    });
}

#[test]
fn truncated_values_are_errors() {
    for_seeds(500, |random| {
        let bytes = codec::encode(&random.any(3)).unwrap();
        for length in 0..bytes.len() {
            let error = codec::decode::<Any>(&bytes[..length]).unwrap_err();
            assert!(error.offset().is_some_and(|offset| offset <= length), "{error}");
            codec::decode::<IgnoredAny>(&bytes[..length])
                .map(drop)
                .unwrap_err();
            codec::to_json(&bytes[..length]).unwrap_err();
        }
    });
}

#[test]
fn damaged_values_do_not_panic() {
    for_seeds(1_000, |random| {
        let original = codec::encode(&random.any(3)).unwrap();
        for _ in 0..100 {
            let mut bytes = original.clone();
            for _ in 0..1 + random.below(3) {
                let position = 1 + random.below(bytes.len() - 1);
                match random.below(3) {
                    0 => bytes[position] ^= 1 << random.below(8),
                    1 => bytes[position] = random.next() as u8,
                    _ => bytes.insert(position, 0xE0 | random.next() as u8),
                }
            }
            if let Ok(value) = codec::decode::<Any>(&bytes) {
                let again = codec::encode(&value).unwrap();
                assert_eq!(codec::decode::<Any>(&again).unwrap(), value);
            }
            let is_readable = codec::to_json(&bytes).is_ok();
            let is_skippable = codec::decode::<IgnoredAny>(&bytes).is_ok();
            assert!(is_skippable || !is_readable, "{bytes:02x?}");
        }
    });
}

#[test]
fn noise_does_not_panic() {
    for_seeds(20_000, |random| {
        let bytes: Vec<u8> = std::iter::once(0xD1)
            .chain((0..random.below(40)).collect::<Vec<_>>().into_iter().map(|_| {
                if random.flag() {
                    0xC0 | random.next() as u8
                } else {
                    random.next() as u8 & 0x0F
                }
            }))
            .collect();
        let _ = codec::decode::<Any>(&bytes);
        let _ = codec::decode::<Flat>(&bytes);
        let _ = codec::decode::<Struct>(&bytes);
        let _ = codec::decode::<BTreeMap<Key, Untagged>>(&bytes);
        let _ = codec::to_json(&bytes);
    });
}

/// The deepest input that is read needs little stack, even for types that serde buffers level by level.
#[test]
fn the_deepest_values_fit_a_small_stack() {
    let any = |levels| (1..levels).fold(Any::Unit, |inner, _| Any::Sequence(vec![inner]));
    let buffered = |levels| {
        (1..levels).fold(Untagged::Nothing, |inner, _| Untagged::Struct {
            field: Box::new(inner),
        })
    };
    let work = move || {
        for levels in 1..200 {
            let encoded = codec::encode(&any(levels));
            assert_eq!(encoded.is_ok(), levels <= 65, "{levels}");
            if let Ok(bytes) = encoded {
                assert_eq!(codec::decode::<Any>(&bytes).unwrap(), any(levels));
            }
            let encoded = codec::encode(&buffered(levels));
            assert_eq!(encoded.is_ok(), levels <= 129, "{levels}");
            if let Ok(bytes) = encoded {
                assert_eq!(codec::decode::<Untagged>(&bytes).unwrap(), buffered(levels));
            }
        }
    };
    std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}
