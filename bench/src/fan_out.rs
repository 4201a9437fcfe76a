//! W5: one workflow runs 100 trivial steps at once and joins them.
//!
//! What it needs is three durable commits, one after the other: the start with all branches, the branches' results, the
//! end. So the floor of a single workflow is a bare loop that commits the same bytes in these three groups.

use workflow_runtime::WorkflowEngine;

use crate::load::{Kind, Load, runtime};
use crate::options::Options;
use crate::report::{Bar, Report, Row};
use crate::statistics::{Turns, time};
use crate::trace::{Recorder, Trace};
use crate::workflows::{Payload, fan_out};
use crate::{Failure, floor};

const BRANCHES: u64 = 100;
/// Workflows in a round with one in flight.
const COUNT: usize = 50;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    alone(options, report)?;
    let outcome = load(Kind::Synced, 32, 256).measure(options)?;
    let found = &outcome.comparison;
    let note = format!(
        "{:.2} ms each; groups of {:.0}, {:.0} bytes, CPU {:.0} us (floor {:.0}) per workflow, {}",
        32.0 / found.rate * 1e3,
        outcome.group,
        outcome.bytes,
        found.cpu_us,
        found.floor_cpu_us,
        found.quiet,
    );
    report.add(Row::compared("W5 32 in flight", "workflows/s", found).note(note));
    Ok(())
}

fn load(kind: Kind, in_flight: usize, count: usize) -> Load<fan_out> {
    Load {
        kind,
        in_flight,
        count,
        call: || fan_out(BRANCHES, Payload::new()),
        is_right: |sum| *sum == BRANCHES * (BRANCHES + 1) / 2,
    }
}

fn alone(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let load = load(Kind::Synced, 1, COUNT);
    let runtime = runtime()?;
    let (store, _folder) = load.kind.store(options)?;
    let (floor_store, _floor_folder) = load.kind.store(options)?;
    let (recorded_store, _recorded_folder) = load.kind.store(options)?;
    let recorder = Recorder::new(recorded_store);
    let recorded = runtime.block_on(
        WorkflowEngine::<fan_out>::builder()
            .store(recorder.clone())
            .build(),
    )?;
    let engine = runtime.block_on(WorkflowEngine::<fan_out>::builder().store(store).build())?;
    floor::replay(floor_store.as_ref(), &recorder.take())?;
    let (mut turns, mut round) = (Turns::default(), 0);
    let rounds = options.rounds();
    let before = engine.stats();
    while turns.go_on(&rounds) {
        runtime.block_on(load.run(&recorded, round))?;
        let least = in_three(&recorder.take())?;
        let (result, timing) = time(|| runtime.block_on(load.run(&engine, round)));
        result?;
        turns.add(timing, floor::replay(floor_store.as_ref(), &least)?);
        round += 1;
    }
    let after = engine.stats();
    runtime.block_on(engine.shutdown());
    runtime.block_on(recorded.shutdown());
    let found = turns.compare(COUNT);
    let note = format!(
        "{:.3} ms each (floor {:.3}: three commits of the same bytes), CPU {:.0} us (floor {:.0}), {}",
        1e3 / found.rate,
        1e3 / found.floor_rate,
        found.cpu_us,
        found.floor_cpu_us,
        found.quiet,
    );
    report.add(Row::compared("W5 1 in flight", "workflows/s", &found).note(note));
    let groups = (after.groups - before.groups) as f64 / (round * COUNT) as f64;
    let row = Row::new(
        "W5 1 in flight, commits one after the other",
        groups - 1.0,
        "commits",
    )
    .note("of the join; the workflow's end is one more");
    // A branch that ends while another one's result is being written makes a commit of its own now and then.
    report.add(row.bar(Bar::ValueBelow(2.5)));
    Ok(())
}

/// The batches of each workflow in the fewest groups: its start, all its branches, its end.
fn in_three(trace: &Trace) -> Result<Trace, Failure> {
    let batches: Vec<_> = trace.groups.iter().flatten().cloned().collect();
    let each = batches.len() / COUNT;
    if each < 3 || batches.len() % COUNT != 0 {
        return Err(format!("{COUNT} workflows were {} batches", batches.len()).into());
    }
    let groups = batches
        .chunks(each)
        .flat_map(|one| [&one[..1], &one[1..each - 1], &one[each - 1..]].map(<[_]>::to_vec))
        .collect();
    Ok(Trace { groups })
}

/// One long run of the engine alone, for a profiler.
pub(crate) fn child(kind: &str, in_flight: usize, count: usize) -> Result<(), Failure> {
    load(kind.parse()?, in_flight, count).profile()
}
