//! 100,000 signals to 10,000 workflows, ten to each, beside a bare loop that commits what the engine has committed.

use std::sync::Arc;

use workflow_runtime::store::Store;
use workflow_runtime::{InstanceId, WorkflowEngine};

use crate::idle::at_once;
use crate::load::{Kind, runtime};
use crate::options::Options;
use crate::report::{Report, Row};
use crate::statistics::{Timing, Turns, time};
use crate::trace::Recorder;
use crate::workflows::{Proceed, collect};
use crate::{Failure, floor};

/// Signals to each workflow.
const EACH: usize = 10;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let instances = if options.quick { 2_000 } else { 10_000 };
    let mut turns = Turns::default();
    let (rounds, mut group) = (options.rounds(), 0.0);
    while turns.go_on(&rounds) {
        let (engine_store, _engine_folder) = Kind::Synced.store(options)?;
        let (recorded_store, _recorded_folder) = Kind::Synced.store(options)?;
        let (floor_store, _floor_folder) = Kind::Synced.store(options)?;
        let recorder = Recorder::new(recorded_store);
        round(Arc::new(recorder.clone()), instances, || {
            floor::replay(floor_store.as_ref(), &recorder.take()).map(drop)
        })?;
        let trace = recorder.take();
        let (timing, mean) = round(engine_store, instances, || Ok(()))?;
        group = mean;
        turns.add(
            timing,
            floor::replay(floor_store.as_ref(), &trace.regrouped(mean))?,
        );
    }
    let found = turns.compare(instances * EACH);
    let note = format!(
        "groups of {group:.0}, CPU {:.1} us (floor {:.1}) per signal, {}",
        found.cpu_us, found.floor_cpu_us, found.quiet,
    );
    let name = format!(
        "{} signals to {instances} workflows, until all have ended",
        instances * EACH
    );
    report.add(Row::compared(name, "signals/s", &found).note(note));
    Ok(())
}

/// Starts all, then `started`; then takes the time until all signals are sent and all workflows have ended.
fn round(
    store: Arc<dyn Store>,
    instances: usize,
    started: impl FnOnce() -> Result<(), Failure>,
) -> Result<(Timing, f64), Failure> {
    let runtime = runtime()?;
    let engine = runtime.block_on(WorkflowEngine::<collect>::builder().store(store).build())?;
    runtime.block_on(at_once(0..instances, &engine, |engine, number| async move {
        engine.start(collect(EACH as u64)).id(id(number)).await?;
        Ok(())
    }))?;
    started()?;
    let before = engine.stats();
    let (result, timing) = time(|| runtime.block_on(signal(&engine, instances)));
    result?;
    let after = engine.stats();
    runtime.block_on(engine.shutdown());
    let group = (after.commits - before.commits) as f64 / (after.groups - before.groups).max(1) as f64;
    Ok((timing, group))
}

async fn signal(engine: &WorkflowEngine<collect>, instances: usize) -> Result<(), Failure> {
    // One to each, and again: they arrive while others are being worked on.
    for _ in 0..EACH {
        at_once(0..instances, engine, |engine, number| async move {
            let handle = engine.handle::<collect>(InstanceId::new(id(number))?);
            let by = "the benchmark".to_owned();
            handle.signal(Proceed { by }).await?;
            Ok(())
        })
        .await?;
    }
    for number in 0..instances {
        let handle = engine.handle::<collect>(InstanceId::new(id(number))?);
        let characters = handle.result().await?;
        if characters != (EACH * "the benchmark".len()) as u64 {
            return Err(format!("the workflow {number} has received {characters} characters").into());
        }
    }
    Ok(())
}

fn id(number: usize) -> String {
    format!("collector-{number:07}")
}
