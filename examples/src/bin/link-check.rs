//! Finds the broken links in a folder of Markdown files, many files at a time.
//!
//! ```text
//! cargo run -p examples --bin link-check -- docs --store /tmp/links
//! ```
//!
//! Each file is a branch with steps of its own: read it, then look up each of its links. Kill the program and start it
//! again with the same store: files that were done are not read again, and a file that was half done goes on at the link
//! where it was.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::{ExistingId, WorkflowHandle};

/// A link and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Link {
    line: usize,
    target: String,
}

/// A file with links that lead nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Page {
    path: PathBuf,
    links: usize,
    broken: Vec<Link>,
}

#[derive(Debug, Clone, thiserror::Error, Serialize, Deserialize)]
enum CheckError {
    #[error("{path}: {error}")]
    Read { path: String, error: String },
    #[error("the check took longer than {0}")]
    TooSlow(String),
    #[error("{0}")]
    Task(String),
}

impl From<TaskFailure> for CheckError {
    fn from(failure: TaskFailure) -> Self {
        CheckError::Task(failure.to_string())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> CheckError {
    CheckError::Read {
        path: path.display().to_string(),
        error: error.to_string(),
    }
}

/// All Markdown files below a folder, in order.
#[task(blocking)]
fn list_pages(folder: PathBuf) -> Result<Vec<PathBuf>, CheckError> {
    let mut folders = vec![folder];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(&folder, &error))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// The links of a file to other files: `[text](target)`.
#[task(blocking, retry(max_attempts = 3, backoff = exponential("50ms", max = "1s")))]
fn read_links(page: &PathBuf) -> Result<Vec<Link>, CheckError> {
    let text = std::fs::read_to_string(page).map_err(|error| unreadable(page, &error))?;
    let mut links = Vec::new();
    let mut in_code = false;
    for (line, text) in (1..).zip(text.lines()) {
        in_code ^= text.trim_start().starts_with("```");
        for found in text.split("](").skip(1).filter(|_| !in_code) {
            let target = found.split([')', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                links.push(Link {
                    line,
                    target: target.to_owned(),
                });
            }
        }
    }
    Ok(links)
}

/// Whether the target of a link is there.
#[task(blocking)]
fn exists(target: PathBuf) -> Result<bool, CheckError> {
    let path = target.display().to_string();
    std::fs::exists(target).map_err(|error| CheckError::Read {
        path,
        error: error.to_string(),
    })
}

/// The pages of a folder that have broken links. At most `at_once` files are looked at at a time.
#[workflow]
async fn check_links(folder: PathBuf, at_once: usize, limit: String) -> Result<Vec<Page>, CheckError> {
    let pages = list_pages(folder).await?;
    let checks = pages.into_iter().map(|path| async move {
        let links = read_links(&path).await?;
        let count = links.len();
        let mut broken = Vec::new();
        for link in links {
            if !exists(path.with_file_name(&link.target)).await? {
                broken.push(link);
            }
        }
        Ok(Page {
            path,
            links: count,
            broken,
        })
    });
    let Ok(checked) = join_all(checks)
        .concurrency(at_once)
        .timeout(limit.as_str())
        .await
    else {
        return Err(CheckError::TooSlow(limit));
    };
    checked.into_iter().collect()
}

struct Arguments {
    folder: PathBuf,
    store: Option<PathBuf>,
    at_once: usize,
    limit: String,
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    use lexopt::prelude::*;
    let mut found = Arguments {
        folder: PathBuf::from("docs"),
        store: None,
        at_once: 8,
        limit: "10m".to_owned(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(folder) => found.folder = folder.into(),
            Long("store") => found.store = Some(parser.value()?.into()),
            Long("at-once") => found.at_once = parser.value()?.parse()?,
            Long("limit") => found.limit = parser.value()?.string()?,
            Long("help") => {
                println!("link-check [FOLDER] [--store FOLDER] [--at-once N] [--limit 10m]");
                std::process::exit(0);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(found)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    let builder = WorkflowEngine::<check_links>::builder();
    let engine = match &arguments.store {
        Some(folder) => builder.embedded(folder).build().await?,
        None => builder.in_memory().build().await?,
    };
    let call = check_links(arguments.folder, arguments.at_once, arguments.limit);
    let handle: WorkflowHandle<check_links> = engine
        .start(call)
        .id("links")
        .on_existing(ExistingId::ReturnExisting)
        .await?;
    let pages = handle.result().await??;
    engine.shutdown().await;
    let (mut links, mut broken) = (0, 0);
    for page in &pages {
        links += page.links;
        broken += page.broken.len();
        for Link { line, target } in &page.broken {
            println!("{}:{line}: {target} is not there", page.path.display());
        }
    }
    println!("{broken} of {links} links in {} files are broken", pages.len());
    if broken > 0 {
        std::process::exit(1);
    }
    Ok(())
}
