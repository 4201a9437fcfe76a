//! `when` and `never` look at the task's own error.

use workflow_runtime::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
enum Refusal {
    Declined(u32),
    Gone,
}

fn by_value(error: Refusal) -> bool {
    matches!(error, Refusal::Gone)
}

#[task(retry(when = |_| true))]
async fn no_error() -> u32 {
    1
}

#[task(retry(never = Refusal::Gone))]
async fn other_error() -> Result<(), String> {
    Ok(())
}

#[task(retry(never = Refusal::Declined))]
async fn no_data() -> Result<(), Refusal> {
    Ok(())
}

#[task(retry(when = by_value))]
async fn taken() -> Result<(), Refusal> {
    Ok(())
}

#[task(retry(when = |error| error.to_string()))]
async fn no_answer() -> Result<(), String> {
    Ok(())
}

fn main() {}
