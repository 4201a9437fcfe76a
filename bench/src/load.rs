//! A load of workflows on an engine, measured in turns with a bare loop that commits the same to a store of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use workflow_runtime::store::{Durability, EmbeddedStore, MemoryStore, Store};
use workflow_runtime::{Workflow, WorkflowCall, WorkflowEngine};

use crate::options::Options;
use crate::statistics::{Comparison, Turns, median, time};
use crate::trace::Recorder;
use crate::{Failure, floor};

/// Which store the engine runs on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Synced,
    Relaxed,
    Memory,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Synced => "synced",
            Kind::Relaxed => "relaxed",
            Kind::Memory => "memory",
        })
    }
}

impl FromStr for Kind {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let kinds = [Kind::Synced, Kind::Relaxed, Kind::Memory];
        kinds
            .into_iter()
            .find(|kind| kind.to_string() == name)
            .ok_or(format!("there is no store `{name}`").into())
    }
}

impl Kind {
    /// An empty store, and its folder.
    pub(crate) fn store(self, options: &Options) -> Result<(Arc<dyn Store>, tempfile::TempDir), Failure> {
        let folder = options.folder()?;
        let embedded = |durability| {
            EmbeddedStore::builder(folder.path())
                .durability(durability)
                .open()
        };
        let store: Arc<dyn Store> = match self {
            Kind::Synced => Arc::new(embedded(Durability::Synced)?),
            Kind::Relaxed => Arc::new(embedded(Durability::Relaxed)?),
            Kind::Memory => Arc::new(MemoryStore::new()),
        };
        Ok((store, folder))
    }
}

/// Rounds of `count` workflows, `in_flight` of them at any time.
pub(crate) struct Load<W: Workflow> {
    pub(crate) kind: Kind,
    pub(crate) in_flight: usize,
    pub(crate) count: usize,
    pub(crate) call: fn() -> WorkflowCall<W>,
    pub(crate) is_right: fn(&W::Output) -> bool,
}

/// What a [`Load`] has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Per workflow.
    pub(crate) comparison: Comparison,
    /// Batches in a commit group.
    pub(crate) group: f64,
    /// Bytes of keys and values written per workflow.
    pub(crate) bytes: f64,
    /// From the start of each workflow to its result, in milliseconds.
    pub(crate) latencies_ms: Vec<f64>,
}

impl<W: Workflow> Load<W> {
    /// Runs rounds until enough of them were quiet.
    pub(crate) fn measure(&self, options: &Options) -> Result<Outcome, Failure> {
        let runtime = runtime()?;
        let (engine_store, _engine_folder) = self.kind.store(options)?;
        let (floor_store, _floor_folder) = self.kind.store(options)?;
        // What is committed is recorded on an engine of its own, so that the measured one has no cost of it.
        let (recorded_store, _recorded_folder) = self.kind.store(options)?;
        let recorder = Recorder::new(recorded_store);
        let recorded = runtime.block_on(WorkflowEngine::<W>::builder().store(recorder.clone()).build())?;
        let engine = runtime.block_on(WorkflowEngine::<W>::builder().store(engine_store).build())?;
        floor::replay(floor_store.as_ref(), &recorder.take())?;

        let (mut turns, mut groups, mut bytes) = (Turns::default(), Vec::new(), 0);
        let (mut latencies_ms, mut quiet_latencies_ms) = (Vec::new(), Vec::new());
        let mut before = engine.stats();
        let (rounds, mut round) = (options.rounds(), 0);
        while turns.go_on(&rounds) {
            runtime.block_on(self.run(&recorded, round))?;
            let trace = recorder.take();
            bytes += trace.bytes();
            let (result, timing) = time(|| runtime.block_on(self.run(&engine, round)));
            let stats = engine.stats();
            let group =
                (stats.commits - before.commits) as f64 / (stats.groups - before.groups).max(1) as f64;
            before = stats;
            groups.push(group);
            let is_quiet = turns.add(
                timing,
                floor::replay(floor_store.as_ref(), &trace.regrouped(group))?,
            );
            let latencies = result?.into_iter().map(|latency| latency.as_secs_f64() * 1e3);
            if is_quiet {
                quiet_latencies_ms.extend(latencies.clone());
            }
            latencies_ms.extend(latencies);
            round += 1;
        }
        let bytes = bytes as f64 / (groups.len() * self.count) as f64;
        runtime.block_on(engine.shutdown());
        runtime.block_on(recorded.shutdown());
        // As for the rates: with too few quiet rounds all count.
        if turns.has_enough_quiet() {
            latencies_ms = quiet_latencies_ms;
        }
        Ok(Outcome {
            comparison: turns.compare(self.count),
            group: median(&groups),
            bytes,
            latencies_ms,
        })
    }

    /// One long run of the engine alone, for a profiler.
    pub(crate) fn profile(&self) -> Result<(), Failure> {
        let runtime = runtime()?;
        let (store, _folder) = self.kind.store(&Options::default())?;
        let engine = runtime.block_on(WorkflowEngine::<W>::builder().store(store).build())?;
        runtime.block_on(self.run(&engine, 0))?;
        runtime.block_on(engine.shutdown());
        Ok(())
    }

    /// One round: how long each workflow took.
    pub(crate) async fn run(
        &self,
        engine: &WorkflowEngine<W>,
        round: usize,
    ) -> Result<Vec<Duration>, Failure> {
        let (count, call, is_right) = (self.count, self.call, self.is_right);
        let next = Arc::new(AtomicUsize::new(0));
        let starters: Vec<_> = (0..self.in_flight)
            .map(|_| {
                let (engine, next) = (engine.clone(), next.clone());
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok::<_, Failure>(latencies);
                        }
                        let begin = Instant::now();
                        let handle = engine
                            .start(call())
                            .id(format!("instance-{round:03}-{number:05}"))
                            .await?;
                        let output = handle.result().await?;
                        latencies.push(begin.elapsed());
                        if !is_right(&output) {
                            return Err(format!("the workflow {} has a wrong result", handle.id()).into());
                        }
                    }
                })
            })
            .collect();
        let mut latencies = Vec::with_capacity(count);
        for starter in starters {
            latencies.extend(starter.await??);
        }
        Ok(latencies)
    }
}

/// Two workers: the machine's two cores.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
