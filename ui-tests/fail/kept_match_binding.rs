//! A binding of a match arm refers to the scrutinee.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(name: Option<String>) -> usize {
    match &name {
        Some(name) => {
            charge(500).await;
            name.len()
        }
        None => 0,
    }
}

fn main() {}
