//! The command line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) const USAGE: &str =
    "usage: bench [all|w1|w2|w3|w4|w5|w6|w7|signals|compile].. [--quick] [--json FILE] [--folder FOLDER]

  --quick          fewer repetitions and less work in each
  --json FILE      writes the rows there, too
  --folder FOLDER  keeps the stores in here (they are removed); the temporary folder otherwise";

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Sequence,
    Short,
    Recovery,
    Idle,
    FanOut,
    Timers,
    StateSize,
    Signals,
    Compile,
}

const ALL: [(&str, Workload); 9] = [
    ("w1", Workload::Sequence),
    ("w2", Workload::Short),
    ("w3", Workload::Recovery),
    ("w4", Workload::Idle),
    ("w5", Workload::FanOut),
    ("w6", Workload::Timers),
    ("w7", Workload::StateSize),
    ("signals", Workload::Signals),
    ("compile", Workload::Compile),
];

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) quick: bool,
    pub(crate) json: Option<PathBuf>,
    folder: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            workloads: Vec::new(),
            quick: false,
            json: None,
            folder: std::env::temp_dir(),
        }
    }
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--json" => options.json = Some(value()?.into()),
                "--folder" => options.folder = value()?.into(),
                "all" => options.workloads.extend(ALL.map(|(_, workload)| workload)),
                name => match ALL.iter().find(|(other, _)| *other == name) {
                    Some((_, workload)) => options.workloads.push(*workload),
                    None => return Err(format!("there is no workload or option `{name}`")),
                },
            }
        }
        if options.workloads.is_empty() {
            options.workloads.extend(ALL.map(|(_, workload)| workload));
        }
        Ok(options)
    }

    /// A new empty folder, removed when it is dropped.
    pub(crate) fn folder(&self) -> std::io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix("workflow-bench-")
            .tempdir_in(&self.folder)
    }

    /// How many quiet rounds are wanted.
    pub(crate) fn quiet_rounds(&self) -> usize {
        if self.quick { 5 } else { 11 }
    }

    /// Decides when the rounds of one figure end.
    pub(crate) fn rounds(&self) -> Rounds {
        Rounds {
            wanted: self.quiet_rounds(),
            most: if self.quick { 12 } else { 40 },
            limit: Duration::from_secs(if self.quick { 10 } else { 25 }),
            start: Instant::now(),
        }
    }
}

/// The rounds of one figure: until enough of them were quiet, within limits.
#[derive(Debug)]
pub(crate) struct Rounds {
    wanted: usize,
    most: usize,
    limit: Duration,
    start: Instant,
}

/// So many rounds are taken in any case.
const LEAST: usize = 5;

impl Rounds {
    /// Whether there is another round, after `done` of which `quiet` were quiet.
    pub(crate) fn go_on(&self, done: usize, quiet: usize) -> bool {
        quiet < self.wanted && done < self.most && (done < LEAST || self.start.elapsed() < self.limit)
    }
}
