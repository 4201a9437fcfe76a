//! The workflows: a mirror, and the copy of one file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::{ChildFailure, TaskFailure};

const BLOCK_BYTES: usize = 64 << 10;

/// What is to be mirrored, and how often.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) every: Duration,
    pub(crate) times: u32,
    pub(crate) pause: Duration,
}

/// What one round has done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) failures: Vec<MirrorError>,
}

#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum MirrorError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: String },
    #[error("stopped: {0}")]
    Stopped(String),
    #[error(transparent)]
    Task(#[from] TaskFailure),
    #[error(transparent)]
    Child(#[from] ChildFailure),
}

fn at(path: &Path) -> impl Fn(io::Error) -> MirrorError {
    move |error| MirrorError::File {
        path: path.to_owned(),
        error: error.to_string(),
    }
}

/// Mirrors a folder, `times` times.
#[workflow]
pub(crate) async fn mirror(plan: Plan) -> Result<Vec<Round>, MirrorError> {
    let mut rounds = Vec::new();
    loop {
        let files = list_files(&plan.from).await?;
        let copies = files
            .iter()
            .map(|file| copy_file(plan.from.join(file), plan.to.join(file), plan.pause));
        // Each is a child with an id of its own, and one that fails does not stop the others.
        let copied = join_all(copies).await;
        let mut round = Round {
            files: files.len(),
            ..Round::default()
        };
        for one in copied {
            match one {
                Ok(bytes) => round.bytes += bytes,
                Err(error) => round.failures.push(error),
            }
        }
        rounds.push(round);
        if rounds.len() >= plan.times as usize {
            return Ok(rounds);
        }
        sleep(plan.every).await;
    }
}

/// Copies a file under another name first, so that what stands under its own is whole. Gives its bytes.
#[workflow]
async fn copy_file(source: PathBuf, target: PathBuf, pause: Duration) -> Result<u64, MirrorError> {
    let mut partial = target.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    match copy(&source, &partial, pause).cancellable().await {
        Ok(copied) => {
            let bytes = copied?;
            rename(&partial, &target).await?;
            Ok(bytes)
        }
        Err(cancelled) => {
            remove(&partial).await?;
            Err(MirrorError::Stopped(cancelled.reason))
        }
    }
}

/// All files below a folder, relative to it, in order.
#[task(blocking)]
fn list_files(folder: &PathBuf) -> Result<Vec<PathBuf>, MirrorError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(at(&next))? {
            let path = entry.map_err(at(&next))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(folder) {
                files.push(relative.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies block by block. An attempt goes on where the last one was, as far as it had told.
#[task(blocking, heartbeat_timeout = "1m", retry(max_attempts = 3, jitter = full))]
fn copy(
    context: &TaskContext,
    source: &PathBuf,
    partial: &PathBuf,
    pause: Duration,
) -> Result<u64, MirrorError> {
    if let Some(folder) = partial.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let mut input = File::open(source).map_err(at(source))?;
    let mut output = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(partial)
        .map_err(at(partial))?;
    let written = output.metadata().map_err(at(partial))?.len();
    let mut copied = context.progress::<u64>().unwrap_or(0).min(written);
    output.set_len(copied).map_err(at(partial))?;
    input.seek(SeekFrom::Start(copied)).map_err(at(source))?;
    output.seek(SeekFrom::Start(copied)).map_err(at(partial))?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = input.read(&mut block).map_err(at(source))?;
        if length == 0 {
            output.sync_all().map_err(at(partial))?;
            return Ok(copied);
        }
        if context.is_cancelled() {
            return Err(context.give_up(MirrorError::Stopped("cancelled".to_owned())));
        }
        output.write_all(&block[..length]).map_err(at(partial))?;
        copied += length as u64;
        context.heartbeat(&copied);
        std::thread::sleep(pause);
    }
}

/// Puts a finished copy in its place; doing it again changes nothing.
#[task(blocking)]
fn rename(partial: &PathBuf, target: &PathBuf) -> Result<(), MirrorError> {
    match fs::rename(partial, target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => Ok(()),
        outcome => outcome.map_err(at(partial)),
    }
}

/// Removes what a copy has left.
#[task(blocking, retry(max_attempts = 5))]
fn remove(partial: &PathBuf) -> Result<(), MirrorError> {
    match fs::remove_file(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(partial)(error)),
        _ => Ok(()),
    }
}
