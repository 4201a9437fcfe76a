//! Unknown, repeated and malformed keys.

use workflow_runtime::prelude::*;

#[task(retries(max_attempts = 3))]
async fn misspelt() {}

#[task(time_out = "10s")]
async fn separated() {}

#[task(parallel)]
async fn unknown() {}

#[task(timeout = "10s", timeout = "20s")]
async fn repeated() {}

#[task(timeout = 10)]
async fn number() {}

#[task(timeout)]
async fn bare() {}

#[task(blocking = true)]
fn valued() {}

#[task(retry = 3)]
async fn not_a_list() {}

#[task(retry(attempts = 3))]
async fn inner_key() {}

#[task(retry(max_attempts = 0))]
async fn zero() {}

#[task(retry(max_attempts = "3"))]
async fn quoted() {}

#[task(name = "")]
async fn unnamed() {}

#[task("prices")]
async fn only_a_literal() {}

#[workflow(nam = "orders")]
async fn order() {}

#[workflow(timeout = "10s")]
async fn limited() {}

#[workflow(name = orders)]
async fn unquoted() {}

fn main() {}
