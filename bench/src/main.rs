//! The benchmark workloads. Each figure is printed beside the floor that it is compared to, measured in the same run,
//! the two taking turns: the machine may be shared, so a figure means something only as a ratio.

mod child;
mod compile;
mod fan_out;
mod floor;
mod idle;
mod load;
mod options;
mod recovery;
mod report;
mod sequence;
mod short;
mod signals;
mod state_size;
mod statistics;
mod timers;
mod trace;
mod workflows;

use std::process::ExitCode;

use crate::options::{Options, Workload};
use crate::report::Report;

/// What a workload gives when it fails.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = &arguments[..]
        && first == "child"
    {
        return finish(child::run(rest));
    }
    let options = match Options::parse(arguments.into_iter()) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    finish(run(&options))
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut report = Report::default();
    for workload in &options.workloads {
        match workload {
            Workload::Sequence => sequence::run(options, &mut report)?,
            Workload::Short => short::run(options, &mut report)?,
            Workload::Recovery => recovery::run(options, &mut report)?,
            Workload::Idle => idle::run(options, &mut report)?,
            Workload::FanOut => fan_out::run(options, &mut report)?,
            Workload::Timers => timers::run(options, &mut report)?,
            Workload::StateSize => state_size::run(options, &mut report)?,
            Workload::Signals => signals::run(options, &mut report)?,
            Workload::Compile => compile::run(options, &mut report)?,
        }
        report.print_new();
    }
    if let Some(path) = &options.json {
        std::fs::write(path, report.to_json()?)?;
    }
    Ok(())
}
