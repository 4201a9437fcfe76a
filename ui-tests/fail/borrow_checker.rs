//! The compiler's own errors stand on the user's code.

use workflow_runtime::prelude::*;

#[task]
async fn charge(name: String) -> u64 {
    name.len() as u64
}

#[workflow]
async fn moved(name: String) -> String {
    charge(name).await;
    name
}

#[workflow]
async fn immutable(cents: u64) -> u64 {
    cents += charge("a".to_owned()).await;
    cents
}

#[workflow]
async fn unknown_name(cents: u64) -> u64 {
    charge(cent.to_string()).await
}

#[workflow]
async fn mismatched(cents: u64) -> u64 {
    let sum: u64 = charge(cents.to_string()).await;
    if sum { 1 } else { 2 }
}

#[workflow]
async fn missing_arm(cents: Option<u64>) -> u64 {
    match cents {
        Some(cents) => charge(cents.to_string()).await,
    }
}

fn main() {}
