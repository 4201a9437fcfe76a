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
use crate::statistics::{Timing, Turns, time};
use crate::trace::{Recorder, Trace};
use crate::workflows::{Payload, sequence};

const STEPS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Synced,
    Relaxed,
    Memory,
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let folder = options.folder()?;
    let run = Duration::from_secs(if options.quick { 1 } else { 3 });
    let disk = floor::disk(folder.path(), 256, run)?;
    report.add(Row::new("disk, append of 256 bytes + fdatasync", disk, "1/s"));
    let large = floor::disk(folder.path(), 64 << 10, run)?;
    report.add(Row::new("disk, append of 64 KiB + fdatasync", large, "1/s"));

    let scale = if options.quick { 1 } else { 2 };
    let cases = [
        (Kind::Synced, 1, 20, Bar::Ratio(0.85)),
        (Kind::Synced, 64, 400, Bar::Ratio(0.0)),
        (Kind::Synced, 256, 1024, Bar::Ratio(0.6)),
        (Kind::Synced, 1024, 2048, Bar::Ratio(0.6)),
        (Kind::Relaxed, 256, 1024, Bar::Value(150_000.0)),
        (Kind::Memory, 256, 2048, Bar::Value(150_000.0)),
    ];
    for (kind, in_flight, count, bar) in cases {
        let case = Case { kind, in_flight, count: count * scale };
        case.measure(options, report, bar)?;
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
    fn measure(&self, options: &Options, report: &mut Report, bar: Bar) -> Result<(), Failure> {
        // The recording is a round of its own, so that it costs the measured ones nothing.
        let (recorded, _, _) = self.engine(options, true)?;
        let steps = self.count * STEPS;
        let mut turns = Turns::default();
        let mut group = Vec::new();
        for _ in 0..options.rounds() {
            let (_, engine, batches_per_group) = self.engine(options, false)?;
            let (store, _folder) = self.store(options)?;
            let floor = floor::replay(store.as_ref(), &recorded)?;
            turns.add(engine, floor);
            group.push(batches_per_group);
        }
        let (engine, floor, ratio, spread) = turns.rates(steps);
        let (cpu, floor_cpu) = turns.cpu_us(steps);
        let name = format!("W1 {} in flight, {}", self.in_flight, self.name());
        let note = format!(
            "groups of {:.1} (floor {:.1}), {} bytes/step, CPU {cpu:.2} us/step (floor {floor_cpu:.2})",
            crate::statistics::median(&group),
            recorded.batches() as f64 / recorded.groups.len() as f64,
            recorded.bytes() / steps,
        );
        let row = Row::new(name, engine, "steps/s").floor(floor, ratio).spread(spread).note(note);
        report.add(if matches!(bar, Bar::Ratio(0.0)) { row } else { row.bar(bar) });
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

    /// One round: the trace if it is recorded, the time, the mean size of the commit groups.
    fn engine(&self, options: &Options, record: bool) -> Result<(Trace, Timing, f64), Failure> {
        let (store, _folder) = self.store(options)?;
        let runtime = runtime()?;
        let recorder = Recorder::new(store.clone());
        let builder = WorkflowEngine::<sequence>::builder();
        let builder = if record { builder.store(recorder.clone()) } else { builder.store(store) };
        let engine = runtime.block_on(builder.build())?;
        let (result, timing) = time(|| runtime.block_on(load(&engine, self.in_flight, self.count)));
        result?;
        let stats = engine.stats();
        runtime.block_on(engine.shutdown());
        Ok((recorder.take(), timing, stats.commits as f64 / stats.groups as f64))
    }
}

/// Two workers: the machine's two cores.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// Runs `count` workflows, `in_flight` of them at any time.
async fn load(engine: &WorkflowEngine<sequence>, in_flight: usize, count: usize) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (engine, next) = (engine.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok::<(), Failure>(());
                    }
                    let call = sequence(STEPS as u64, Payload::new());
                    let handle = engine.start(call).id(format!("sequence-{number:06}")).await?;
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
