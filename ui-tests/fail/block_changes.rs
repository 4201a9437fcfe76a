//! An `async` block works on copies of the variables around it.

use workflow_runtime::prelude::*;

#[task]
async fn price(item: String) -> u64 {
    item.len() as u64
}

fn add(total: &mut u64, cents: u64) {
    *total += cents;
}

#[workflow]
async fn order(item: String, gift: String) -> u64 {
    let mut total = 0;
    let mut names = Vec::new();
    join!(
        async { total += price(item).await },
        async { add(&mut total, price(gift).await) },
        async { names[0] = price("card".to_owned()).await },
    );
    total + names[0]
}

#[workflow]
async fn collected(item: String) -> usize {
    let mut prices = Vec::new();
    async { prices.push(price(item).await) }.await;
    prices.len()
}

fn main() {}
