//! What can go wrong in a run, in words that say where to look.
//!
//! A task's own error, [`Outage`], is worth another attempt. A [`Problem`] is not: a task gives it as its result, and the
//! workflow ends with it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use workflow_runtime::TaskFailure;

/// The operating system refuses something; it may allow it later.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("cannot {action} `{}`: {error}", path.display())]
pub(crate) struct Outage {
    action: String,
    path: PathBuf,
    error: String,
}

impl Outage {
    pub(crate) fn new(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Outage {
            action: action.to_owned(),
            path: path.to_owned(),
            error: error.to_string(),
        }
    }
}

/// Why a run fails. It is stored, so it owns what it tells.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Problem {
    /// The operating system refused something, and there are no attempts left.
    #[error(transparent)]
    Outage(#[from] Outage),
    /// The file is not the one that the run began with.
    #[error("`{}` changed while the run was under way; run the command again to begin anew", path.display())]
    Changed { path: PathBuf },
    /// The file has nothing to summarise.
    #[error("`{}` {what}", path.display())]
    Unusable { path: PathBuf, what: String },
    /// A row breaks a rule, and the run is to stop at such a row.
    #[error("`{}`, {row}; correct it, or leave such rows out with `--malformed skip`", path.display())]
    Malformed { path: PathBuf, row: BadRow },
    /// A task panicked.
    #[error("{0}")]
    Task(String),
}

/// A row that breaks a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("line {line}: {rule}")]
pub(crate) struct BadRow {
    pub(crate) line: u64,
    pub(crate) rule: String,
}

impl Problem {
    pub(crate) fn unusable(path: &Path, what: impl Into<String>) -> Self {
        Problem::Unusable {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}

impl From<TaskFailure> for Problem {
    fn from(failure: TaskFailure) -> Self {
        Problem::Task(failure.to_string())
    }
}
