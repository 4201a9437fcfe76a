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

#[derive(serde::Serialize, serde::Deserialize)]
enum Price {
    Cents(u64),
    Free,
}

#[workflow]
async fn missing_arm(price: Price) -> u64 {
    match price {
        Price::Cents(cents) => charge(cents.to_string()).await,
    }
}

fn main() {}
