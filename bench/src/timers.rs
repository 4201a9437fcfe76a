//! W6: many workflows sleep and are due within one minute. How late do they wake, and what does the engine use meanwhile?

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use workflow_runtime::store::EmbeddedStore;
use workflow_runtime::{InstanceId, WorkflowEngine};

use crate::Failure;
use crate::child::{Running, tell};
use crate::idle::{at_once, resident};
use crate::load::runtime;
use crate::options::Options;
use crate::report::{Bar, Report, Row};
use crate::statistics::{cpu_time, percentile};
use crate::workflows::sleeper;

/// How many fall due in a second, which is 100,000 in a minute.
const PER_SECOND: usize = 1_667;
/// How long the engine is watched while all sleep.
const IDLE: Duration = Duration::from_secs(5);
/// How many waiting workflows the engine may keep in memory.
const IN_MEMORY: usize = 1_000;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let count = if options.quick { 20_000 } else { 100_000 };
    let folder = options.folder()?;
    let mut child = Running::start(&["timers", &folder.path().to_string_lossy(), &count.to_string()])?;
    let mut told = |name| child.told(name);
    let (parked, idle, memory) = (told("parked")?, told("idle")?, told("memory")?);
    let (median, late, latest) = (told("p50")?, told("p99")?, told("most")?);
    let (busy, groups) = (told("busy")?, told("groups")?);
    child.wait()?;
    let name = format!("W6 {count} sleeping, due at {PER_SECOND}/s");
    let row = Row::new(
        format!("{name}, CPU while all sleep"),
        100.0 * idle,
        "% of a core",
    );
    report.add(row.bar(Bar::ValueBelow(1.0)));
    let row = Row::new(format!("{name}, memory each while asleep"), memory, "bytes");
    report.add(row.note(format!(
        "put to sleep at {parked:.0}/s, {IN_MEMORY} kept in memory"
    )));
    let row = Row::new(format!("{name}, late, p50"), median, "ms");
    report.add(row.note("by the machine's clock, when the code behind the sleep runs"));
    let row = Row::new(format!("{name}, late, p99"), late, "ms").bar(Bar::ValueBelow(50.0));
    report.add(row.note(format!(
        "latest {latest:.1} ms, {:.0} % of a core, {groups:.0} commits/s",
        100.0 * busy
    )));
    Ok(())
}

/// The process that sleeps and wakes.
pub(crate) fn child(folder: &Path, count: usize) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let engine = WorkflowEngine::<sleeper>::builder()
            .store(EmbeddedStore::builder(folder).open()?)
            .waiting_in_memory(IN_MEMORY)
            .build()
            .await?;
        let before = resident();
        // Enough time to start all and to watch them sleep.
        let allowed = Duration::from_secs(6) + IDLE + Duration::from_micros(60 * count as u64);
        let (begin, first) = (Instant::now(), SystemTime::now() + allowed);
        let first_ms = u64::try_from(first.duration_since(UNIX_EPOCH)?.as_millis())?;
        FIRST_MS.store(first_ms, std::sync::atomic::Ordering::Relaxed);
        at_once(0..count, &engine, |engine, number| async move {
            let due_ms = FIRST_MS.load(std::sync::atomic::Ordering::Relaxed)
                + number as u64 * 1_000 / PER_SECOND as u64;
            engine.start(sleeper(due_ms)).id(id(number)).await?;
            Ok(())
        })
        .await?;
        while engine.stats().in_memory > IN_MEMORY {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tell("parked", count as f64 / begin.elapsed().as_secs_f64());
        // The store tidies up after the load.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (watched, cpu) = (Instant::now(), cpu_time());
        tokio::time::sleep(IDLE).await;
        tell(
            "idle",
            (cpu_time() - cpu).as_secs_f64() / watched.elapsed().as_secs_f64(),
        );
        tell("memory", (resident() - before) / count as f64);
        let Ok(left) = first.duration_since(SystemTime::now()) else {
            return Err("the workflows took so long to start that the first ones are due already".into());
        };
        tokio::time::sleep(left).await;
        let (watched, cpu, stats) = (Instant::now(), cpu_time(), engine.stats());
        let mut late_ms = Vec::with_capacity(count);
        tokio::time::sleep(Duration::from_millis(count as u64 * 1_000 / PER_SECOND as u64)).await;
        let busy = (cpu_time() - cpu).as_secs_f64() / watched.elapsed().as_secs_f64();
        let groups = (engine.stats().groups - stats.groups) as f64 / watched.elapsed().as_secs_f64();
        for number in 0..count {
            let handle = engine.handle::<sleeper>(InstanceId::new(id(number))?);
            late_ms.push(handle.result().await? as f64 / 1e3);
        }
        for (name, percent) in [("p50", 50.0), ("p99", 99.0), ("most", 100.0)] {
            tell(name, percentile(&late_ms, percent));
        }
        tell("busy", busy);
        tell("groups", groups);
        engine.shutdown().await;
        Ok(())
    })
}

/// When the first one is due.
static FIRST_MS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn id(number: usize) -> String {
    format!("sleeper-{number:07}")
}
