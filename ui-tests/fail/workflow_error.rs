//! The error of a workflow is stored as well.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

#[workflow]
async fn order(cents: u64) -> Result<u64, Box<dyn std::error::Error>> {
    let paid = charge(cents).await?;
    Ok(paid)
}

fn main() {}
