//! `?` converts the task's error into the workflow's.

use workflow_runtime::prelude::*;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct ChargeError;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct OrderError;

#[task]
async fn charge(cents: u64) -> Result<u64, ChargeError> {
    Ok(cents)
}

#[workflow]
async fn order(cents: u64) -> Result<u64, OrderError> {
    let paid = charge(cents).await?;
    Ok(paid)
}

#[workflow]
async fn no_result(cents: u64) -> u64 {
    charge(cents).await?
}

fn main() {}
