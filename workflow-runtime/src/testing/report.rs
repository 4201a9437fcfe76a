//! What crashing everywhere found out.

use std::fmt;
use std::fmt::Write as _;

use super::crash_store::Crash;
use super::effects::{Effect, Life};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended<T> {
    /// The workflow returned.
    Returned(T),
    /// The instance cannot go on.
    Blocked(String),
}

/// What [`CrashEverywhere`](super::CrashEverywhere) did, and what each of its runs gave. Printing it gives one line.
#[derive(Debug, Clone)]
pub struct CrashReport<T> {
    pub(super) workflow: &'static str,
    pub(super) commits: u64,
    pub(super) runs: usize,
    pub(super) crashes: usize,
    pub(super) ended: Ended<T>,
    pub(super) effects: Vec<Effect>,
}

impl<T> CrashReport<T> {
    /// The commits of the uninterrupted run; the first one is the engine's own, by which it takes the store over.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// How often the workflow was run from its start, the uninterrupted run included.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// How often the process died.
    pub fn crashes(&self) -> usize {
        self.crashes
    }

    /// What the workflow returned, in each run; `None` when it was blocked in each run.
    pub fn result(&self) -> Option<&T> {
        match &self.ended {
            Ended::Returned(output) => Some(output),
            Ended::Blocked(_) => None,
        }
    }

    /// Why the instance was blocked, in each run.
    pub fn blocked(&self) -> Option<&str> {
        match &self.ended {
            Ended::Returned(_) => None,
            Ended::Blocked(reason) => Some(reason),
        }
    }

    /// The texts of the effects of the uninterrupted run.
    pub fn effects(&self) -> Vec<&str> {
        self.effects.iter().map(Effect::text).collect()
    }
}

impl<T: fmt::Debug> fmt::Display for CrashReport<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CrashReport { workflow, commits, runs, crashes, effects, .. } = self;
        let effects = effects.len();
        write!(
            formatter,
            "`{workflow}`: {commits} commits, {effects} effects, {runs} runs with {crashes} crashes; each run "
        )?;
        match &self.ended {
            Ended::Returned(output) => write!(formatter, "gave {output:?}"),
            Ended::Blocked(reason) => write!(formatter, "was blocked: {reason}"),
        }
    }
}

/// A crash made a difference. Printing it says which one, and how to repeat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashMismatch {
    pub(super) text: String,
}

impl fmt::Display for CrashMismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for CrashMismatch {}

/// `crash before commit 3, then after commit 1`.
pub(super) fn describe(crashes: &[Crash]) -> String {
    match crashes {
        [] => "without a crash".to_owned(),
        [first, rest @ ..] => {
            let mut text = format!("with a crash {first}");
            for crash in rest {
                let _ = write!(text, ", then {crash} of the next life");
            }
            text
        }
    }
}

/// The code that repeats one run.
pub(super) fn repeat(crashes: &[Crash]) -> String {
    let crashes: Vec<String> = crashes.iter().map(|crash| format!("Crash::{crash:?}")).collect();
    format!("repeat this run alone with `.only([{}])`", crashes.join(", "))
}

/// The effects that were expected and those that were seen, life by life.
pub(super) fn compare(expected: &[Effect], lives: &[Life]) -> String {
    let mut text = format!("  without a crash: {}", list(expected));
    for (index, life) in lives.iter().enumerate() {
        let _ = write!(text, "\n  life {}: {}", index + 1, list(&life.effects));
    }
    text
}

fn list(effects: &[Effect]) -> String {
    let effects: Vec<String> = effects.iter().map(Effect::to_string).collect();
    format!("[{}]", effects.join(", "))
}
