//! The pauses between attempts.

use workflow_runtime::prelude::*;

#[task(retry(backoff = "1s"))]
async fn text() {}

#[task(retry(backoff = exponentail("1s")))]
async fn misspelt() {}

#[task(retry(backoff = exponential()))]
async fn without_a_pause() {}

#[task(retry(backoff = exponential("1s", maximum = "1m")))]
async fn unknown_key() {}

#[task(retry(backoff = fixed("1s", max = "1m")))]
async fn fixed_with_a_limit() {}

#[task(retry(backoff = exponential("1s", factor = 0.5)))]
async fn shrinking() {}

#[task(retry(backoff = linear("1s", max = 60)))]
async fn number() {}

#[task(retry(backoff = exponential("1s", "1m")))]
async fn without_a_key() {}

#[task(retry(backoff = exponential("1 second")))]
async fn duration() {}

#[task(retry(backoff = exponential("1s", max = "1m", max = "2m")))]
async fn repeated() {}

#[task(retry(backoff = exponential("1m", max = "1s")))]
async fn limit_below_the_first() {}

fn main() {}
