//! What is received is named where it is received.

use workflow_runtime::prelude::*;

#[signal]
#[derive(serde::Serialize, serde::Deserialize)]
struct Approval;

#[workflow]
async fn order() {
    let _first: Approval = receive().await;
    let _second: Approval = receive::<_>().await;
    select! {
        _third = receive_update() => {}
        _ = sleep("1h") => {}
    }
}

async fn send(handle: WorkflowHandle<order>) {
    let _ = handle.signal(Approval).await;
}

fn main() {}
