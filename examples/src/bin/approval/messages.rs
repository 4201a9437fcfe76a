//! What people send to a purchase request.

use serde::{Deserialize, Serialize};
use workflow_runtime::{Values, prelude::*};

/// Somebody has decided.
#[signal(name = "approval")]
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) by: String,
    pub(crate) decision: Decision,
}

/// What was decided.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Decision {
    Approve,
    Refuse { reason: String },
}

/// The price has changed. The reply says how many approvals are needed now.
#[update(name = "amend", reply = usize, validate = is_a_price)]
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Amend {
    pub(crate) cents: u64,
}

/// The largest request that can be made, in cents.
const MOST_CENTS: u64 = 1_000_000;

/// Refuses a price that nobody can mean, before it is stored.
fn is_a_price(amend: &Amend, values: &Values) -> Result<(), String> {
    let item: String = values.get("item").unwrap_or_else(|| "item".to_owned());
    match amend.cents {
        0 => Err(format!("a {item} for nothing needs no purchase")),
        cents if cents > MOST_CENTS => Err(format!("{cents} cents for a {item}: the most is {MOST_CENTS}")),
        _ => Ok(()),
    }
}
