//! What an unknown macro does with its tokens is not known.

use workflow_runtime::prelude::*;

macro_rules! double {
    ($value:expr) => {
        $value * 2
    };
}

#[task]
async fn price(item: u64) -> u64 {
    item
}

#[workflow]
async fn order(item: u64) -> u64 {
    double!(price(item).await)
}

fn main() {
    assert_eq!(double!(2), 4);
}
