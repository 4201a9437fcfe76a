//! A lock is held across an await.

use std::sync::Mutex;

use workflow_runtime::prelude::*;

static TOTAL: Mutex<u64> = Mutex::new(0);

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(cents: u64) -> u64 {
    let mut total = TOTAL.lock().unwrap();
    charge(cents).await;
    *total += cents;
    *total
}

fn main() {}
