//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "usage: bench [all|w1|w2|w3|w4|w7|compile].. [--quick] [--json FILE] [--folder FOLDER]

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
    StateSize,
    Compile,
}

const ALL: [(&str, Workload); 6] = [
    ("w1", Workload::Sequence),
    ("w2", Workload::Short),
    ("w3", Workload::Recovery),
    ("w4", Workload::Idle),
    ("w7", Workload::StateSize),
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
        Options { workloads: Vec::new(), quick: false, json: None, folder: std::env::temp_dir() }
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
        tempfile::Builder::new().prefix("workflow-bench-").tempdir_in(&self.folder)
    }

    /// How many quiet rounds are wanted.
    pub(crate) fn quiet_rounds(&self) -> usize {
        if self.quick { 5 } else { 11 }
    }

    /// How many rounds are tried to get them.
    pub(crate) fn most_rounds(&self) -> usize {
        if self.quick { 12 } else { 40 }
    }
}
