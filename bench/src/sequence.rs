//! W1: workflows of 100 trivial steps, one after the other, many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use workflow_runtime::WorkflowEngine;
use workflow_runtime::store::{Durability, EmbeddedStore, MemoryStore, Store};

use crate::Failure;
use crate::floor;
use crate::options::Options;
use crate::report::{Bar, Report, Row};
use crate::statistics::{Turns, median, time};
use crate::trace::{Recorder, Trace};
use crate::workflows::{Payload, sequence};

const STEPS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Synced,
    Relaxed,
    Memory,
}

/// One long run of the engine alone, for a profiler.
pub(crate) fn child(options: &Options, kind: &str, in_flight: usize, count: usize) -> Result<(), Failure> {
    let kind = match kind {
        "synced" => Kind::Synced,
        "relaxed" => Kind::Relaxed,
        _ => Kind::Memory,
    };
    let case = Case { kind, in_flight, count };
    let runtime = runtime()?;
    let (store, _folder) = case.store(options)?;
    let engine = runtime.block_on(WorkflowEngine::<sequence>::builder().store(store).build())?;
    runtime.block_on(case.load(&engine, 0))?;
    runtime.block_on(engine.shutdown());
    Ok(())
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let folder = options.folder()?;
    let run = Duration::from_secs(if options.quick { 1 } else { 3 });
    for (bytes, size) in [(256, "256 bytes"), (64 << 10, "64 KiB")] {
        for (grows, file) in [(false, "file of fixed length"), (true, "growing file")] {
            let rate = floor::disk(folder.path(), bytes, grows, run)?;
            report.add(Row::new(format!("disk, {size} + fdatasync, {file}"), rate, "1/s"));
        }
    }
    // What, how many in flight, how many in a round.
    let cases = [
        (Kind::Synced, 1, 2, Some(Bar::Ratio(0.85))),
        (Kind::Synced, 64, 128, None),
        (Kind::Synced, 256, 512, Some(Bar::Ratio(0.6))),
        (Kind::Synced, 1024, 2048, Some(Bar::Ratio(0.6))),
        (Kind::Relaxed, 256, 512, Some(Bar::Value(150_000.0))),
        (Kind::Memory, 256, 512, Some(Bar::Value(150_000.0))),
    ];
    for (kind, in_flight, count, bar) in cases {
        Case { kind, in_flight, count }.measure(options, report, bar)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Case {
    kind: Kind,
    in_flight: usize,
    /// Workflows in one round.
    count: usize,
}

impl Case {
    fn measure(&self, options: &Options, report: &mut Report, bar: Option<Bar>) -> Result<(), Failure> {
        let rounds = if self.in_flight == 1 { 5 * options.rounds() } else { options.rounds() };
        // The recording is a run of its own, so that it costs the measured one nothing.
        let traces = self.record(options, rounds)?;
        let runtime = runtime()?;
        let (engine_store, _engine_folder) = self.store(options)?;
        let (floor_store, _floor_folder) = self.store(options)?;
        let engine = runtime.block_on(WorkflowEngine::<sequence>::builder().store(engine_store).build())?;
        floor::replay(floor_store.as_ref(), &traces.opening)?;
        let mut turns = Turns::default();
        let (mut before, mut groups) = (engine.stats(), Vec::new());
        for (round, trace) in traces.rounds.iter().enumerate() {
            let (result, timing) = time(|| runtime.block_on(self.load(&engine, round)));
            result?;
            let stats = engine.stats();
            let group = (stats.commits - before.commits) as f64 / (stats.groups - before.groups).max(1) as f64;
            before = stats;
            groups.push(group);
            let trace = trace.regrouped(group.round() as usize);
            turns.add(timing, floor::replay(floor_store.as_ref(), &trace)?);
        }
        runtime.block_on(engine.shutdown());
        drop(engine);

        let steps = self.count * STEPS;
        let found = turns.compare(steps);
        let sum = |count: fn(&Trace) -> usize| traces.rounds.iter().map(count).sum::<usize>() as f64;
        let note = format!(
            "groups of {:.0}, {:.0} bytes/step, CPU {:.2} us/step (floor {:.2}), {}",
            median(&groups),
            sum(Trace::bytes) / (steps * rounds) as f64,
            found.cpu_us,
            found.floor_cpu_us,
            found.quiet,
        );
        let name = format!("W1 {} in flight, {}", self.in_flight, self.name());
        let row = Row::new(name, found.rate, "steps/s").floor(found.floor_rate, found.ratio).spread(found.quartiles).note(note);
        report.add(match bar {
            Some(bar) => row.bar(bar),
            None => row,
        });
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Synced => "synced",
            Kind::Relaxed => "relaxed",
            Kind::Memory => "memory",
        }
    }

    fn store(&self, options: &Options) -> Result<(Arc<dyn Store>, tempfile::TempDir), Failure> {
        let folder = options.folder()?;
        let embedded = |durability| EmbeddedStore::builder(folder.path()).durability(durability).open();
        let store: Arc<dyn Store> = match self.kind {
            Kind::Synced => Arc::new(embedded(Durability::Synced)?),
            Kind::Relaxed => Arc::new(embedded(Durability::Relaxed)?),
            Kind::Memory => Arc::new(MemoryStore::new()),
        };
        Ok((store, folder))
    }

    /// What an engine commits when it is built, and in each round.
    fn record(&self, options: &Options, rounds: usize) -> Result<Traces, Failure> {
        let (store, _folder) = self.store(options)?;
        let recorder = Recorder::new(store);
        let runtime = runtime()?;
        let engine = runtime.block_on(WorkflowEngine::<sequence>::builder().store(recorder.clone()).build())?;
        let mut traces = Traces { opening: recorder.take(), rounds: Vec::new() };
        for round in 0..rounds {
            runtime.block_on(self.load(&engine, round))?;
            traces.rounds.push(recorder.take());
        }
        runtime.block_on(engine.shutdown());
        Ok(traces)
    }

    /// Runs the workflows of a round, `in_flight` of them at any time.
    async fn load(&self, engine: &WorkflowEngine<sequence>, round: usize) -> Result<(), Failure> {
        let count = self.count;
        let next = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..self.in_flight)
            .map(|_| {
                let (engine, next) = (engine.clone(), next.clone());
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok::<(), Failure>(());
                        }
                        let call = sequence(STEPS as u64, Payload::new());
                        let handle = engine.start(call).id(format!("sequence-{round:03}-{number:05}")).await?;
                        let payload = handle.result().await?;
                        if payload.sequence != STEPS as u64 {
                            return Err(format!("the workflow {number} lost steps: {payload:?}").into());
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await??;
        }
        Ok(())
    }
}

struct Traces {
    opening: Trace,
    rounds: Vec<Trace>,
}

/// Two workers: the machine's two cores.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
