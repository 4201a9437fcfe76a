//! Arguments are checked where the call is written.

use workflow_runtime::prelude::*;

#[task]
async fn charge(customer: &str, cents: u64) -> bool {
    customer.len() as u64 > cents
}

#[workflow]
async fn order(customer: String) -> bool {
    charge(customer, 500).await
}

#[workflow]
async fn wrong_number(customer: String) -> bool {
    charge(&customer, -1.5).await
}

#[workflow]
async fn too_few(customer: String) -> bool {
    charge(&customer).await
}

#[workflow]
async fn too_many(customer: String) -> bool {
    charge(&customer, 500, "EUR").await
}

fn main() {}
