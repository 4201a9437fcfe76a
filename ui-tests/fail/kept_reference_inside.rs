//! A vector of references lives across an await.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(names: Vec<String>) -> usize {
    let short: Vec<&String> = names.iter().filter(|name| name.len() < 5).collect();
    charge(500).await;
    short.len()
}

fn main() {}
