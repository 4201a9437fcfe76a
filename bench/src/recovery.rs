//! W3: a workflow takes N steps and waits; its process is killed; another one opens the store, signals it and waits
//! for its end. The time of that must not depend on N.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use workflow_runtime::store::{Durability, EmbeddedStore};
use workflow_runtime::{InstanceId, InstanceStatus, WorkflowEngine};

use crate::Failure;
use crate::child::{Running, tell};
use crate::load::runtime;
use crate::options::Options;
use crate::report::{Bar, Report, Row};
use crate::statistics::{median, percentile, quartiles};
use crate::workflows::{Payload, Proceed, steps_then_wait};

const STEPS: [u64; 4] = [100, 1_000, 10_000, 100_000];
const ID: &str = "long-runner";
/// How long the workflow has waited when its process is killed: the store shortens its journal when it is idle. The bar
/// is on a workflow that waits; what a kill in the middle of the work costs stands beside it.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::ZERO];
const PARTS: [&str; 3] = ["open", "build", "signal"];

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    for wait in WAITS {
        measure(options, report, wait)?;
    }
    Ok(())
}

fn measure(options: &Options, report: &mut Report, wait: Duration) -> Result<(), Failure> {
    let folder = options.folder()?;
    for steps in STEPS {
        let path = folder.path().join(steps.to_string());
        let mut child = Running::start(&["recovery-park", &path.to_string_lossy(), &steps.to_string()])?;
        child.told("parked")?;
        std::thread::sleep(wait);
        child.kill()?;
    }
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); STEPS.len()];
    let mut parts = vec![[const { Vec::new() }; PARTS.len()]; STEPS.len()];
    for _ in 0..options.quiet_rounds() {
        for (index, steps) in STEPS.iter().enumerate() {
            let copy = folder.path().join("copy");
            copy_folder(&folder.path().join(steps.to_string()), &copy)?;
            let start = Instant::now();
            let mut child = Running::start(&["recovery-complete", &copy.to_string_lossy()])?;
            for (part, name) in PARTS.iter().enumerate() {
                parts[index][part].push(child.told(name)?);
            }
            if child.told("sequence")? != *steps as f64 {
                return Err(format!("the workflow of {steps} steps ended with another number").into());
            }
            times[index].push(start.elapsed().as_secs_f64() * 1e3);
            child.wait()?;
            std::fs::remove_dir_all(&copy)?;
        }
    }
    let name = match wait {
        Duration::ZERO => "W3, killed at once,",
        _ => "W3, killed after 0.5 s,",
    };
    for (index, steps) in STEPS.iter().enumerate() {
        let parts: Vec<String> = PARTS
            .iter()
            .zip(&parts[index])
            .map(|(part, times)| format!("{part} {:.1}", median(times)))
            .collect();
        let (apparent, allocated) = size(&folder.path().join(steps.to_string()))?;
        let note = format!(
            "ms: {}; folder {:.1} MiB, allocated {:.1} MiB; least {:.1}",
            parts.join(", "),
            apparent as f64 / 1_048_576.0,
            allocated as f64 / 1_048_576.0,
            percentile(&times[index], 0.0),
        );
        let ratios: Vec<f64> = times[index]
            .iter()
            .zip(&times[0])
            .map(|(time, first)| time / first)
            .collect();
        let row = Row::new(format!("{name} after {steps} steps"), median(&times[index]), "ms")
            .floor(median(&times[0]), median(&ratios))
            .spread(quartiles(&ratios))
            .note(note);
        let last = index + 1 == STEPS.len() && !wait.is_zero();
        report.add(row.bar_if(last.then_some(Bar::RatioAtMost(1.2))));
    }
    Ok(())
}

fn open(folder: &Path, durability: Durability) -> Result<EmbeddedStore, Failure> {
    Ok(EmbeddedStore::builder(folder).durability(durability).open()?)
}

/// The process that is killed. It does not sync each step: that writes the same bytes, a killed process loses none of
/// them, and 100,000 syncs may take minutes.
pub(crate) fn park(folder: &Path, steps: u64) -> Result<(), Failure> {
    let store = open(folder, Durability::Relaxed)?;
    runtime()?.block_on(async {
        let engine = WorkflowEngine::<steps_then_wait>::builder()
            .store(store)
            .build()
            .await?;
        let handle = engine
            .start(steps_then_wait(steps, Payload::new()))
            .id(ID)
            .await?;
        while !matches!(handle.status().await?, InstanceStatus::Waiting { .. }) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tell("parked", 1.0);
        std::future::pending().await
    })
}

/// The process that completes the workflow.
pub(crate) fn complete(folder: &Path) -> Result<(), Failure> {
    let mut start = Instant::now();
    let mut part = || {
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        start = Instant::now();
        elapsed
    };
    let store = open(folder, Durability::Synced)?;
    let mut times = vec![part()];
    runtime()?.block_on(async {
        let engine = WorkflowEngine::<steps_then_wait>::builder()
            .store(store)
            .build()
            .await?;
        times.push(part());
        let handle = engine.handle::<steps_then_wait>(InstanceId::new(ID.to_owned())?);
        handle
            .signal(Proceed {
                by: "the new process".to_owned(),
            })
            .await?;
        let payload = handle.result().await?;
        times.push(part());
        for (name, time) in PARTS.iter().zip(&times) {
            tell(name, *time);
        }
        tell("sequence", payload.sequence as f64);
        engine.shutdown().await;
        Ok(())
    })
}

/// Copies a folder with the holes of its files. The journal is nearly all hole: a copy in which that is written out as
/// zeros takes longer to open than the folder that the killed process left.
fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    let status = Command::new("cp")
        .args(["-a", "--sparse=auto"])
        .arg(from)
        .arg(to)
        .status()?;
    let (before, after) = (size(from)?, size(to)?);
    if !status.success() || after.0 != before.0 || after.1.abs_diff(before.1) > 1 << 18 {
        return Err(format!("the copy of a folder differs: {before:?} bytes before, {after:?} after").into());
    }
    Ok(())
}

/// The lengths of all files in a folder, and what they take on the disk, in bytes.
pub(crate) fn size(folder: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let (apparent, allocated) = if metadata.is_dir() {
            size(&entry.path())?
        } else {
            (metadata.len(), 512 * metadata.blocks())
        };
        sum = (sum.0 + apparent, sum.1 + allocated);
    }
    Ok(sum)
}
