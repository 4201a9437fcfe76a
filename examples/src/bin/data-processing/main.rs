//! Summarises a CSV file: fetch → process → store, chunk by chunk, through a durable workflow.
//!
//! Kill it at any moment and run the same command again: it continues at the step where it was, and the report has the
//! same bytes as that of a run that nobody disturbed. [`workflow`] is the part to read; the rest is an ordinary program.

mod arguments;
mod monitor;
mod problem;
mod report;
mod run;
mod statistics;
mod table;
mod tasks;
mod workflow;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::from_command_line() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}\ntry `--help`");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the threads of the program cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(run::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(run::Stop::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
        Err(run::Stop::Interrupted) => ExitCode::from(130),
    };
    // A task that waits for a slow disk must not keep the program from ending.
    runtime.shutdown_background();
    code
}
