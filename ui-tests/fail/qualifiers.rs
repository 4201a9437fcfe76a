//! The runtime calls the function, so it is an ordinary one.

use workflow_runtime::prelude::*;

#[workflow]
async unsafe fn order(item: u64) -> u64 {
    item
}

#[task]
async extern "C" fn price(item: u64) -> u64 {
    item
}

#[task(blocking)]
const fn double(item: u64) -> u64 {
    item * 2
}

fn main() {}
