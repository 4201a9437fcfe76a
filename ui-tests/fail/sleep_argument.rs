//! What a timer waits for.

use workflow_runtime::prelude::*;

#[workflow]
async fn number() {
    sleep(10).await;
}

fn main() {}
