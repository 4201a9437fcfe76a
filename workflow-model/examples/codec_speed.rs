//! Prints how long the value format takes: `cargo run --release -p workflow-model --example codec_speed`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use workflow_model::codec;

/// Five fields, about fifty bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    amount_cents: i64,
    express: bool,
    note: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Step {
    Idle,
    Charge { order: Order, attempts: u32 },
    Ship(BTreeMap<String, f64>),
}

fn order(id: u64) -> Order {
    Order {
        id,
        customer: "Ada Lovelace".to_owned(),
        amount_cents: 129_900,
        express: true,
        note: Some("leave at the door".to_owned()),
    }
}

fn main() {
    row("value", "bytes", "encode", "decode", "encode rate", "decode rate");
    measure("u64", &123_456_u64);
    measure("struct of 5 fields", &order(1_000));
    measure("1,000 structs", &(0..1_000).map(order).collect::<Vec<_>>());
    measure(
        "300 enums",
        &(0..300)
            .map(|index| match index % 3 {
                0 => Step::Idle,
                1 => Step::Charge {
                    order: order(index),
                    attempts: 3,
                },
                _ => Step::Ship(BTreeMap::from([("a".to_owned(), 0.5), ("b".to_owned(), 1.5)])),
            })
            .collect::<Vec<_>>(),
    );
    measure(
        "10,000 u64",
        &(0..10_000_u64).map(|index| index * 7_919).collect::<Vec<_>>(),
    );
    measure("10,000 f64", &(0..10_000).map(f64::from).collect::<Vec<_>>());
    measure("text of 1 MiB", &"durable ".repeat(131_072));
    measure("Vec<u8> of 1 MiB, zeros", &vec![0_u8; 1 << 20]);
    measure("Vec<u8> of 1 MiB, random", &random_bytes(1 << 20));
}

/// SplitMix64, the generator of Steele, Lea and Flood (2014).
fn random_bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = state;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    })
    .flat_map(u64::to_le_bytes)
    .take(length)
    .collect()
}

fn measure<T>(name: &str, value: &T)
where
    T: Serialize + for<'de> Deserialize<'de>,
{
    let bytes = codec::encode(value).expect("the value can be encoded");
    let encode = best(|| drop(black_box(codec::encode(black_box(value)))));
    let decode = best(|| drop(black_box(codec::decode::<T>(black_box(&bytes)))));
    let rate = |time: Duration| format!("{:.0} MB/s", bytes.len() as f64 / time.as_secs_f64() / 1e6);
    row(
        name,
        &bytes.len().to_string(),
        &format!("{encode:.1?}"),
        &format!("{decode:.1?}"),
        &rate(encode),
        &rate(decode),
    );
}

fn row(name: &str, bytes: &str, encode: &str, decode: &str, encode_rate: &str, decode_rate: &str) {
    println!("{name:26} {bytes:>10} {encode:>12} {decode:>12} {encode_rate:>12} {decode_rate:>12}");
}

/// The shortest mean of ten rounds of at least 10 ms each.
fn best(mut work: impl FnMut()) -> Duration {
    let mut rounds = 1_u32;
    let mut shortest = Duration::MAX;
    let mut measured = 0;
    while measured < 10 {
        let start = Instant::now();
        (0..rounds).for_each(|_| work());
        let elapsed = start.elapsed();
        if elapsed < Duration::from_millis(10) {
            rounds *= 2;
        } else {
            shortest = shortest.min(elapsed / rounds);
            measured += 1;
        }
    }
    shortest
}
