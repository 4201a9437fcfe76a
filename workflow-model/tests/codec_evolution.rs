//! Values that one version of a type wrote are read by another, in both directions, and from an operator's JSON.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use workflow_model::codec;

#[track_caller]
fn becomes<T: DeserializeOwned + Debug + PartialEq>(stored: &impl Serialize, expected: &T) {
    let bytes = codec::encode(stored).unwrap();
    assert_eq!(codec::decode::<T>(&bytes).unwrap(), *expected);
}

#[track_caller]
fn fails<T: DeserializeOwned + Debug>(stored: &impl Serialize, expected: &str) {
    let bytes = codec::encode(stored).unwrap();
    assert_eq!(codec::decode::<T>(&bytes).unwrap_err().to_string(), expected);
}

#[test]
fn fields_are_added_removed_renamed_and_reordered() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        id: u32,
        removed: Vec<Shared>,
        name: String,
        kept: Shared,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        kept: Shared,
        #[serde(alias = "name")]
        title: String,
        id: u64,
        #[serde(default)]
        added: bool,
        maybe: Option<u8>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct OldAgain {
        id: u8,
        #[serde(alias = "title")]
        name: String,
        #[serde(default)]
        removed: Vec<Shared>,
        kept: Shared,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Shared {
        left: u8,
        right: u8,
    }
    let shared = Shared { left: 1, right: 2 };
    let old = Old {
        id: 7,
        removed: vec![shared.clone()],
        name: "n".into(),
        kept: shared.clone(),
    };
    let new = New {
        kept: shared.clone(),
        title: "n".into(),
        id: 7,
        added: false,
        maybe: None,
    };
    // The names of `Shared` are defined inside the field that is skipped.
    becomes(&old, &new);
    becomes(
        &new,
        &OldAgain {
            id: 7,
            name: "n".into(),
            removed: vec![],
            kept: shared,
        },
    );
    fails::<Old>(&new, "missing field `removed`, at byte 1");
}

#[test]
fn options_and_newtypes_are_added_and_removed() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Meters(f64);
    becomes(&5_u8, &Some(5_i64));
    becomes(&5_u8, &Some(Some(5_u8)));
    becomes(&Some(Some("x")), &"x".to_owned());
    becomes(&Some((1, 2)), &(1, 2));
    becomes(&Some([(1, 2)]), &BTreeMap::from([(1, 2)]));
    becomes(&2.5, &Meters(2.5));
    becomes(&Meters(2.5), &2.5);
    becomes(
        &[1_u8; 20],
        &(0..20).map(|_| Some(Meters(1.0))).collect::<Vec<_>>(),
    );
    fails::<u8>(
        &None::<u8>,
        "invalid type: an absent option, expected u8, at byte 1",
    );
    fails::<String>(
        &Some(1),
        "invalid type: integer `1`, expected a string, at byte 1",
    );
}

#[test]
fn every_shape_of_option_is_kept() {
    for value in [None, Some(None), Some(Some(None)), Some(Some(Some(())))] {
        becomes::<Option<Option<Option<()>>>>(&value, &value);
    }
}

#[test]
fn variants_are_reordered_and_gain_fields() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Old {
        First,
        Second(u8),
        Third { x: u8 },
        Fourth(u8, u8),
        Empty(),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum New {
        Zeroth,
        Third {
            #[serde(default)]
            y: u8,
            x: u64,
        },
        #[serde(alias = "Second")]
        Renamed(Option<u32>),
        Fourth(i64, i64),
        Empty(),
        First {
            #[serde(default)]
            added: Vec<u8>,
        },
    }
    becomes(
        &[
            Old::First,
            Old::Second(2),
            Old::Third { x: 3 },
            Old::Fourth(4, 4),
            Old::Empty(),
        ],
        &vec![
            New::First { added: vec![] },
            New::Renamed(Some(2)),
            New::Third { y: 0, x: 3 },
            New::Fourth(4, 4),
            New::Empty(),
        ],
    );
    becomes(&New::Third { x: 3, y: 4 }, &Old::Third { x: 3 });
    fails::<Old>(
        &New::Zeroth,
        "unknown variant `Zeroth`, expected one of `First`, `Second`, `Third`, `Fourth`, `Empty`, at byte 1",
    );
    fails::<Old>(
        &New::First { added: vec![] },
        "invalid type: struct, expected unit, at byte 8, in First",
    );
    fails::<Old>(
        &BTreeMap::from([("First", ()), ("Second", ())]),
        "invalid type: map, expected enum Old, at byte 1",
    );
}

#[test]
fn structs_change_their_kind() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Fields {
        a: u8,
        b: String,
    }
    becomes(&Unit, &Fields::default());
    becomes(&Fields::default(), &Unit);
    becomes(&(1, "x"), &Fields { a: 1, b: "x".into() });
    becomes(
        &BTreeMap::from([("a", 1)]),
        &Fields {
            a: 1,
            b: String::new(),
        },
    );
    becomes(
        &Fields { a: 1, b: "x".into() },
        &HashMap::from([("a".to_owned(), json!(1)), ("b".to_owned(), json!("x"))]),
    );
}

#[test]
fn text_and_bytes_change_their_kind() {
    becomes(&'x', &"x".to_owned());
    becomes(&"x", &'x');
    becomes(&std::net::Ipv4Addr::LOCALHOST, &[127_u8, 0, 0, 1]);
    fails::<char>(
        &"xy",
        "invalid value: string \"xy\", expected a character, at byte 1",
    );
}

#[test]
fn types_that_serde_buffers_are_read() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        id: u8,
        left: Option<Option<u8>>,
        kind: Kind,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        id: i64,
        #[serde(flatten)]
        rest: Rest,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Rest {
        left: Option<Option<u8>>,
        kind: Kind,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Plain,
        Data { x: u8 },
        Tuple(u8, char),
    }
    for left in [None, Some(None), Some(Some(1))] {
        for kind in [|| Kind::Plain, || Kind::Data { x: 1 }, || Kind::Tuple(1, 'é')] {
            let old = Old {
                id: 1,
                left,
                kind: kind(),
            };
            let new = New {
                id: 1,
                rest: Rest { left, kind: kind() },
            };
            becomes(&old, &new);
            becomes(&new, &old);
        }
    }
}

#[test]
fn json_shows_values() {
    #[derive(Serialize)]
    enum Shape {
        Empty,
        Dot(u8),
        Line(u8, u8),
        Area { x: f32 },
    }
    #[track_caller]
    fn shows(value: &impl Serialize, expected: &str) {
        assert_eq!(
            codec::to_json(&codec::encode(value).unwrap())
                .unwrap()
                .to_string(),
            expected
        );
    }
    shows(
        &[
            Shape::Empty,
            Shape::Dot(1),
            Shape::Line(1, 2),
            Shape::Area { x: 0.1 },
        ],
        r#"["Empty",{"Dot":1},{"Line":[1,2]},{"Area":{"x":0.1}}]"#,
    );
    shows(
        &(u64::MAX, i64::MIN, 'x', (), None::<u8>, Some(1)),
        r#"[18446744073709551615,-9223372036854775808,"x",null,null,1]"#,
    );
    shows(
        &(1_i128 << 64, i128::MIN),
        r#"["18446744073709551616","-170141183460469231731687303715884105728"]"#,
    );
    shows(
        &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0],
        r#"["NaN","Infinity","-Infinity",1.0]"#,
    );
    shows(&BTreeMap::from([(1, 'a'), (-2, 'b')]), r#"{"-2":"b","1":"a"}"#);
    shows(&BTreeMap::from([(true, 1)]), r#"{"true":1}"#);
    shows(&BTreeMap::from([((1, 2), 3)]), "[[[1,2],3]]");
    shows(&BTreeMap::<(u8, u8), u8>::new(), "{}");
    shows(&vec![200_u8; 17], &json!(vec![200; 17]).to_string());
}

#[test]
fn types_are_read_from_json() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Edited {
        id: u16,
        ratio: f64,
        nan: Bits,
        wide: i128,
        kind: Vec<Kind>,
        keys: BTreeMap<u8, Option<bool>>,
        pairs: BTreeMap<(u8, u8), char>,
        unit: (),
        missing: Option<u8>,
        bytes: Vec<u8>,
        #[serde(flatten)]
        rest: BTreeMap<String, serde_json::Value>,
    }
    #[derive(Debug, Deserialize)]
    struct Bits(f32);
    impl PartialEq for Bits {
        fn eq(&self, other: &Self) -> bool {
            self.0.to_bits() == other.0.to_bits()
        }
    }
    #[derive(Debug, PartialEq, Deserialize)]
    enum Kind {
        Plain,
        One(u8),
        Two(u8, u8),
        Named { x: u8 },
        Maybe(Option<u8>),
        Unit(()),
    }
    let json = json!({
        "id": 7,
        "ratio": 1,
        "nan": "Infinity",
        "wide": "-170141183460469231731687303715884105728",
        "kind": ["Plain", {"Plain": null}, {"One": 1}, {"Two": [1, 2]}, {"Named": {"x": 1}}, {"Maybe": null}, {"Unit": null}],
        "keys": {"1": true, "2": null},
        "pairs": [[[1, 2], "a"]],
        "unit": null,
        "bytes": [1, 255],
        "other": {"a": [null, "b"]},
    });
    let edited = Edited {
        id: 7,
        ratio: 1.0,
        nan: Bits(f32::INFINITY),
        wide: i128::MIN,
        kind: vec![
            Kind::Plain,
            Kind::Plain,
            Kind::One(1),
            Kind::Two(1, 2),
            Kind::Named { x: 1 },
            Kind::Maybe(None),
            Kind::Unit(()),
        ],
        keys: BTreeMap::from([(1, Some(true)), (2, None)]),
        pairs: BTreeMap::from([((1, 2), 'a')]),
        unit: (),
        missing: None,
        bytes: vec![1, 255],
        rest: BTreeMap::from([("other".to_owned(), json!({"a": [null, "b"]}))]),
    };
    let bytes = codec::from_json(&json).unwrap();
    // `flatten` makes serde buffer only the fields that it does not know itself.
    assert_eq!(codec::decode::<Edited>(&bytes).unwrap(), edited);
    assert_eq!(codec::to_json(&bytes).unwrap(), json);

    let error =
        codec::decode::<BTreeMap<u8, u8>>(&codec::from_json(&json!({"256": 1})).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid value: integer `256`, expected u8, at byte 3, in [\"256\"]"
    );
    let error = codec::decode::<BTreeMap<u8, u8>>(&codec::from_json(&json!({"x": 1})).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid type: string \"x\", expected u8, at byte 3, in [\"x\"]"
    );
    let error =
        codec::decode::<BTreeMap<u8, u8>>(&codec::from_json(&json!([[1, 2, 3]])).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "expected 2 elements, found 3, at byte 2");
}
