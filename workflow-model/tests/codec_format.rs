//! The bytes of the value format, its limits, and the messages of its errors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};
use workflow_model::codec::{self, ErrorKind};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(u16);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u16, char);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    y: i32,
}
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Dot(Point),
    Line(Point, Point),
    Box { x: u8 },
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[track_caller]
fn check<T: Serialize + ?Sized>(value: &T, expected: &[u8]) {
    let bytes = codec::encode(value).unwrap();
    assert_eq!(bytes[0], 0xD1);
    assert_eq!(bytes[1..], *expected, "{:02x?}", &bytes[1..]);
}

#[test]
fn scalars_have_these_bytes() {
    check(&0_u8, &[0]);
    check(&127_i64, &[127]);
    check(&128_u32, &[0xE5, 128]);
    check(&255_u64, &[0xE5, 255]);
    check(&256_u64, &[0xE6, 0x80, 0x02]);
    check(&-1_i8, &[0xE7, 0]);
    check(&-129_i16, &[0xE7, 0x80, 0x01]);
    check(&u64::MAX, &[0xE6, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    check(&u128::MAX, &[vec![0xE6], vec![255; 18], vec![3]].concat());
    check(&i128::MIN, &[vec![0xE7], vec![255; 18], vec![1]].concat());
    check(&true, &[0xE4]);
    check(&false, &[0xE3]);
    check(&1.0_f32, &[0xE8, 0, 0, 0x80, 0x3F]);
    check(&-2.0_f64, &[0xE9, 0, 0, 0, 0, 0, 0, 0, 0xC0]);
    check(&'é', &[0xEA, 0xE9, 0x01]);
    check("", &[0x80]);
    check("né", &[0x83, b'n', 0xC3, 0xA9]);
    check(&"x".repeat(64), &[vec![0xEB, 64], vec![b'x'; 64]].concat());
    check(&Bytes(b"ab"), &[0xEC, 2, b'a', b'b']);
    check(&(), &[0xE2]);
    check(&Unit, &[0xE2]);
    check(&None::<u8>, &[0xE0]);
    check(&Some(Some(())), &[0xE1, 0xE1, 0xE2]);
}

#[test]
fn compounds_have_these_bytes() {
    check(&Newtype(5), &[5]);
    check(&Pair(5, 'a'), &[0xD2, 5, 0xEA, b'a']);
    check(&[0_u8; 0], &[0xD0]);
    check(&vec![(); 16], &[vec![0xED, 16], vec![0xE2; 16]].concat());
    check(&Point { x: 1, y: 2 }, &[0xC2, 3, b'x', 1, 3, b'y', 2]);
    check(
        &[Point { x: 1, y: 2 }, Point { x: 3, y: 4 }],
        &[0xD2, 0xC2, 3, b'x', 1, 3, b'y', 2, 0xC2, 0, 3, 2, 4],
    );
    check(&Shape::Empty, &[0xF1, 11, b'E', b'm', b'p', b't', b'y']);
    check(
        &Shape::Dot(Point { x: 0, y: 0 }),
        &[0xF2, 7, b'D', b'o', b't', 0xC2, 3, b'x', 0, 3, b'y', 0],
    );
    check(
        &(Shape::Box { x: 1 }, Shape::Box { x: 2 }),
        &[
            0xD2, 0xF2, 7, b'B', b'o', b'x', 0xC1, 3, b'x', 1, 0xF2, 0, 0xC1, 2, 2,
        ],
    );
    check(&BTreeMap::from([(1, "a")]), &[0xEF, 1, 1, 0x81, b'a']);
    check(&BTreeMap::<u8, u8>::new(), &[0xEF, 0]);
}

#[test]
fn sequences_of_small_integers_are_packed_whatever_their_type() {
    let elements: Vec<u8> = (120..140).collect();
    let packed = [&[0xEE, 20], &elements[..]].concat();
    check(&elements, &packed);
    check(
        &elements
            .iter()
            .map(|&element| u64::from(element))
            .collect::<Vec<_>>(),
        &packed,
    );
    check(
        &elements
            .iter()
            .map(|&element| Newtype(element.into()))
            .collect::<Vec<_>>(),
        &packed,
    );
    check(&<[u8; 20]>::try_from(&elements[..]).unwrap(), &packed);

    let bytes = codec::encode(&elements).unwrap();
    assert_eq!(codec::decode::<Vec<u8>>(&bytes).unwrap(), elements);
    assert_eq!(codec::decode::<Vec<Newtype>>(&bytes).unwrap()[0], Newtype(120));
    assert_eq!(codec::decode::<Vec<Option<i64>>>(&bytes).unwrap()[19], Some(139));
    assert_eq!(codec::decode::<Vec<f64>>(&bytes).unwrap()[19], 139.0);
    assert_eq!(codec::decode::<&[u8]>(&bytes).unwrap(), elements);
    let error = codec::decode::<Vec<i8>>(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid value: integer `128`, expected i8, at byte 11, in [8]"
    );
}

/// An element that is a `u8` first and something else later, so that packing has to be undone.
#[test]
fn mixed_sequences_are_not_packed() {
    struct Mixed;
    impl Serialize for Mixed {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut elements = serializer.serialize_seq(Some(17))?;
            (120..136_u8).try_for_each(|element| elements.serialize_element(&element))?;
            elements.serialize_element(&(vec![7_u8; 20], Point { x: 1, y: 2 }))?;
            elements.end()
        }
    }
    let small: Vec<u8> = (120..128).collect();
    let large: Vec<u8> = (128..136).flat_map(|element| [0xE5, element]).collect();
    let last = [&[0xD2, 0xEE, 20], &[7; 20][..], &[0xC2, 3, b'x', 1, 3, b'y', 2]].concat();
    check(&Mixed, &[vec![0xED, 17], small, large, last].concat());
}

/// The header is corrected when a length was not known or was wrong.
#[test]
fn announced_lengths_do_not_matter() {
    struct Announced(Option<usize>, Vec<u16>);
    impl Serialize for Announced {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut elements = serializer.serialize_seq(self.0)?;
            for &element in &self.1 {
                match u8::try_from(element) {
                    Ok(element) => elements.serialize_element(&element)?,
                    Err(_) => elements.serialize_element(&element)?,
                }
            }
            elements.end()
        }
    }
    let cases: [Vec<u16>; 6] = [
        vec![],
        vec![1; 15],
        (120..136).collect(),
        vec![200; 300],
        (0..300).collect(),
        (0..300).rev().collect(),
    ];
    for elements in cases {
        let expected = codec::encode(&elements).unwrap();
        for announced in [
            None,
            Some(0),
            Some(15),
            Some(16),
            Some(299),
            Some(300),
            Some(usize::MAX),
        ] {
            let bytes = codec::encode(&Announced(announced, elements.clone())).unwrap();
            assert_eq!(bytes, expected, "{announced:?} of {}", elements.len());
            assert_eq!(codec::decode::<Vec<u16>>(&bytes).unwrap(), elements);
        }
    }
}

#[test]
fn many_names_are_numbered() {
    const NAMES: [&str; 100] = {
        const TEXT: &str = "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij\
                            abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghij";
        let mut names = [""; 100];
        let mut index = 0;
        while index < 100 {
            // Ten different starts, ten different lengths: a hundred different texts.
            names[index] = TEXT.split_at(index % 10).1.split_at(1 + index / 10).0;
            index += 1;
        }
        names
    };
    struct Wide;
    impl Serialize for Wide {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut fields = serializer.serialize_struct("Wide", NAMES.len())?;
            for (name, value) in NAMES.iter().zip(0_u32..) {
                fields.serialize_field(name, &value)?;
            }
            fields.end()
        }
    }
    let once = codec::encode(&Wide).unwrap();
    let thrice = codec::encode(&[Wide, Wide, Wide]).unwrap();
    let again = NAMES
        .iter()
        .enumerate()
        .map(|(index, _)| if index < 64 { 2 } else { 3 })
        .sum::<usize>();
    assert_eq!(thrice.len(), once.len() + 1 + 2 * (again + 2));
    for fields in codec::decode::<Vec<BTreeMap<String, usize>>>(&thrice).unwrap() {
        assert_eq!(fields.len(), 100);
        assert!(fields.iter().all(|(name, &index)| NAMES[index] == name));
    }
}

#[test]
fn strings_and_bytes_are_borrowed() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Borrowed<'a> {
        text: &'a str,
        #[serde(borrow)]
        maybe: Option<&'a str>,
    }
    let value = Borrowed {
        text: "text",
        maybe: Some("more"),
    };
    let bytes = codec::encode(&value).unwrap();
    let decoded: Borrowed<'_> = codec::decode(&bytes).unwrap();
    assert_eq!(decoded, value);
    assert!(bytes.as_ptr_range().contains(&decoded.text.as_ptr()));
    let bytes = codec::encode(&Bytes(b"raw")).unwrap();
    assert_eq!(codec::decode::<&[u8]>(&bytes).unwrap(), b"raw");
    assert_eq!(codec::decode::<Vec<u8>>(&bytes).unwrap(), b"raw");
}

#[test]
fn integers_change_width() {
    let bytes = |value: i128| codec::encode(&value).unwrap();
    assert_eq!(codec::decode::<i64>(&bytes(200)).unwrap(), 200);
    assert_eq!(codec::decode::<u8>(&bytes(200)).unwrap(), 200);
    assert_eq!(codec::decode::<i128>(&bytes(i128::MIN)).unwrap(), i128::MIN);
    assert_eq!(codec::decode::<u128>(&bytes(7)).unwrap(), 7);
    assert_eq!(codec::decode::<f64>(&bytes(-3)).unwrap(), -3.0);
    let cases = [
        (
            codec::decode::<i8>(&bytes(200)).unwrap_err(),
            "invalid value: integer `200`, expected i8, at byte 1",
        ),
        (
            codec::decode::<u64>(&bytes(-1)).unwrap_err(),
            "invalid value: integer `-1`, expected u64, at byte 1",
        ),
        (
            codec::decode::<u64>(&bytes(1 << 64)).map(drop).unwrap_err(),
            "invalid type: integer `18446744073709551616` as u128, expected u64, at byte 1",
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn errors_name_the_value_the_type_and_the_place() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the error is looked at")]
    struct Outer {
        points: Vec<Point>,
        by_name: BTreeMap<String, Shape>,
    }
    fn error(value: &impl Serialize) -> String {
        codec::decode::<Outer>(&codec::encode(value).unwrap())
            .unwrap_err()
            .to_string()
    }
    #[derive(Serialize)]
    struct Given<P, N> {
        points: P,
        by_name: N,
    }
    let none = BTreeMap::<&str, u8>::new();
    let cases = [
        (
            error(&7_u8),
            "invalid type: integer `7`, expected struct Outer, at byte 1",
        ),
        (
            error(&Given {
                points: ["a"],
                by_name: none.clone(),
            }),
            "invalid type: string \"a\", expected struct Point, at byte 10, in points[0]",
        ),
        (
            error(&Given {
                points: [(1, true)],
                by_name: none.clone(),
            }),
            "invalid type: boolean `true`, expected i32, at byte 12, in points[0][1]",
        ),
        (
            error(&Given {
                points: [BTreeMap::from([("x", 1)])],
                by_name: none.clone(),
            }),
            "missing field `y`, at byte 10, in points[0]",
        ),
        (
            error(&Given {
                points: [0; 0],
                by_name: BTreeMap::from([("k", "Round")]),
            }),
            "unknown variant `Round`, expected one of `Empty`, `Dot`, `Line`, `Box`, at byte 22, in by_name[\"k\"]",
        ),
    ];
    for (error, expected) in &cases {
        assert_eq!(error, expected);
    }
    let error = codec::decode::<(u8, u8)>(&codec::encode(&(1, 2, 3)).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "expected 2 elements, found 3, at byte 1");
    let error = codec::decode::<Shape>(&codec::encode(&BTreeMap::from([("Empty", 1)])).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid type: integer `1`, expected unit, at byte 9, in Empty"
    );
}

#[test]
fn malformed_bytes_are_named() {
    let cases: [(&[u8], &str); 16] = [
        (&[], "the input ends where a format tag was expected, at byte 0"),
        (
            b"{}",
            "unknown format 0x7b: this build reads format 0xd1, at byte 0",
        ),
        (&[0xD1], "the input ends where a value was expected, at byte 1"),
        (&[0xD1, 0, 0], "1 bytes follow the end of the value, at byte 2"),
        (&[0xD1, 0xFF], "tag 0xff is not assigned, at byte 2"),
        (
            &[0xD1, 0x82, b'a'],
            "the input ends where a string was expected, at byte 2",
        ),
        (&[0xD1, 0x81, 0xFF], "a string is not valid UTF-8, at byte 3"),
        (
            &[0xD1, 0xE5],
            "the input ends where an integer was expected, at byte 2",
        ),
        (
            &[0xD1, 0xE6, 0x80],
            "the input ends where the rest of a number was expected, at byte 3",
        ),
        (
            &[
                0xD1, 0xE6, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                255, 255, 4,
            ],
            "variable-length number is larger than u128, at byte 21",
        ),
        (
            &[0xD1, 0xE9, 0],
            "the input ends where eight bytes of a number was expected, at byte 2",
        ),
        (
            &[0xD1, 0xEA, 0x80, 0xB0, 0x03],
            "0xd800 is not a character, at byte 5",
        ),
        (
            &[0xD1, 0xED, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            "a sequence claims 18446744073709551615 but only 0 bytes follow, at byte 12",
        ),
        (
            &[0xD1, 0xEC, 5, 0],
            "bytes claims 5 but only 1 bytes follow, at byte 3",
        ),
        (
            &[0xD1, 0xC1, 4, 0],
            "name 2 is used but only 0 are defined before it, at byte 3",
        ),
        (
            &[0xD1, 0xEF, 2, 0, 0, 0],
            "a map claims 2 but only 3 bytes follow, at byte 3",
        ),
    ];
    for (bytes, expected) in cases {
        let error = codec::to_json(bytes).unwrap_err();
        assert_eq!(error.to_string(), expected, "{bytes:02x?}");
        codec::decode::<IgnoredAny>(bytes).map(drop).unwrap_err();
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Nested(Vec<Nested>);

#[derive(Debug, Serialize, Deserialize)]
enum Chain {
    End,
    Link { next: Box<Chain> },
}

#[test]
fn depth_is_limited_on_both_sides() {
    // A newtype and a sequence: two levels each.
    let nested = |levels| (1..levels).fold(Nested::default(), |inner, _| Nested(vec![inner]));
    let bytes = codec::encode(&nested(64)).unwrap();
    assert_eq!(codec::decode::<Nested>(&bytes).unwrap(), nested(64));
    let error = codec::encode(&nested(65)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::TooDeep { limit: 128 });
    assert!(
        error
            .to_string()
            .starts_with("nested more than 128 levels deep, in [0][0]"),
        "{error}"
    );

    let chain = |levels| (0..levels).fold(Chain::End, |next, _| Chain::Link { next: Box::new(next) });
    let bytes = codec::encode(&chain(64)).unwrap();
    codec::decode::<Chain>(&bytes).unwrap();
    codec::to_json(&bytes).unwrap();
    codec::encode(&chain(65)).unwrap_err();

    for tag in [0xE1, 0xD1, 0xF2] {
        let level: &[u8] = if tag == 0xF2 { &[0xF2, 1] } else { &[tag] };
        let bytes = [&[0xD1][..], &level.repeat(100_000), &[0]].concat();
        for error in [
            codec::to_json(&bytes).unwrap_err(),
            codec::decode::<IgnoredAny>(&bytes).map(drop).unwrap_err(),
        ] {
            assert_eq!(*error.kind(), ErrorKind::TooDeep { limit: 160 }, "{tag:#x}");
        }
    }
    let deep = (0..200).fold(serde_json::Value::Null, |inner, _| {
        serde_json::Value::Array(vec![inner])
    });
    assert_eq!(
        *codec::from_json(&deep).unwrap_err().kind(),
        ErrorKind::TooDeep { limit: 128 }
    );
}

/// A type that can wrap one node for ever must not recurse for ever.
#[test]
fn types_that_consume_nothing_are_stopped() {
    #[derive(Debug, Deserialize)]
    struct Endless(#[expect(dead_code, reason = "never built")] Option<Box<Endless>>);
    for value in [codec::encode(&7).unwrap(), codec::encode("x").unwrap()] {
        let error = codec::decode::<Endless>(&value).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooDeep { limit: 160 });
    }
    let packed = codec::encode(&[7_u8; 20]).unwrap();
    codec::decode::<Vec<Endless>>(&packed).unwrap_err();
    let keys = codec::encode(&BTreeMap::from([("k", 1)])).unwrap();
    codec::decode::<Vec<(Endless, u8)>>(&keys).unwrap_err();
}

#[test]
fn a_failed_encoding_leaves_the_buffer_as_it_was() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    /// Goes on although an element has failed.
    struct Careless;
    impl Serialize for Careless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut elements = serializer.serialize_seq(None)?;
            let _ = elements.serialize_element(&("half", Fails));
            elements.end()
        }
    }
    struct Unpaired;
    impl Serialize for Unpaired {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut entries = serializer.serialize_map(None)?;
            entries.serialize_key("key")?;
            entries.end()
        }
    }
    let mut out = b"before".to_vec();
    codec::encode_into(&1, &mut out).unwrap();
    let before = out.clone();
    let error = codec::encode_into(&BTreeMap::from([("a", vec![Some(Fails)])]), &mut out).unwrap_err();
    assert_eq!(error.to_string(), "no, in [entry 0][0]");
    assert_eq!(
        *codec::encode_into(&Careless, &mut out).unwrap_err().kind(),
        ErrorKind::Abandoned
    );
    assert_eq!(
        *codec::encode_into(&Unpaired, &mut out).unwrap_err().kind(),
        ErrorKind::UnpairedMapEntry
    );
    assert_eq!(out, before);
    assert_eq!(out, b"before\xD1\x01");
}
