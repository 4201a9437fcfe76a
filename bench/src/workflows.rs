//! The workflows that are measured.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

/// What the steps hand on: about 50 bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) sequence: u64,
    pub(crate) account: String,
    pub(crate) amount: u64,
}

impl Payload {
    pub(crate) fn new() -> Self {
        Payload {
            sequence: 0,
            account: "account-0123456789-abcdef".to_owned(),
            amount: 123_456_789,
        }
    }
}

#[task]
async fn advance(payload: Payload) -> Payload {
    Payload {
        sequence: payload.sequence + 1,
        ..payload
    }
}

/// Trivial steps, one after the other.
#[workflow]
pub(crate) async fn sequence(steps: u64, start: Payload) -> Payload {
    let mut payload = start;
    for _ in 0..steps {
        payload = advance(payload).await;
    }
    payload
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    name: String,
    amount: u64,
}

/// What [`short()`] gives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) rows: usize,
    total: u64,
}

#[task]
async fn fetch(source: String) -> Vec<Record> {
    (1..=3)
        .map(|amount| Record {
            name: source[..8].to_owned(),
            amount,
        })
        .collect()
}

#[task]
async fn process(records: Vec<Record>) -> Vec<Record> {
    records
        .into_iter()
        .map(|record| Record {
            amount: 2 * record.amount,
            ..record
        })
        .collect()
}

#[task]
async fn store(records: Vec<Record>) -> Receipt {
    Receipt {
        rows: records.len(),
        total: records.iter().map(|record| record.amount).sum(),
    }
}

/// Three trivial steps.
#[workflow]
pub(crate) async fn short(source: String) -> Receipt {
    let records = fetch(source).await;
    let records = process(records).await;
    store(records).await
}

/// Ends a wait.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Proceed {
    pub(crate) by: String,
}

impl Signal for Proceed {
    const NAME: &'static str = "proceed";
}

/// Steps, and then a wait.
#[workflow]
pub(crate) async fn steps_then_wait(steps: u64, start: Payload) -> Payload {
    let mut payload = start;
    for _ in 0..steps {
        payload = advance(payload).await;
    }
    let proceed = receive::<Proceed>().await;
    payload.account = proceed.by;
    payload
}

/// A wait at once.
#[workflow]
pub(crate) async fn wait(start: Payload) -> String {
    let proceed = receive::<Proceed>().await;
    format!("{} by {}", start.account, proceed.by)
}

#[task]
async fn ballast(bytes: usize) -> String {
    "0123456789abcdef".repeat(bytes / 16)
}

/// Steps that keep a large value, which cannot change, alive.
#[workflow]
pub(crate) async fn carry_constant(steps: u64, bytes: usize, start: Payload) -> usize {
    let mut payload = start;
    let carried = ballast(bytes).await;
    for _ in 0..steps {
        payload = advance(payload).await;
    }
    carried.len() + usize::from(payload.account.is_empty())
}

/// Steps that keep a large value, which does not change although it could, alive.
#[workflow]
pub(crate) async fn carry_variable(steps: u64, bytes: usize, start: Payload) -> usize {
    let mut payload = start;
    let mut carried = ballast(bytes).await;
    for _ in 0..steps {
        payload = advance(payload).await;
    }
    carried.push('.');
    carried.len() - 1 + usize::from(payload.account.is_empty())
}

/// Many trivial steps at once.
#[workflow]
pub(crate) async fn fan_out(branches: u64, start: Payload) -> u64 {
    let calls = (0..branches).map(|sequence| {
        advance(Payload {
            sequence,
            ..start.clone()
        })
    });
    let payloads = join_all(calls).await;
    payloads.iter().map(|payload| payload.sequence).sum()
}

/// Sleeps until a time, in milliseconds since the Unix epoch, and tells how much later it woke, in microseconds.
#[workflow]
pub(crate) async fn sleeper(due_ms: u64) -> u64 {
    sleep_until(UNIX_EPOCH + Duration::from_millis(due_ms)).await;
    let late = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_millis(due_ms));
    late.map_or(0, |late| u64::try_from(late.as_micros()).unwrap_or(u64::MAX))
}

/// Waits for so many signals, one after the other.
#[workflow]
pub(crate) async fn collect(count: u64) -> u64 {
    let mut characters = 0;
    for _ in 0..count {
        let proceed = receive::<Proceed>().await;
        characters += proceed.by.len() as u64;
    }
    characters
}
