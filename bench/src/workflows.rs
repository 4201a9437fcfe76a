//! The workflows that are measured.

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
        Payload { sequence: 0, account: "account-0123456789-abcdef".to_owned(), amount: 123_456_789 }
    }
}

#[task]
async fn advance(payload: Payload) -> Payload {
    Payload { sequence: payload.sequence + 1, ..payload }
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
