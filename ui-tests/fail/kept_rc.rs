//! An `Rc` lives across an await.

use std::rc::Rc;

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(cents: u64) -> u64 {
    let shared = Rc::new(cents);
    charge(500).await;
    *shared
}

fn main() {}
