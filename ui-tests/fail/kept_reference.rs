//! A reference lives across an await.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> bool {
    cents > 0
}

#[workflow]
async fn order(customer: String) -> String {
    let name: &str = customer.trim();
    let paid = charge(500).await;
    format!("{name}: {paid}")
}

fn main() {}
