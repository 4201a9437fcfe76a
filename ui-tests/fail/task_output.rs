//! The output of a task is stored.

use workflow_runtime::prelude::*;

struct Receipt;

#[task]
async fn charge(cents: u64) -> Receipt {
    let _ = cents;
    Receipt
}

fn main() {}
