//! Durations carry a unit and are not zero where that makes no sense.

use workflow_runtime::prelude::*;

#[task(timeout = "10")]
async fn no_unit() {}

#[task(timeout = "ten seconds")]
async fn words() {}

#[task(timeout = "1.5s")]
async fn fraction() {}

#[task(timeout = "10 sec")]
async fn unknown_unit() {}

#[task(timeout = "")]
async fn empty() {}

#[task(timeout = "0s")]
async fn zero() {}

#[task(timeout = "-1s")]
async fn negative() {}

#[task(timeout = "999999999999999999w")]
async fn overflow() {}

fn main() {}
