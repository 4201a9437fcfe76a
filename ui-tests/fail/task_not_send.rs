//! A task may move between threads while it runs.

use std::rc::Rc;

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> u64 {
    let shared = Rc::new(cents);
    tokio::task::yield_now().await;
    *shared
}

fn main() {}
