//! The output of a workflow is stored.

use workflow_runtime::prelude::*;

struct Receipt;

#[workflow]
async fn order(cents: u64) -> Receipt {
    let _ = cents;
    Receipt
}

fn main() {}
