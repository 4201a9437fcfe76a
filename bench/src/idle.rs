//! W4: many workflows wait for a signal, and nothing of them is in memory; then all get it.
//!
//! The memory of a waiting workflow is what a process holds more with 100,000 of them than with 10,000, divided by the
//! 90,000: what both hold alike (code, caches, write buffers) is not theirs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use workflow_runtime::store::EmbeddedStore;
use workflow_runtime::{InstanceId, WorkflowEngine};

use crate::Failure;
use crate::child::{Running, tell};
use crate::load::runtime;
use crate::options::Options;
use crate::recovery::size;
use crate::report::{Bar, Report, Row};
use crate::workflows::{Payload, Proceed, wait};

/// How many signals or starts are under way at once.
const AT_ONCE: usize = 256;
/// How many waiting workflows the engine may keep in memory.
const IN_MEMORY: usize = 16;

#[derive(Debug)]
struct Figures {
    count: usize,
    /// Resident bytes.
    before: f64,
    parked: f64,
    opened: f64,
    park_s: f64,
    drain_s: f64,
    disk: u64,
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let counts = if options.quick {
        [2_000, 20_000]
    } else {
        [10_000, 100_000]
    };
    // With the store's own buffers and cache, which so few workflows do not fill, and with small ones, which are full at
    // both counts: what grows then is the workflows'.
    for (buffer, name) in [(0, "W4"), (1 << 20, "W4, write buffer and cache of 1 MiB,")] {
        let figures = counts.map(|count| measure(options, count, buffer));
        let [few, many] = figures;
        let (few, many) = (few?, many?);
        for figures in [&few, &many] {
            let count = figures.count as f64;
            let note = format!(
                "resident MiB: {:.1} before, {:.1} with all parked, {:.1} in a new process that has opened them",
                figures.before / 1_048_576.0,
                figures.parked / 1_048_576.0,
                figures.opened / 1_048_576.0,
            );
            let each = (figures.parked - figures.before) / count;
            report.add(
                Row::new(
                    format!("{name} {} parked, resident growth each", figures.count),
                    each,
                    "bytes",
                )
                .note(note),
            );
            let note = "allocated in the folder, the journal included";
            let row = Row::new(
                format!("{name} {} parked, disk each", figures.count),
                figures.disk as f64 / count,
                "bytes",
            );
            report.add(row.note(note));
            let row = Row::new(
                format!("{name} {} parked", figures.count),
                count / figures.park_s,
                "workflows/s",
            );
            report.add(row);
            let note = format!("{:.2} s for all, {AT_ONCE} signals at once", figures.drain_s);
            let row = Row::new(
                format!("{name} {} signalled and ended", figures.count),
                count / figures.drain_s,
                "workflows/s",
            );
            report.add(row.note(note));
        }
        let more = (many.count - few.count) as f64;
        let each = (many.opened - few.opened) / more;
        let row = Row::new(
            format!("{name} memory of one more parked workflow, new process"),
            each,
            "bytes",
        );
        report.add(row.bar_if((buffer > 0).then_some(Bar::ValueBelow(64.0))));
        let each = (many.parked - few.parked) / more;
        report.add(Row::new(
            format!("{name} memory of one more parked workflow, same process"),
            each,
            "bytes",
        ));
    }
    Ok(())
}

fn measure(options: &Options, count: usize, buffer: u64) -> Result<Figures, Failure> {
    let folder = options.folder()?;
    let (path, number, buffer) = (
        folder.path().to_string_lossy(),
        count.to_string(),
        buffer.to_string(),
    );
    let mut child = Running::start(&["idle-park", &path, &number, &buffer])?;
    let (before, park_s, parked) = (
        child.told("before")?,
        child.told("park_s")?,
        child.told("parked")?,
    );
    child.wait()?;
    let (_, disk) = size(folder.path())?;
    let mut child = Running::start(&["idle-drain", &path, &number, &buffer])?;
    let (opened, drain_s) = (child.told("opened")?, child.told("drain_s")?);
    child.wait()?;
    Ok(Figures {
        count,
        before,
        parked,
        opened,
        park_s,
        drain_s,
        disk,
    })
}

async fn engine(folder: &Path, buffer: u64) -> Result<WorkflowEngine<wait>, Failure> {
    let mut builder = EmbeddedStore::builder(folder);
    if buffer > 0 {
        builder = builder.write_buffer_bytes(buffer).cache_bytes(buffer);
    }
    Ok(WorkflowEngine::builder()
        .store(builder.open()?)
        .waiting_in_memory(IN_MEMORY)
        .build()
        .await?)
}

fn id(number: usize) -> String {
    format!("parked-{number:07}")
}

/// The process that starts the workflows.
pub(crate) fn park(folder: &Path, count: usize, buffer: u64) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let engine = engine(folder, buffer).await?;
        // What the first ones touch is there for all.
        start(&engine, 0..500).await?;
        tell("before", resident());
        let begin = Instant::now();
        start(&engine, 500..count).await?;
        tell("park_s", begin.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_millis(500)).await;
        tell("parked", resident());
        engine.shutdown().await;
        Ok(())
    })
}

async fn start(engine: &WorkflowEngine<wait>, range: std::ops::Range<usize>) -> Result<(), Failure> {
    at_once(range, engine, |engine, number| async move {
        engine.start(wait(Payload::new())).id(id(number)).await?;
        Ok(())
    })
    .await?;
    while engine.stats().in_memory > IN_MEMORY {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The process that ends them.
pub(crate) fn drain(folder: &Path, count: usize, buffer: u64) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let engine = engine(folder, buffer).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        tell("opened", resident());
        let begin = Instant::now();
        at_once(0..count, &engine, |engine, number| async move {
            let handle = engine.handle::<wait>(InstanceId::new(id(number))?);
            handle
                .signal(Proceed {
                    by: "the benchmark".to_owned(),
                })
                .await?;
            Ok(())
        })
        .await?;
        while engine.stats().in_memory > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tell("drain_s", begin.elapsed().as_secs_f64());
        for number in (0..count).step_by(count / 100) {
            let output = engine
                .handle::<wait>(InstanceId::new(id(number))?)
                .result()
                .await?;
            if !output.ends_with("the benchmark") {
                return Err(format!("the workflow {number} has a wrong result").into());
            }
        }
        engine.shutdown().await;
        Ok(())
    })
}

/// Does something for each number, so many at once.
pub(crate) async fn at_once<R, F>(
    range: std::ops::Range<usize>,
    engine: &WorkflowEngine<R>,
    work: fn(WorkflowEngine<R>, usize) -> F,
) -> Result<(), Failure>
where
    R: 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(range.start));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (next, engine, end) = (next.clone(), engine.clone(), range.end);
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return Ok::<(), Failure>(());
                    }
                    work(engine.clone(), number).await?;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

/// The resident memory of this process, in bytes.
pub(crate) fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|field| field.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        * 1024.0
}
