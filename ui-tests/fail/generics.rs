//! Stored state belongs to one type.

use workflow_runtime::prelude::*;

#[task]
async fn price<T: Into<u64>>(item: T) -> u64 {
    item.into()
}

#[workflow]
async fn order<T>(item: Vec<T>) -> usize {
    item.len()
}

#[workflow]
async fn first<'a>(item: &'a str) -> String {
    item.to_owned()
}

#[workflow]
async fn second<const N: usize>(item: u64) -> u64 {
    item
}

fn main() {}
