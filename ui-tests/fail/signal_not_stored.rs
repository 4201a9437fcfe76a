//! A message is stored, and so is a reply.

use workflow_runtime::prelude::*;

#[signal]
struct Approval {
    by: String,
}

struct Receipt;

#[update(reply = Receipt)]
#[derive(serde::Serialize, serde::Deserialize)]
struct Pay;

fn main() {}
