//! Copies a folder, once or again and again: a child workflow for each file, timers between the rounds, and a stop that
//! leaves nothing half done.
//!
//! ```text
//! cargo run -p examples --bin mirror -- docs /tmp/docs-copy --every 1d --times 30
//! cargo run -p examples --bin mirror -- --stop "the disk is full"
//! ```
//!
//! Kill it at any time and run it again: files that were copied stay, a file that was half copied goes on at the block
//! where it was, and a round that is due meanwhile begins at once. `--stop` cancels what runs; each file that is being
//! copied cleans up behind itself.

mod arguments;
mod workflow;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Action, Arguments};
use workflow::mirror;
use workflow_runtime::prelude::*;
use workflow_runtime::{ListFilter, StartError};

const ID: &str = "mirror";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let Some(Arguments { store, action }) = arguments::parse()? else {
        return Ok(ExitCode::SUCCESS);
    };
    let engine = WorkflowEngine::<mirror>::builder()
        .embedded(&store)
        .build()
        .await?;
    let code = match action {
        Action::Copy { plan } => copy(&engine, plan).await?,
        Action::Stop { reason } => stop(&engine, &reason).await?,
    };
    engine.shutdown().await;
    Ok(code)
}

/// Starts the mirror, or goes on with the one that has not ended.
async fn copy(engine: &WorkflowEngine<mirror>, plan: workflow::Plan) -> Result<ExitCode, Box<dyn Error>> {
    let start = engine
        .start(mirror(plan))
        .id(ID)
        .on_existing(ExistingId::RestartClosed);
    let handle = match start.await {
        Err(StartError::AlreadyExists { id }) => {
            println!("going on");
            engine.handle::<mirror>(id)
        }
        started => started?,
    };
    let rounds = handle.result().await??;
    let mut failures = 0;
    for (number, round) in (1..).zip(&rounds) {
        println!("round {number}: {} files, {} bytes", round.files, round.bytes);
        for failure in &round.failures {
            println!("  {failure}");
        }
        failures += round.failures.len();
    }
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Cancels the mirror, which cancels the copies that it waits for, and waits until all of them have cleaned up.
async fn stop(engine: &WorkflowEngine<mirror>, reason: &str) -> Result<ExitCode, Box<dyn Error>> {
    let open = || ListFilter::default().open_only();
    // An order has a name, so that a second program that gives it after a crash gives the same one.
    let name = format!("stop {ID} {reason}");
    let report = engine
        .bulk(name, open().workflow("mirror"))
        .cancel(reason)
        .await?;
    println!("stopping {}", report.ordered);
    while !engine.list(open()).await?.instances.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}
