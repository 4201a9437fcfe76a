//! A block is awaited where it is made, and keeps only what can be stored.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: String) -> u64 {
    item.len() as u64
}

#[workflow]
async fn later(item: String) -> u64 {
    let block = async { price(item).await };
    let before = price("card".to_owned()).await;
    before + block.await
}

#[workflow]
async fn inside(item: String) -> u64 {
    async {
        let first = item.as_str();
        let cents = price(first.to_owned()).await;
        cents + first.len() as u64
    }
    .await
}

#[workflow]
async fn moved(item: String) -> usize {
    let cents = async move { price(item).await }.await;
    cents as usize + item.len()
}

#[workflow]
async fn foreign(item: String) -> u64 {
    async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        price(item).await
    }
    .await
}

#[workflow]
async fn jump(items: Vec<String>) {
    for item in items {
        async {
            if price(item).await > 3 {
                break;
            }
        }
        .await;
    }
}

fn main() {}
