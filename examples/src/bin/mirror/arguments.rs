//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;
use workflow_runtime::duration;

use crate::workflow::Plan;

const USAGE: &str = "usage: mirror FROM TO [--every 1d] [--times 1] [--pause 0ms] [--store mirror-data]
       mirror --stop REASON [--store mirror-data]

  --every TIME    from the end of one round to the next
  --times N       how many rounds
  --pause TIME    rests so long after each block of 64 KiB
  --store FOLDER  where the state is kept
  --stop REASON   cancels what runs in the store, and cleans up";

/// What is wanted.
pub(crate) struct Arguments {
    pub(crate) store: PathBuf,
    pub(crate) action: Action,
}

pub(crate) enum Action {
    Copy { plan: Plan },
    Stop { reason: String },
}

/// Reads the command line; `None` when it asks for help only.
pub(crate) fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    let (mut store, mut stop) = (PathBuf::from("mirror-data"), None);
    let (mut from, mut to) = (None, None);
    let (mut every, mut times, mut pause) = (Duration::from_secs(24 * 3600), 1, Duration::ZERO);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(folder) if from.is_none() => from = Some(PathBuf::from(folder)),
            Value(folder) if to.is_none() => to = Some(PathBuf::from(folder)),
            Long("every") => every = parser.value()?.parse_with(duration::parse)?,
            Long("times") => times = parser.value()?.parse()?,
            Long("pause") => pause = parser.value()?.parse_with(duration::parse)?,
            Long("store") => store = parser.value()?.into(),
            Long("stop") => stop = Some(parser.value()?.string()?),
            Long("help") | Short('h') => {
                println!("{USAGE}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    let action = match (stop, from, to) {
        (Some(reason), None, None) => Action::Stop { reason },
        (None, Some(from), Some(to)) => Action::Copy {
            plan: Plan {
                from,
                to,
                every,
                times,
                pause,
            },
        },
        _ => return Err(format!("give FROM and TO, or --stop REASON\n\n{USAGE}").into()),
    };
    Ok(Some(Arguments { store, action }))
}
