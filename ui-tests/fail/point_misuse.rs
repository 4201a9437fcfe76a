//! Names of points.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> u64 {
    cents
}

#[workflow]
async fn without_an_await(cents: u64) -> u64 {
    #[point("sum")]
    let sum = cents + 1;
    charge(sum).await
}

#[workflow]
async fn without_an_await_in_a_statement(cents: u64) -> u64 {
    #[point("sum")]
    drop(cents);
    charge(1).await
}

#[workflow]
async fn at_the_end(cents: u64) -> u64 {
    charge(cents).await;
    #[point("end")]
    {
        cents
    }
}

#[workflow]
async fn twice(cents: u64) -> u64 {
    #[point("pay")]
    let first = charge(cents).await;
    #[point("pay")]
    let second = charge(cents).await;
    first + second
}

#[workflow]
async fn empty(cents: u64) -> u64 {
    #[point("")]
    let paid = charge(cents).await;
    paid
}

#[workflow]
async fn without_a_name(cents: u64) -> u64 {
    #[point]
    let paid = charge(cents).await;
    paid
}

#[workflow]
async fn not_a_literal(cents: u64) -> u64 {
    #[point(pay)]
    let paid = charge(cents).await;
    paid
}

fn main() {}
