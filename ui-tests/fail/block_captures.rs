//! What an `async` block mentions is stored with it.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

struct Client {
    address: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Item {
    name: String,
}

#[task]
async fn price(item: String) -> u64 {
    item.len() as u64
}

#[workflow]
async fn order(item: String) -> u64 {
    let client = Client { address: item };
    async { price(client.address.clone()).await }.await
}

#[workflow]
async fn shared(item: String) -> u64 {
    let item = Rc::new(item);
    async { price(item.to_string()).await }.await
}

#[workflow]
async fn all(items: Vec<Item>) -> u64 {
    let prices = join_all(items.iter().map(|item| async { price(item.name.clone()).await })).await;
    prices.iter().sum()
}

#[workflow]
async fn literal(n: u64) -> u64 {
    let name = "lamp";
    async { n + price(name.to_owned()).await }.await
}

fn main() {}
