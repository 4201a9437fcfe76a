//! A handle takes only messages that its workflow receives.

use workflow_runtime::prelude::*;

#[signal]
#[derive(serde::Serialize, serde::Deserialize)]
struct Approval;

#[signal]
#[derive(serde::Serialize, serde::Deserialize)]
struct Refusal;

#[update(reply = u32)]
#[derive(serde::Serialize, serde::Deserialize)]
struct Count;

#[workflow]
async fn order() {
    receive::<Approval>().await;
}

async fn send(handle: WorkflowHandle<order>) {
    let _ = handle.signal(Approval).await;
    let _ = handle.signal(Refusal).await;
    let _ = handle.update(Count).await;
}

fn main() {}
