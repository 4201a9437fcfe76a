//! W1: workflows of 100 trivial steps, one after the other, many at once.

use std::time::Duration;

use crate::load::{Kind, Load};
use crate::options::Options;
use crate::report::{Bar, Report, Row};
use crate::workflows::{Payload, sequence};
use crate::{Failure, floor};

const STEPS: usize = 100;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let folder = options.folder()?;
    let run = Duration::from_secs(if options.quick { 1 } else { 3 });
    for (bytes, size) in [(256, "256 bytes"), (64 << 10, "64 KiB")] {
        for (grows, file) in [(false, "file of fixed length"), (true, "growing file")] {
            let rate = floor::disk(folder.path(), bytes, grows, run)?;
            report.add(Row::new(format!("disk, {size} + fdatasync, {file}"), rate, "1/s"));
        }
    }
    let cases = [
        (Kind::Synced, 1, Some(Bar::Ratio(0.85))),
        (Kind::Synced, 64, None),
        (Kind::Synced, 256, Some(Bar::Ratio(0.6))),
        (Kind::Synced, 1024, Some(Bar::Ratio(0.6))),
        (Kind::Relaxed, 256, Some(Bar::Value(150_000.0))),
        (Kind::Memory, 256, Some(Bar::Value(150_000.0))),
    ];
    for (kind, in_flight, bar) in cases {
        let outcome = load(kind, in_flight, 2 * in_flight).measure(options)?;
        let found = outcome.comparison.per(STEPS);
        let note = format!(
            "groups of {:.0}, {:.0} bytes/step, CPU {:.2} us/step (floor {:.2}), {}",
            outcome.group,
            outcome.bytes / STEPS as f64,
            found.cpu_us,
            found.floor_cpu_us,
            found.quiet,
        );
        let name = format!("W1 {in_flight} in flight, {kind}");
        report.add(Row::compared(name, "steps/s", &found).note(note).bar_if(bar));
    }
    Ok(())
}

fn load(kind: Kind, in_flight: usize, count: usize) -> Load<sequence> {
    Load {
        kind,
        in_flight,
        count,
        call: || sequence(STEPS as u64, Payload::new()),
        is_right: |payload| payload.sequence == STEPS as u64,
    }
}

/// One long run of the engine alone, for a profiler.
pub(crate) fn child(kind: &str, in_flight: usize, count: usize) -> Result<(), Failure> {
    load(kind.parse()?, in_flight, count).profile()
}
