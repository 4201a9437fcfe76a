//! The output of a task outlives what it could refer to.

use workflow_runtime::prelude::*;

#[task]
async fn first(name: &str) -> &str {
    name
}

#[task]
async fn label() -> &'static str {
    "label"
}

#[workflow]
async fn order() -> &'static str {
    "order"
}

fn main() {}
