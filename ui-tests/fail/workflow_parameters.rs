//! The arguments of a workflow are stored.

use workflow_runtime::prelude::*;

#[workflow]
async fn by_reference(name: &str) -> usize {
    name.len()
}

#[workflow]
async fn inside(names: Vec<&'static str>) -> usize {
    names.len()
}

#[workflow]
async fn mutable(total: &mut u64) {
    *total += 1;
}

fn main() {}
