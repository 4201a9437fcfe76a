//! A timer of another library ends with the process.

use std::time::Duration;

use workflow_runtime::prelude::*;

#[workflow]
async fn reminder(to: String) -> String {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    to
}

fn main() {}
