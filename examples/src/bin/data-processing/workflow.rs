//! The workflow: plain Rust, and every `.await` is a durable step.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

use crate::problem::Problem;
use crate::report::Report;
use crate::statistics::Totals;
use crate::tasks::{fetch, inspect, process, store};

/// What a run is to do. Two runs with the same job are the same run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    /// The column whose values are the groups; `None` chooses one.
    pub(crate) group: Option<String>,
    /// `None` chooses a number.
    pub(crate) chunk_rows: Option<u64>,
    pub(crate) malformed: Malformed,
}

/// What happens to a row that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Malformed {
    Stop,
    Skip,
}

/// Summarises a CSV file, whatever its size: one chunk at a time is in memory.
///
/// `inspect` and `fetch` give two `Result`s: the outer one is an outage, which was attempted again and again, the inner
/// one a problem that no attempt would mend.
#[workflow]
pub(crate) async fn data_processing(job: Job) -> Result<Report, Problem> {
    let plan = inspect(&job).await??;
    let mut totals = Totals::default();
    let mut position = plan.start;
    for chunk in 1..=plan.chunks {
        let rows = fetch(&plan, position, chunk).await??;
        position = rows.end;
        let part = process(&plan, &rows, chunk, job.malformed).await?;
        totals.add(part, &plan)?;
    }
    let report = Report::new(&plan, &totals);
    store(&job, &report).await?;
    Ok(report)
}
