//! A signal has no answer, and an update is not received as a signal.

use workflow_runtime::prelude::*;

#[signal]
#[derive(serde::Serialize, serde::Deserialize)]
struct Approval;

#[workflow]
async fn order() {
    let (_approval, responder) = receive_update::<Approval>().await;
    responder.respond(());
}

async fn send(handle: WorkflowHandle<order>) {
    let _ = handle.update(Approval).await;
}

fn main() {}
