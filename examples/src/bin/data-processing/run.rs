//! One run of the program: finds out where the work stands, follows it, and says how it ended.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use workflow_runtime::prelude::*;
use workflow_runtime::{
    BuildError, InstanceId, InstanceStatus, InstanceSummary, ListFilter, ResultError, StartError, store,
};

use crate::arguments::Arguments;
use crate::monitor::{Event, Monitor};
use crate::problem::Outage;
use crate::report::Report;
use crate::table::table;
use crate::workflow::{Job, data_processing};

/// After so many failed attempts the program leaves the repair to a person. The run itself stays where it is.
const PATIENCE: u32 = 3;
const GRACE: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_secs(1);

/// Why the program ends without a report.
pub(crate) enum Stop {
    Failed(String),
    Interrupted,
}

fn failed(error: &(impl ToString + ?Sized)) -> Stop {
    Stop::Failed(error.to_string())
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Stop> {
    let job = job(&arguments)?;
    let id = name(&job)?;
    let (monitor, events) = Monitor::new(arguments.delay);
    let engine = open(&arguments, &id, &monitor).await?;
    let outcome = follow(&engine, job, &id, &monitor, events).await;
    engine.shutdown_within(GRACE).await;
    let report = outcome?;
    print!("{}", table(&report));
    tell_skipped(&report);
    println!(
        "{} rows in {} chunks, written to {}",
        report.rows,
        report.chunks,
        arguments.output.display()
    );
    Ok(())
}

/// Opens the data folder. One process at a time has it; that of a process that was killed just now is free a moment
/// later.
async fn open(
    arguments: &Arguments,
    id: &InstanceId,
    monitor: &Monitor,
) -> Result<WorkflowEngine<data_processing>, Stop> {
    let deadline = Instant::now() + MOMENT;
    loop {
        // The folder may hold runs over other files. A namespace of its own keeps this one from continuing them.
        let engine = WorkflowEngine::builder()
            .embedded(&arguments.data)
            .namespace(id.as_str())
            .state(monitor.clone())
            .build()
            .await;
        match engine {
            Ok(engine) => return Ok(engine),
            Err(BuildError::Store(store::Error::InUse { .. })) if Instant::now() < deadline => {
                tokio::time::sleep(MOMENT / 20).await;
            }
            Err(error) => return Err(failed(&error)),
        }
    }
}

/// Checks what can be checked before anything is stored.
fn job(arguments: &Arguments) -> Result<Job, Stop> {
    let unreadable = |error: &std::io::Error| failed(&Outage::new("read", &arguments.input, error));
    let input = arguments
        .input
        .canonicalize()
        .map_err(|error| unreadable(&error))?;
    let file = File::open(&input).map_err(|error| unreadable(&error))?;
    if !file.metadata().map_err(|error| unreadable(&error))?.is_file() {
        return Err(failed(&format!(
            "cannot read `{}`: it is not a file",
            arguments.input.display()
        )));
    }
    let output = absolute(&arguments.output)?;
    Ok(Job {
        input,
        output,
        group: arguments.group.clone(),
        chunk_rows: arguments.chunk_rows,
        malformed: arguments.malformed,
    })
}

fn absolute(output: &Path) -> Result<PathBuf, Stop> {
    let refuse = |why: &str| failed(&format!("cannot write `{}`: {why}", output.display()));
    let path = std::path::absolute(output).map_err(|error| refuse(&error.to_string()))?;
    let folder = path.parent().filter(|_| path.file_name().is_some());
    match folder {
        _ if path.is_dir() => Err(refuse("it is a folder")),
        // A device, for example: the report would take its place.
        _ if path.exists() && !path.is_file() => Err(refuse("it is not a file")),
        Some(folder) if folder.is_dir() => Ok(path),
        Some(folder) => Err(refuse(&format!("there is no folder `{}`", folder.display()))),
        None => Err(refuse("it has no file name")),
    }
}

/// The name of the run: the same job has the same one, in every process.
fn name(job: &Job) -> Result<InstanceId, Stop> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in format!("{job:?}").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let stem = job.input.file_stem().unwrap_or_default().to_string_lossy();
    let stem: String = stem
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
        .take(60)
        .collect();
    InstanceId::new(format!("{stem}-{hash:016x}")).map_err(|error| failed(&error))
}

/// Starts the run, or takes it up where it is, and waits for its end.
async fn follow(
    engine: &WorkflowEngine<data_processing>,
    job: Job,
    id: &InstanceId,
    monitor: &Monitor,
    events: UnboundedReceiver<Event>,
) -> Result<Report, Stop> {
    let before = engine
        .list(ListFilter::default().limit(1))
        .await
        .map_err(|error| failed(&error))?
        .instances
        .pop();
    match before.as_ref().map(|before| &before.status) {
        None => eprintln!("starting `{id}`"),
        Some(InstanceStatus::Completed) => eprintln!("`{id}` was completed before; it begins anew"),
        Some(InstanceStatus::Failed { .. }) => eprintln!("`{id}` failed last time; it begins anew"),
        Some(InstanceStatus::Blocked { reason }) => {
            eprintln!("`{id}` was blocked ({reason}); it is tried again");
            engine.retry(id).await.map_err(|error| failed(&error))?;
        }
        Some(_) => {}
    }
    let open = before.filter(|before| !before.status.is_closed());
    let handle = match &open {
        Some(_) => engine.handle(id.clone()),
        None => {
            let start = engine.start(data_processing(job)).id(id.as_str());
            match start.on_existing(ExistingId::RestartClosed).await {
                Ok(handle) => handle,
                Err(StartError::AlreadyExists { id }) => engine.handle(id),
                Err(error) => return Err(failed(&error)),
            }
        }
    };
    monitor.open();
    let mut screen = Screen::new(id, open);
    let report = tokio::select! {
        report = handle.result() => report,
        outage = screen.show(events) => {
            screen.end_line();
            let again = "nothing is lost: remove the cause and run the same command again";
            return Err(failed(&format!("{outage}\n{again}")));
        }
        _ = tokio::signal::ctrl_c() => {
            screen.end_line();
            eprintln!("interrupted; run the same command again to continue");
            return Err(Stop::Interrupted);
        }
    };
    screen.end_line();
    match report {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(problem)) => Err(failed(&problem)),
        Err(ResultError::Blocked { reason, .. }) => Err(failed(&format!("`{id}` is blocked: {reason}"))),
        Err(error) => Err(failed(&error)),
    }
}

fn tell_skipped(report: &Report) {
    if report.skipped == 0 {
        return;
    }
    eprintln!("left out {} malformed rows:", report.skipped);
    for row in &report.shown {
        eprintln!("  {row}");
    }
    if report.skipped > report.shown.len() as u64 {
        eprintln!("  ..");
    }
}

/// Shows how the run gets on: a bar on a terminal, lines of text elsewhere.
struct Screen {
    is_terminal: bool,
    line_is_open: bool,
    last_percent: u64,
    /// Where the run was taken up, until it was told.
    resumed: Option<InstanceSummary>,
    id: InstanceId,
}

impl Screen {
    fn new(id: &InstanceId, resumed: Option<InstanceSummary>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Screen {
            is_terminal,
            line_is_open: false,
            last_percent: u64::MAX,
            resumed,
            id: id.clone(),
        }
    }

    /// Shows events until one failed attempt too many.
    async fn show(&mut self, mut events: UnboundedReceiver<Event>) -> Outage {
        let mut failures = 0;
        while let Some(event) = events.recv().await {
            match event {
                Event::Began { chunks } => self.tell_resumed(chunks),
                Event::Progress { done, chunks } => {
                    failures = 0;
                    self.progress(done, chunks);
                }
                Event::Trouble(outage) => {
                    failures += 1;
                    if failures >= PATIENCE {
                        return outage;
                    }
                    self.end_line();
                    eprintln!("{outage}; trying again");
                }
            }
        }
        // The engine has ended; its result says why.
        std::future::pending().await
    }

    fn tell_resumed(&mut self, chunks: Option<(u64, u64)>) {
        let Some(InstanceSummary { steps, status, .. }) = self.resumed.take() else {
            return;
        };
        let point = match status {
            InstanceStatus::Running { point: Some(point) } => format!(", point `{point}`"),
            _ => String::new(),
        };
        let chunks = chunks.map_or_else(String::new, |(done, all)| {
            format!(", {done} of {all} chunks done")
        });
        eprintln!("resuming `{}` at step {steps}{point}{chunks}", self.id);
    }

    fn progress(&mut self, done: u64, chunks: u64) {
        let percent = done * 100 / chunks.max(1);
        if percent == self.last_percent {
            return;
        }
        self.last_percent = percent;
        if self.is_terminal {
            let filled = (percent * 40 / 100) as usize;
            eprint!(
                "\r[{}{}] {done} of {chunks} chunks",
                "=".repeat(filled),
                " ".repeat(40 - filled)
            );
            let _ = std::io::stderr().flush();
            self.line_is_open = true;
        } else {
            eprintln!("{done} of {chunks} chunks");
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.line_is_open) {
            eprintln!();
        }
    }
}
