//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::workflow::Malformed;

const HELP: &str = "\
Summarises the number columns of a CSV file per group: values, missing values, mean, standard deviation,
minimum, median and 95th percentile (both within 1 %), maximum.

The work is a durable workflow. Kill the program at any moment (Ctrl-C, kill -9, power) and run the same
command again: it continues at the step where it was. The report has the same bytes either way.

Usage: data-processing [OPTIONS]

Options:
  --input FILE          CSV file with a header line [default: four years of weather in Seattle, shipped
                        with the source]
  --output FILE         report to write, also CSV [default: data-processing.csv]
  --data FOLDER         folder in which progress is kept, one process at a time
                        [default: data-processing.data]
  --group COLUMN        column whose values are the groups [default: the last column that holds no numbers]
  --chunk ROWS          rows per step, 1 to 100000 [default: a fortieth of the file, 40 to 10000]
  --malformed POLICY    what to do with a row that breaks a rule: `stop` with its line, or `skip` and
                        count it [default: stop]
  --delay MS            pause in each chunk, so that there is time to kill the program [default: 0]
  -h, --help            show this

A run is known by its input, output, group, chunk and policy: with another one of these a new run begins.
The delay may change between two runs of the same command.

Exit code: 0 the report is written, 1 it is not (the message says why), 2 the command line is wrong,
130 interrupted with Ctrl-C.

Try: start it with --delay 200, kill it, start it again.";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) group: Option<String>,
    pub(crate) chunk_rows: Option<u64>,
    pub(crate) malformed: Malformed,
    pub(crate) delay: Duration,
}

impl Arguments {
    /// Reads the command line; `None` when it only asked for help.
    pub(crate) fn from_command_line() -> Result<Option<Self>, String> {
        Self::parse(lexopt::Parser::from_env()).map_err(|error| error.to_string())
    }

    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut arguments = Arguments {
            input: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/seattle-weather.csv")),
            output: PathBuf::from("data-processing.csv"),
            data: PathBuf::from("data-processing.data"),
            group: None,
            chunk_rows: None,
            malformed: Malformed::Stop,
            delay: Duration::ZERO,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("input") => arguments.input = parser.value()?.into(),
                Long("output") => arguments.output = parser.value()?.into(),
                Long("data") => arguments.data = parser.value()?.into(),
                Long("group") => arguments.group = Some(parser.value()?.string()?),
                Long("chunk") => {
                    arguments.chunk_rows = Some(number(&mut parser, "--chunk", 1, 100_000)?);
                }
                Long("malformed") => {
                    arguments.malformed = match parser.value()?.string()?.as_str() {
                        "stop" => Malformed::Stop,
                        "skip" => Malformed::Skip,
                        other => return Err(format!("--malformed is `stop` or `skip`, not {other:?}").into()),
                    };
                }
                Long("delay") => {
                    arguments.delay = Duration::from_millis(number(&mut parser, "--delay", 0, 3_600_000)?);
                }
                Short('h') | Long("help") => {
                    println!("{HELP}");
                    return Ok(None);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(arguments))
    }
}

fn number(parser: &mut lexopt::Parser, name: &str, min: u64, max: u64) -> Result<u64, lexopt::Error> {
    let text = parser.value()?.string()?;
    match text.parse() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(format!("{name} is a number from {min} to {max}, not {text:?}").into()),
    }
}
