//! Jumps that lead nowhere.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> u64 {
    cents
}

#[workflow]
async fn outside(cents: u64) -> u64 {
    if charge(cents).await > 3 {
        break;
    }
    cents
}

#[workflow]
async fn unknown_label(cents: u64) -> u64 {
    'outer: loop {
        if charge(cents).await > 3 {
            break 'inner;
        }
        continue 'outer;
    }
    cents
}

#[workflow]
async fn continues_a_block(cents: u64) -> u64 {
    'block: {
        if charge(cents).await > 3 {
            continue 'block;
        }
    }
    cents
}

#[workflow]
async fn value_of_a_for(cents: u64) -> u64 {
    for n in 0..cents {
        charge(n).await;
        break n;
    }
    cents
}

#[workflow]
async fn value_of_a_while(cents: u64) -> u64 {
    while charge(cents).await > 3 {
        break 7;
    }
    cents
}

fn main() {}
