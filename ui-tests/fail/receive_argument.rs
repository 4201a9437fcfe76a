//! What can be received.

use workflow_runtime::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Approval;

#[workflow]
async fn order() {
    let _approval = receive::<Approval>().await;
}

fn main() {}
