//! Limits of time, heartbeats, and which errors are tried again.

use workflow_runtime::prelude::*;

fn passes(error: &String) -> bool {
    error.is_empty()
}

#[task(timeout = "10m", schedule_to_close = "1m")]
async fn one_longer_than_all() {}

#[task(timeout = "10s", heartbeat_timeout = "10s")]
async fn silence_noticed_too_late() {}

#[task(schedule_to_close = "1m", retry(max_elapsed = "2m"))]
async fn elapsed_behind_the_end() {}

#[task(retry(when = passes, never = "fatal"))]
async fn both() -> Result<(), String> {
    Ok(())
}

#[task(retry(when = "transient"))]
async fn quoted() -> Result<(), String> {
    Ok(())
}

#[task(retry(if = passes))]
async fn keyword() -> Result<(), String> {
    Ok(())
}

#[task(retry(never = [Some(1), None]))]
async fn list() -> Result<(), Option<u32>> {
    Ok(())
}

#[task(retry(jitter = "full"))]
async fn jitter() {}

#[task(start_to_close = "1m")]
async fn other_name() {}

#[task(heartbeat = "1m")]
async fn shortened() {}

#[task(schedule_to_close = "0s")]
async fn zero() {}

fn main() {}
