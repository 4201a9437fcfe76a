//! Reads a store with nothing but `docs/formats.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::store::{MemoryStore, Store};

/// Reads bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn big_endian(&mut self, bytes: usize) -> u64 {
        self.take(bytes)
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn varint(&mut self) -> u128 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= u128::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn counted(&mut self) -> &'a [u8] {
        let length = self.varint() as usize;
        self.take(length)
    }

    fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.counted()).unwrap()
    }
}

/// Shows a value as text.
fn value(bytes: &[u8]) -> String {
    let mut reader = Reader(bytes);
    assert_eq!(reader.byte(), 0xD1);
    let mut out = String::new();
    node(&mut reader, &mut Vec::new(), &mut out);
    assert!(reader.0.is_empty());
    out
}

fn name(reader: &mut Reader<'_>, names: &mut Vec<String>) -> String {
    let start = reader.varint() as usize;
    if start % 2 == 1 {
        names.push(String::from_utf8(reader.take(start >> 1).to_vec()).unwrap());
        return names.last().unwrap().clone();
    }
    names[start >> 1].clone()
}

fn node(reader: &mut Reader<'_>, names: &mut Vec<String>, out: &mut String) {
    let tag = reader.byte();
    match tag {
        0x00..=0x7F => write!(out, "{tag}").unwrap(),
        0x80..=0xBF => write!(
            out,
            "{:?}",
            std::str::from_utf8(reader.take((tag & 0x3F).into())).unwrap()
        )
        .unwrap(),
        0xC0..=0xCF => fields(reader, names, out, (tag & 0x0F).into()),
        0xD0..=0xDF => elements(reader, names, out, (tag & 0x0F).into()),
        0xE0 => out.push_str("none"),
        0xE1 => {
            out.push_str("some ");
            node(reader, names, out);
        }
        0xE2 => out.push_str("()"),
        0xE3 | 0xE4 => write!(out, "{}", tag == 0xE4).unwrap(),
        0xE5 => write!(out, "{}", reader.byte()).unwrap(),
        0xE6 => write!(out, "{}", reader.varint()).unwrap(),
        0xE7 => write!(out, "{}", -1 - reader.varint() as i128).unwrap(),
        0xE8 => write!(out, "{}", f32::from_le_bytes(reader.take(4).try_into().unwrap())).unwrap(),
        0xE9 => write!(out, "{}", f64::from_le_bytes(reader.take(8).try_into().unwrap())).unwrap(),
        0xEA => write!(out, "{:?}", char::from_u32(reader.varint() as u32).unwrap()).unwrap(),
        0xEB => write!(out, "{:?}", reader.text()).unwrap(),
        0xEC => write!(
            out,
            "bytes {}",
            if reader.0.get(1) == Some(&0xD1) {
                value(reader.counted())
            } else {
                format!("{:02x?}", reader.counted())
            }
        )
        .unwrap(),
        0xED => {
            let count = reader.varint() as usize;
            elements(reader, names, out, count);
        }
        0xEE => write!(out, "{:?}", reader.counted()).unwrap(),
        0xEF => {
            out.push('{');
            for _ in 0..reader.varint() {
                node(reader, names, out);
                out.push_str(": ");
                node(reader, names, out);
                out.push(' ');
            }
            out.push('}');
        }
        0xF0 => {
            let count = reader.varint() as usize;
            fields(reader, names, out, count);
        }
        0xF1 => out.push_str(&name(reader, names)),
        0xF2 => {
            write!(out, "{} ", name(reader, names)).unwrap();
            node(reader, names, out);
        }
        0xF3.. => panic!("the tag {tag:#x} is not assigned"),
    }
}

fn fields(reader: &mut Reader<'_>, names: &mut Vec<String>, out: &mut String, count: usize) {
    out.push('{');
    for index in 0..count {
        let separator = if index == 0 { "" } else { ", " };
        write!(out, "{separator}{}: ", name(reader, names)).unwrap();
        node(reader, names, out);
    }
    out.push('}');
}

fn elements(reader: &mut Reader<'_>, names: &mut Vec<String>, out: &mut String, count: usize) {
    out.push('[');
    for index in 0..count {
        out.push_str(if index == 0 { "" } else { ", " });
        node(reader, names, out);
    }
    out.push(']');
}

fn operation(bytes: &[u8]) -> String {
    let mut reader = Reader(bytes);
    let kind = char::from(reader.byte());
    let length = reader.big_endian(4) as usize;
    let name = std::str::from_utf8(reader.take(length)).unwrap();
    match kind {
        't' => {
            assert!(reader.big_endian(8) > 0, "when it was awaited");
            format!("task {name} {}", value(reader.0))
        }
        's' => format!(
            "timer {}",
            if reader.big_endian(8) > 0 {
                "due"
            } else {
                "not due"
            }
        ),
        'm' => format!("signal {name}"),
        'j' => {
            let mut branches = Vec::new();
            while !reader.0.is_empty() {
                let length = reader.big_endian(4) as usize;
                branches.push(operation(reader.take(length)));
            }
            format!("{name} of {}", branches.join(" and "))
        }
        other => panic!("the operation {other} is not known"),
    }
}

fn state(bytes: &[u8]) -> String {
    let mut reader = Reader(bytes);
    assert_eq!(reader.byte(), 1);
    let step = reader.varint();
    let point = reader.text();
    let mut out = format!("step {step}, point {point}, {}", operation(reader.counted()));
    while !reader.0.is_empty() {
        let name = reader.text();
        match reader.byte() {
            0 => write!(out, "; {name} = {}", value(reader.counted())).unwrap(),
            1 => write!(out, "; {name} in side {}", reader.varint()).unwrap(),
            other => panic!("the kind {other} of a variable is not known"),
        }
    }
    out
}

fn shard(id: &str, shards: u64) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash ^ (hash >> 32)) % shards
}

/// Every record of the store by a readable key.
async fn dump(store: &MemoryStore) -> BTreeMap<String, String> {
    let all = store
        .scan(Bytes::from_static(b"w")..Bytes::from_static(b"x"), 10_000)
        .await
        .unwrap();
    let mut records = BTreeMap::new();
    for (key, bytes) in &all {
        let mut reader = Reader(key);
        assert_eq!(reader.byte(), b'w');
        if reader.byte() == 0 {
            let name = String::from_utf8(reader.0.to_vec()).unwrap();
            records.insert(name, String::from_utf8(bytes.to_vec()).unwrap());
            continue;
        }
        let namespace = reader.0.split(|byte| *byte == 0).next().unwrap();
        reader.take(namespace.len() + 1);
        assert_eq!(namespace, b"default");
        let found_shard = reader.big_endian(2);
        let kind = char::from(reader.byte());
        if kind == 'l' {
            assert!(reader.0.is_empty());
            records.insert(format!("l {found_shard}"), value(bytes));
            continue;
        }
        if kind == 'd' {
            assert!(reader.big_endian(8) > 1_700_000_000_000);
        }
        let id_length = reader
            .0
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(reader.0.len());
        let id = std::str::from_utf8(reader.take(id_length)).unwrap();
        assert_eq!(found_shard, shard(id, 64));
        let text = match kind {
            'i' | 'e' | 'a' | 'c' | 'm' => value(bytes),
            's' => state(bytes),
            _ => String::new(),
        };
        let rest = if kind == 'c' {
            format!(" {}", {
                reader.byte();
                reader.big_endian(4)
            })
        } else {
            String::new()
        };
        records.insert(format!("{kind} {id}{rest}"), text);
    }
    records
}

#[derive(Serialize, Deserialize)]
struct Approval {
    by: String,
}

impl Signal for Approval {
    const NAME: &'static str = "approval";
}

#[task]
async fn quote(item: &str, count: u32) -> u32 {
    count * item.len() as u32
}

#[workflow]
async fn purchase(item: String, count: u32) -> Option<String> {
    let notes = "long ".repeat(300);
    let mut total = -7;
    for part in 0..2 {
        total += i64::from(quote(&item, count + part).await);
    }
    select! {
        approval = receive::<Approval>() => Some(format!("{total} {} {}", approval.by, notes.len())),
        _ = sleep("1h") => None,
    }
}

#[tokio::test]
async fn a_store_reads_as_documented() {
    let store = MemoryStore::new();
    let engine = WorkflowEngine::<purchase>::builder()
        .store(store.clone())
        .build()
        .await
        .unwrap();
    let handle = engine
        .start(purchase("lamp".to_owned(), 300))
        .id("buy-1")
        .await
        .unwrap();
    let waiting = loop {
        let records = dump(&store).await;
        if records["s buy-1"].contains("step 3") {
            break records;
        }
        tokio::task::yield_now().await;
    };
    println!("{waiting:#?}");
    assert_eq!(
        (
            waiting["format"].as_str(),
            waiting["epoch"].split(' ').next().unwrap(),
            waiting["shards"].as_str()
        ),
        ("1", "1", "64")
    );
    assert_eq!(
        waiting["s buy-1"],
        "step 3, point select, select of signal approval and timer due; notes in side 0; total = 2397"
    );
    assert_eq!(waiting["c buy-1 0"], format!("{:?}", "long ".repeat(300)));
    let instance = &waiting["i buy-1"];
    assert!(
        instance.starts_with("{workflow: \"purchase\", token: "),
        "{instance}"
    );
    assert!(
        instance.ends_with(", input: bytes {item: \"lamp\", count: 300}, parent: none, restarts: 0}"),
        "{instance}"
    );
    assert!(waiting.contains_key("d buy-1"));
    assert_eq!(waiting["l 0"], "{node: 1, epoch: 1, clean: true, sole: true}");

    handle.signal(Approval { by: "Ada".to_owned() }).await.unwrap();
    assert_eq!(handle.result().await.unwrap().unwrap(), "2397 Ada 1500");
    engine.shutdown().await;
    let ended = dump(&store).await;
    println!("{ended:#?}");
    let outcome = &ended["e buy-1"];
    assert!(outcome.starts_with("{end: Completed, time_ms: "), "{outcome}");
    assert!(
        outcome.ends_with(", steps: 3, output: bytes some \"2397 Ada 1500\"}"),
        "{outcome}"
    );
    assert_eq!(ended["l 63"], "{node: 0, epoch: 1, clean: true, sole: false}");
    let left: Vec<_> = ended.keys().filter(|key| key.contains("buy-1")).collect();
    assert_eq!(left, ["e buy-1", "i buy-1"]);
}
