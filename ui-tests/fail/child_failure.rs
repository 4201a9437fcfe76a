//! `?` on a child's result converts its failure into the workflow's error.

use workflow_runtime::prelude::*;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct OrderError;

#[workflow]
async fn shipping(parcel: u32) -> u32 {
    sleep("1d").await;
    parcel
}

#[workflow]
async fn order(parcel: u32) -> Result<u32, OrderError> {
    let shipped = shipping(parcel).result().await?;
    Ok(shipped)
}

#[workflow]
async fn unread(parcel: u32) -> u32 {
    shipping(parcel).result().await
}

#[task]
async fn pack(parcel: u32) -> u32 {
    parcel
}

#[workflow]
async fn result_of_a_task(parcel: u32) -> u32 {
    pack(parcel).result().await.unwrap_or(0)
}

#[workflow]
async fn policy_of_a_task(parcel: u32) -> u32 {
    pack(parcel).parent_close_policy(ParentClosePolicy::Abandon).await
}

#[workflow]
async fn policy_by_name(parcel: u32) -> u32 {
    shipping(parcel).parent_close_policy("abandon").await
}

fn main() {}
