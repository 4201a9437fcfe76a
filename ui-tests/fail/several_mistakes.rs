//! All mistakes of a function are told at once.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> u64 {
    cents
}

#[workflow(nme = "orders")]
async fn order<T>(customer: &str, prices: Vec<u64>) -> impl Sized {
    let later = async || -> u64 { charge(1).await };
    let sum: u64 = prices.iter().map(|price| charge(*price).await).sum();
    unsafe { charge(sum).await };
    custom!(charge(2).await);
    drop(later);
}

#[workflow]
async fn second(prices: Vec<u64>) {
    #[point("")]
    charge(1).await;
    #[point("nothing")]
    drop(prices);
    if charge(1).await > 0 {
        break;
    }
}

fn main() {}
