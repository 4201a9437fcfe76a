//! Purchase requests that people approve: messages of every kind, in a folder that survives the program.
//!
//! `cargo run -p examples --bin approval -- FOLDER` opens a request for a laptop, corrects it, asks how it stands, and has
//! it approved by two people. Kill it at any time and run it again: it goes on where it was.

mod messages;
mod workflow;

use std::error::Error;

use messages::{Amend, Approval, Decision};
use workflow::{Request, Standing, purchase};
use workflow_runtime::{SignalError, UpdateError, WorkflowEngine, WorkflowHandle, prelude::ExistingId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .unwrap_or_else(|| "approval-data".into());
    let engine = WorkflowEngine::<purchase>::builder()
        .embedded(&folder)
        .build()
        .await?;
    let request = Request {
        item: "laptop".to_owned(),
        cents: 189_900,
        by: "Grace".to_owned(),
    };
    let handle = engine
        .start(purchase(request))
        .id("purchase-1")
        .on_existing(ExistingId::ReturnExisting)
        .await?;
    talk(&handle).await?;
    match handle.result().await? {
        Ok(order) => println!(
            "ordered: {} for {} cents, approved by {}",
            order.item,
            order.cents,
            order.approved_by.join(" and ")
        ),
        Err(refusal) => println!("not ordered: {refusal}"),
    }
    engine.shutdown().await;
    Ok(())
}

/// What the people around the request do. Each of them may do it again: the requests have names.
async fn talk(handle: &WorkflowHandle<purchase>) -> Result<(), Box<dyn Error>> {
    // The price went up: a request with a reply.
    match handle
        .update(Amend { cents: 199_900 })
        .request_id("new-offer")
        .await
    {
        Ok(needed) => println!("amended; approvals needed now: {needed}"),
        Err(error @ UpdateError::NotSent(SignalError::Closed { .. })) => println!("{error}"),
        Err(error) => return Err(error.into()),
    }
    // A slip of the keyboard does not even reach the workflow.
    if let Err(error) = handle.update(Amend { cents: 0 }).request_id("slip").await {
        println!("{error}");
    }
    let standing: Standing = handle.query("standing").await?;
    println!("{} of {} approvals", standing.approved_by.len(), standing.needed);
    for by in ["Ada", "Barbara"] {
        let approval = Approval {
            by: by.to_owned(),
            decision: Decision::Approve,
        };
        match handle
            .signal(approval)
            .request_id(format!("approval of {by}"))
            .await
        {
            Ok(()) | Err(SignalError::Closed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
