//! The steps with effects: each may run again after a crash, and doing so changes nothing.

mod records;

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

use self::records::{Records, Row};
use crate::monitor::Monitor;
use crate::problem::{BadRow, Outage, Problem};
use crate::report::Report;
use crate::statistics::Totals;
use crate::workflow::{Job, Malformed};

/// So many rows decide which columns hold numbers.
const SAMPLE: u64 = 200;
/// A chunk's text is stored with its step, so it has a limit.
const MAX_CHUNK_BYTES: u64 = 32 << 20;

/// How a file is going to be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) input: PathBuf,
    stamp: Stamp,
    pub(crate) columns: Vec<String>,
    group: usize,
    /// The columns that hold numbers.
    pub(crate) numbers: Vec<usize>,
    /// Where the first row begins.
    pub(crate) start: Position,
    chunk_rows: u64,
    pub(crate) chunks: u64,
}

impl Plan {
    pub(crate) fn group_name(&self) -> &str {
        &self.columns[self.group]
    }
}

/// Tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified_ns: Option<u128>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Stamp {
            bytes: metadata.len(),
            modified_ns: modified.map(|time| time.as_nanos()),
        }
    }
}

/// A place in the file, between two rows.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Position {
    byte: u64,
    line: u64,
}

/// Some rows, as they stand in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Chunk {
    text: String,
    /// The line on which the text begins.
    line: u64,
    pub(crate) end: Position,
}

/// Reads the whole file once, keeping nothing but the header, to learn its columns and how many rows it has.
#[task(blocking, retry(max_attempts = 1_000_000, backoff = exponential("100ms", max = "1s")))]
pub(crate) fn inspect(State(monitor): State<Monitor>, job: &Job) -> Result<Result<Plan, Problem>, Outage> {
    monitor.begins(None);
    monitor.watch(apart(inspect_file(job)))
}

/// Reads the rows of one chunk.
#[task(blocking, retry(max_attempts = 1_000_000, backoff = exponential("100ms", max = "1s")))]
pub(crate) fn fetch(
    State(monitor): State<Monitor>,
    plan: &Plan,
    from: Position,
    chunk: u64,
) -> Result<Result<Chunk, Problem>, Outage> {
    monitor.begins(Some((chunk - 1, plan.chunks)));
    monitor.watch(apart(read_chunk(plan, from)))
}

/// Computes the statistics of one chunk.
#[task(blocking)]
pub(crate) fn process(
    State(monitor): State<Monitor>,
    plan: &Plan,
    rows: &Chunk,
    chunk: u64,
    malformed: Malformed,
) -> Result<Totals, Problem> {
    monitor.begins(Some((chunk - 1, plan.chunks)));
    std::thread::sleep(monitor.delay);
    let totals = summarise(plan, rows, malformed)?;
    monitor.progress(chunk, plan.chunks);
    Ok(totals)
}

/// Writes the report.
#[task(blocking, retry(max_attempts = 1_000_000, backoff = exponential("100ms", max = "1s")))]
pub(crate) fn store(State(monitor): State<Monitor>, job: &Job, report: &Report) -> Result<(), Outage> {
    monitor.begins(Some((report.chunks, report.chunks)));
    monitor.watch(
        report
            .write(&job.output)
            .map_err(|error| Outage::new("write", &job.output, &error)),
    )
}

/// Tells what is worth another attempt from what is not.
fn apart<T>(result: Result<T, Problem>) -> Result<Result<T, Problem>, Outage> {
    match result {
        Err(Problem::Outage(outage)) => Err(outage),
        other => Ok(other),
    }
}

fn inspect_file(job: &Job) -> Result<Plan, Problem> {
    let path = &job.input;
    let file = open(path)?;
    let metadata = file
        .metadata()
        .map_err(|error| Outage::new("read", path, &error))?;
    let mut records = Records::new(file, path);
    let Some(header) = records.next()? else {
        return Err(Problem::unusable(
            path,
            "is empty; its first line must name the columns",
        ));
    };
    let columns: Vec<String> = header
        .iter()
        .enumerate()
        .map(|(index, name)| match String::from_utf8_lossy(name).trim() {
            "" => format!("column {}", index + 1),
            name => name.to_owned(),
        })
        .collect();
    let start = Position {
        byte: records.byte(),
        line: 1 + records.line_breaks(),
    };
    let mut counts = vec![Count::default(); columns.len()];
    let mut rows = 0;
    while let Some(record) = records.next()? {
        if rows < SAMPLE {
            for (count, field) in counts.iter_mut().zip(record.iter()) {
                count.field(&String::from_utf8_lossy(field));
            }
        }
        rows += 1;
    }
    let (group, numbers) = choose(path, &columns, &counts, job.group.as_deref())?;
    let chunk_rows = job.chunk_rows.unwrap_or_else(|| (rows / 40).clamp(40, 10_000));
    let stamp = Stamp::of(&metadata);
    let chunks = rows.div_ceil(chunk_rows);
    Ok(Plan {
        input: path.clone(),
        stamp,
        columns,
        group,
        numbers,
        start,
        chunk_rows,
        chunks,
    })
}

/// What the first rows hold in one column.
#[derive(Debug, Clone, Default)]
struct Count {
    present: u64,
    numbers: u64,
}

impl Count {
    fn field(&mut self, field: &str) {
        if !is_missing(field) {
            self.present += 1;
            self.numbers += u64::from(number(field).is_some());
        }
    }

    /// One bad value does not make a text of a number column.
    fn is_number(&self) -> bool {
        self.numbers > 0 && self.numbers * 2 >= self.present
    }
}

/// The group column and the number columns.
fn choose(
    path: &Path,
    columns: &[String],
    counts: &[Count],
    group: Option<&str>,
) -> Result<(usize, Vec<usize>), Problem> {
    let group = match group {
        Some(name) => columns.iter().position(|column| column == name).ok_or_else(|| {
            let what = format!(
                "has no column `{name}` for `--group`; its columns are `{}`",
                columns.join("`, `")
            );
            Problem::unusable(path, what)
        })?,
        None => counts
            .iter()
            .rposition(|count| count.present > 0 && !count.is_number())
            .ok_or_else(|| {
                Problem::unusable(
                    path,
                    "has no column of texts to group by; choose a column with `--group`",
                )
            })?,
    };
    let numbers: Vec<usize> = (0..columns.len())
        .filter(|index| *index != group && counts[*index].is_number())
        .collect();
    if numbers.is_empty() {
        return Err(Problem::unusable(path, "has no column of numbers to summarise"));
    }
    Ok((group, numbers))
}

fn read_chunk(plan: &Plan, from: Position) -> Result<Chunk, Problem> {
    let path = &plan.input;
    let file = open(path)?;
    let metadata = file
        .metadata()
        .map_err(|error| Outage::new("read", path, &error))?;
    if Stamp::of(&metadata) != plan.stamp {
        return Err(Problem::Changed { path: path.clone() });
    }
    let mut records = Records::new(file, path).from(from.byte)?;
    for _ in 0..plan.chunk_rows {
        if records.next()?.is_none() {
            break;
        }
    }
    let bytes = records.byte() - from.byte;
    if bytes > MAX_CHUNK_BYTES {
        let what = format!(
            "has a chunk of {bytes} bytes at line {}, the limit is {MAX_CHUNK_BYTES}; choose fewer rows with `--chunk`",
            from.line
        );
        return Err(Problem::unusable(path, what));
    }
    let text = records.text(from.byte, bytes)?;
    let line_breaks = text.bytes().filter(|byte| *byte == b'\n').count() as u64;
    let end = Position {
        byte: from.byte + bytes,
        line: from.line + line_breaks,
    };
    Ok(Chunk {
        text,
        line: from.line,
        end,
    })
}

fn open(path: &Path) -> Result<File, Outage> {
    File::open(path).map_err(|error| Outage::new("read", path, &error))
}

fn summarise(plan: &Plan, chunk: &Chunk, malformed: Malformed) -> Result<Totals, Problem> {
    let mut totals = Totals::default();
    let mut values = Vec::with_capacity(plan.numbers.len());
    for row in records::parse(&chunk.text, chunk.line) {
        match check(plan, &row, &mut values) {
            Ok(group) => totals.row(group, values.iter().copied()),
            Err(rule) => {
                let row = BadRow { line: row.line, rule };
                if malformed == Malformed::Stop {
                    return Err(Problem::Malformed {
                        path: plan.input.clone(),
                        row,
                    });
                }
                totals.bad_row(row);
            }
        }
    }
    Ok(totals)
}

/// The row's group and, in `values`, its numbers; or the rule that it breaks.
fn check<'a>(plan: &Plan, row: &'a Row, values: &mut Vec<Option<f64>>) -> Result<&'a str, String> {
    let fields = &row.fields;
    if row.is_open {
        return Err("a quote is opened and not closed".to_owned());
    }
    if fields.len() != plan.columns.len() {
        return Err(format!(
            "the row has {} fields, the header has {}",
            fields.len(),
            plan.columns.len()
        ));
    }
    if let Some(index) = fields.iter().position(|field| field.contains('\u{FFFD}')) {
        return Err(format!(
            "`{}` is {:?}, which is not UTF-8 text",
            plan.columns[index], &fields[index]
        ));
    }
    values.clear();
    for index in &plan.numbers {
        let field = &fields[*index];
        values.push(if is_missing(field) {
            None
        } else {
            let wrong = || format!("`{}` is {field:?}, which is not a number", plan.columns[*index]);
            Some(number(field).ok_or_else(wrong)?)
        });
    }
    let group = fields[plan.group].trim();
    Ok(if group.is_empty() { "(none)" } else { group })
}

fn is_missing(field: &str) -> bool {
    matches!(field.trim(), "" | "NA" | "N/A" | "NaN" | "nan" | "null" | "NULL")
}

fn number(field: &str) -> Option<f64> {
    field.trim().parse().ok().filter(|value: &f64| value.is_finite())
}
