//! The report: what a run tells, and the bytes of its file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::problem::BadRow;
use crate::statistics::{Summary, Totals};
use crate::tasks::Plan;

/// The outcome of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) header: Vec<String>,
    /// One line per group and column.
    pub(crate) lines: Vec<Vec<String>>,
    pub(crate) rows: u64,
    pub(crate) skipped: u64,
    pub(crate) shown: Vec<BadRow>,
    pub(crate) chunks: u64,
}

impl Report {
    pub(crate) fn new(plan: &Plan, totals: &Totals) -> Self {
        let header = [
            "column",
            "values",
            "missing",
            "mean",
            "deviation",
            "min",
            "median",
            "95 %",
            "max",
        ];
        let header = [plan.group_name()]
            .into_iter()
            .chain(header)
            .map(str::to_owned)
            .collect();
        let names = plan.numbers.iter().map(|index| plan.columns[*index].as_str());
        let lines = totals
            .groups
            .iter()
            .flat_map(|(group, summaries)| {
                names
                    .clone()
                    .zip(summaries)
                    .map(move |(name, summary)| line(group, name, summary))
            })
            .collect();
        Report {
            header,
            lines,
            rows: totals.rows,
            skipped: totals.skipped,
            shown: totals.shown.clone(),
            chunks: plan.chunks,
        }
    }

    /// Replaces the file with the report, whole: a reader sees the old report or the new one, never a part. Doing it
    /// twice changes nothing.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let draft = draft_of(path);
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.header)?;
        for line in &self.lines {
            writer.write_record(line)?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|error| io::Error::other(error.to_string()))?;
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        // The new name must survive a power loss too.
        match path.parent() {
            Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

/// Where a report is written before it takes its name: in the same folder, so that a rename is enough.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

fn line(group: &str, column: &str, summary: &Summary) -> Vec<String> {
    let number = |value: f64| format!("{value:.3}");
    let optional = |value: Option<f64>| value.map_or_else(String::new, number);
    let known = |value: f64| optional((summary.count > 0).then_some(value));
    vec![
        group.to_owned(),
        column.to_owned(),
        summary.count.to_string(),
        summary.missing.to_string(),
        known(summary.mean),
        optional(summary.deviation()),
        known(summary.min),
        optional(summary.quantile(0.5)),
        optional(summary.quantile(0.95)),
        known(summary.max),
    ]
}
