//! Parts that run in a process of their own: because it is killed, because its memory is measured, or for a profiler.
//!
//! A child tells what it found as lines `name value` on its standard output.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::{Failure, fan_out, idle, recovery, sequence, short, timers};

/// Runs `child ..`.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sequence", kind, in_flight, count] => sequence::child(kind, in_flight.parse()?, count.parse()?),
        ["short", kind, in_flight, count] => short::child(kind, in_flight.parse()?, count.parse()?),
        ["fan-out", kind, in_flight, count] => fan_out::child(kind, in_flight.parse()?, count.parse()?),
        ["timers", folder, count] => timers::child(Path::new(folder), count.parse()?),
        ["recovery-park", folder, steps] => recovery::park(Path::new(folder), steps.parse()?),
        ["recovery-complete", folder] => recovery::complete(Path::new(folder)),
        ["idle-park", folder, count, buffer] => {
            idle::park(Path::new(folder), count.parse()?, buffer.parse()?)
        }
        ["idle-drain", folder, count, buffer] => {
            idle::drain(Path::new(folder), count.parse()?, buffer.parse()?)
        }
        _ => Err(format!("there is no child {arguments:?}").into()),
    }
}

/// Tells the parent a figure.
pub(crate) fn tell(name: &str, value: f64) {
    println!("{name} {value}");
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command
            .arg("child")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the child has no output")?;
        Ok(Running {
            child,
            lines: BufReader::new(output).lines(),
        })
    }

    /// Waits until the child tells this figure.
    pub(crate) fn told(&mut self, name: &str) -> Result<f64, Failure> {
        for line in &mut self.lines {
            if let Some((told, value)) = line?.split_once(' ')
                && told == name
            {
                return Ok(value.parse()?);
            }
        }
        Err(format!("the child ended without telling `{name}`").into())
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    pub(crate) fn wait(mut self) -> Result<(), Failure> {
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the child has failed: {status}").into())
        }
    }
}
