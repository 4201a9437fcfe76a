//! W2: workflows of three trivial steps, fetch, process, store: how many per second, and how long each takes.

use crate::Failure;
use crate::load::{Kind, Load};
use crate::options::Options;
use crate::report::{Report, Row};
use crate::statistics::percentile;
use crate::workflows::short;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    for in_flight in [1, 64, 256, 1024] {
        let load = load(Kind::Synced, in_flight, (16 * in_flight).clamp(50, 8192));
        let outcome = load.measure(options)?;
        let found = &outcome.comparison;
        let note = format!(
            "groups of {:.0}, {:.0} bytes each, CPU {:.1} us (floor {:.1}), {}",
            outcome.group, outcome.bytes, found.cpu_us, found.floor_cpu_us, found.quiet,
        );
        report.add(Row::compared(format!("W2 {in_flight} in flight"), "workflows/s", found).note(note));
        for percent in [50.0, 99.0] {
            let latency = percentile(&outcome.latencies_ms, percent);
            let name = format!("W2 {in_flight} in flight, start to result, p{percent:.0}");
            // At this rate and with as many in flight a store without an engine would take so long for each.
            let floor = in_flight as f64 / found.floor_rate * 1e3;
            report.add(Row::new(name, latency, "ms").floor(floor, latency / floor));
        }
    }
    Ok(())
}

fn load(kind: Kind, in_flight: usize, count: usize) -> Load<short> {
    Load {
        kind,
        in_flight,
        count,
        call: || short("source-of-records-0123456789".to_owned()),
        is_right: |receipt| receipt.rows == 3,
    }
}

/// One long run of the engine alone, for a profiler.
pub(crate) fn child(kind: &str, in_flight: usize, count: usize) -> Result<(), Failure> {
    load(kind.parse()?, in_flight, count).profile()
}
