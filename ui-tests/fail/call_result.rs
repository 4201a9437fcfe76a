//! The result of an await has the type that the task gives.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[workflow]
async fn order(item: u64) -> String {
    let price: String = price(item).await;
    price
}

#[workflow]
async fn returned(item: u64) -> String {
    price(item).await
}

#[workflow]
async fn forgotten(item: u64) -> String {
    price(item).await;
}

fn main() {}
