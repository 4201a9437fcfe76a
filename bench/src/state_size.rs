//! W7: steps with a large live value that does not change: how fast, and how many bytes each writes.
//!
//! The value itself has to be written once. So the bytes per step are what each *further* step writes: the difference
//! between a workflow of 200 steps and one of 100, divided by 100.

use std::sync::Arc;

use workflow_runtime::store::EmbeddedStore;
use workflow_runtime::{Workflow, WorkflowCall, WorkflowEngine};

use crate::Failure;
use crate::load::runtime;
use crate::options::Options;
use crate::report::{Bar, Report, Row};
use crate::statistics::{Turns, median, time};
use crate::trace::Recorder;
use crate::workflows::{Payload, carry_constant, carry_variable};

const STEPS: usize = 100;
const SIZES: [(usize, &str); 3] = [(1 << 10, "1 KiB"), (64 << 10, "64 KiB"), (1 << 20, "1 MiB")];

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    measure(options, report, "let", |steps, bytes| {
        carry_constant(steps as u64, bytes, Payload::new())
    })?;
    measure(options, report, "let mut", |steps, bytes| {
        carry_variable(steps as u64, bytes, Payload::new())
    })
}

fn measure<W: Workflow<Output = usize>>(
    options: &Options,
    report: &mut Report,
    what: &str,
    call: fn(usize, usize) -> WorkflowCall<W>,
) -> Result<(), Failure> {
    let runtime = runtime()?;
    let folder = options.folder()?;
    let recorder = Recorder::new(Arc::new(EmbeddedStore::open(folder.path())?));
    let engine = runtime.block_on(WorkflowEngine::<W>::builder().store(recorder.clone()).build())?;
    let mut number = 0;
    let mut once = |steps: usize, bytes: usize| {
        number += 1;
        recorder.take();
        let (result, timing) = time(|| {
            runtime.block_on(async {
                let handle = engine
                    .start(call(steps, bytes))
                    .id(format!("carry-{number:05}"))
                    .await?;
                Ok::<_, Failure>(handle.result().await?)
            })
        });
        if result? != bytes {
            return Err("the carried value is damaged".into());
        }
        Ok::<_, Failure>((recorder.take().bytes(), timing))
    };

    let mut written = Vec::new();
    for (bytes, _) in SIZES {
        let (short, _) = once(STEPS, bytes)?;
        let (long, _) = once(2 * STEPS, bytes)?;
        written.push(((long - short) as f64 / STEPS as f64, short as f64 / STEPS as f64));
    }
    let least = written[0].0;
    for ((_, size), (each, with_value)) in SIZES.iter().zip(&written) {
        let name = format!("W7 {size} live in a `{what}`, written per further step");
        let note = format!("the value itself included, over {STEPS} steps: {with_value:.0} bytes/step");
        let row = Row::new(name, *each, "bytes")
            .floor(least, each / least)
            .note(note);
        report.add(row.bar_if((*size == "1 MiB").then_some(Bar::RatioAtMost(2.0))));
    }

    // Speed: each size in turns with the smallest.
    for (bytes, size) in &SIZES[1..] {
        let mut turns = Turns::default();
        let rounds = options.rounds();
        while turns.go_on(&rounds) {
            let (_, large) = once(STEPS, *bytes)?;
            let (_, small) = once(STEPS, SIZES[0].0)?;
            turns.add(large, small);
        }
        let found = turns.compare(STEPS);
        let name = format!("W7 {size} live in a `{what}`, beside 1 KiB");
        let note = format!(
            "the value itself included; CPU {:.0} us/step (1 KiB {:.0}), {}",
            found.cpu_us, found.floor_cpu_us, found.quiet
        );
        report.add(Row::compared(name, "steps/s", &found).note(note));
    }
    // Without the first write of the value: what a further step costs.
    let (bytes, size) = SIZES[2];
    let mut costs = Vec::new();
    for _ in 0..options.quiet_rounds() {
        let (_, short) = once(STEPS, bytes)?;
        let (_, long) = once(5 * STEPS, bytes)?;
        let (_, small_short) = once(STEPS, SIZES[0].0)?;
        let (_, small_long) = once(5 * STEPS, SIZES[0].0)?;
        let cpu = long.cpu.saturating_sub(short.cpu).as_secs_f64();
        costs.push((cpu, small_long.cpu.saturating_sub(small_short.cpu).as_secs_f64()));
    }
    let each = |cost: fn(&(f64, f64)) -> f64| {
        median(&costs.iter().map(cost).collect::<Vec<_>>()) * 1e6 / (4 * STEPS) as f64
    };
    let (large, small) = (each(|cost| cost.0), each(|cost| cost.1));
    let name = format!("W7 {size} live in a `{what}`, CPU of a further step");
    report.add(Row::new(name, large, "us").floor(small, large / small));
    runtime.block_on(engine.shutdown());
    Ok(())
}
