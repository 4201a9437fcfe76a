//! What tasks did to the outside, and the check that a crash adds nothing but repeats of the task it interrupted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::TaskContext;

/// One effect of one attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The step of the instance, and the attempt; `None` when it was noted without a task's context.
    place: Option<(u64, u32)>,
    /// The branch that took the step.
    line: String,
    text: String,
}

impl Effect {
    /// What was done.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether both belong to one execution of one task (which may have had several attempts).
    fn is_of_same_task(&self, other: &Effect) -> bool {
        self.line == other.line
            && matches!((self.place, other.place), (Some((one, _)), Some((two, _))) if one == two)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((step, 1)) => write!(formatter, "{} (step {step})", self.text),
            Some((step, attempt)) => write!(formatter, "{} (step {step}, attempt {attempt})", self.text),
            None => formatter.write_str(&self.text),
        }
    }
}

/// Stands for the outside world: tasks write into it what they would have done. Clones share the log, and it survives a
/// crash, as the outside world does.
///
/// ```
/// use workflow_runtime::prelude::*;
/// use workflow_runtime::testing::EffectLog;
///
/// #[task]
/// async fn charge(context: &TaskContext, State(log): State<EffectLog>, cents: u64) {
///     log.record(context, format!("charge {cents}"));
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let log = EffectLog::new();
/// charge(5).run_in(&TaskContext::detached("charge").with_state(log.clone())).await.unwrap();
/// assert_eq!(log.texts(), ["charge 5"]);
/// # });
/// ```
#[derive(Debug, Clone, Default)]
pub struct EffectLog(Arc<Mutex<Vec<Effect>>>);

impl EffectLog {
    /// An empty log.
    pub fn new() -> Self {
        EffectLog::default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Effect>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an effect of an attempt of a task.
    pub fn record(&self, context: &TaskContext, text: impl Into<String>) {
        self.lock().push(Effect {
            place: Some((context.step, context.attempt)),
            line: context.scope.clone(),
            text: text.into(),
        });
    }

    /// Notes an effect of which only the text is known. Each one counts as a task of its own.
    pub fn note(&self, text: impl Into<String>) {
        self.lock().push(Effect {
            place: None,
            line: String::new(),
            text: text.into(),
        });
    }

    /// All effects so far.
    pub fn effects(&self) -> Vec<Effect> {
        self.lock().clone()
    }

    /// The texts of all effects so far.
    pub fn texts(&self) -> Vec<String> {
        self.lock().iter().map(|effect| effect.text.clone()).collect()
    }

    /// The number of effects so far.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there was no effect yet.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What was noted from `start` on.
    pub(super) fn since(&self, start: usize) -> Vec<Effect> {
        self.lock()
            .get(start..)
            .map(<[Effect]>::to_vec)
            .unwrap_or_default()
    }
}

/// What happened from the begin of a process to its crash, or to the end.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) effects: Vec<Effect>,
    /// Whether the task that ran last, in the life before, may have been interrupted, so that it runs again.
    pub(super) may_repeat: bool,
}

/// Whether `lives` together are `expected`, with repeats only of the task that each crash interrupted.
pub(super) fn complete(expected: &[Effect], lives: &[Life]) -> bool {
    // How far the expected effects may have been reached.
    let mut reached = BTreeSet::from([0]);
    for life in lives {
        let mut next = BTreeSet::new();
        for end in reached {
            let begin = if life.may_repeat {
                begin_of_task(expected, end)
            } else {
                end
            };
            for start in begin..=end {
                if expected[start..].starts_with(&life.effects) {
                    // A crash inside of a repeat does not take back what happened before it.
                    next.insert((start + life.effects.len()).max(if life.effects.is_empty() {
                        end
                    } else {
                        0
                    }));
                }
            }
        }
        reached = next;
    }
    reached.contains(&expected.len())
}

/// Where the effects of the task begin whose effects were seen up to `end`.
fn begin_of_task(expected: &[Effect], end: usize) -> usize {
    let Some(last) = end.checked_sub(1) else { return 0 };
    let same = expected[..last]
        .iter()
        .rev()
        .take_while(|effect| effect.is_of_same_task(&expected[last]));
    last - same.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `"1a"` is the effect `a` of step 1.
    fn effects(texts: &str) -> Vec<Effect> {
        let effect = |text: &str| Effect {
            place: text[..1].parse().ok().map(|step| (step, 1)),
            line: String::new(),
            text: text[1..].to_owned(),
        };
        texts.split_whitespace().map(effect).collect()
    }

    fn check(expected: &str, lives: &[&str], may_repeat: bool) -> bool {
        let lives: Vec<Life> = lives
            .iter()
            .enumerate()
            .map(|(index, texts)| Life {
                effects: effects(texts),
                may_repeat: may_repeat && index > 0,
            })
            .collect();
        complete(&effects(expected), &lives)
    }

    #[test]
    fn repeats_are_of_the_interrupted_task_only() {
        for (expected, lives, repeating, exact) in [
            ("", &[""][..], true, true),
            ("1a 2b", &["1a 2b"], true, true),
            ("1a 2b", &["1a", "2b"], true, true),
            ("1a 2b", &["1a", "1a 2b"], true, false),
            ("1a 2b", &["1a 2b", ""], true, true),
            ("1a 2b", &["1a 2b", "2b"], true, false),
            // Two tasks back.
            ("1a 2b", &["1a 2b", "1a 2b"], false, false),
            // Lost.
            ("1a 2b", &["1a", ""], false, false),
            ("1a 2b 3c", &["1a", "3c"], false, false),
            // Another order, another effect, one too many.
            ("1a 2b", &["2b", "1a"], false, false),
            ("1a 2b", &["1a", "2x"], false, false),
            ("1a 2b", &["1a 2b 3c"], false, false),
            // A task with two effects.
            ("1a 1b 2c", &["1a", "1a 1b 2c"], true, false),
            ("1a 1b 2c", &["1a 1b", "1a 1b 2c"], true, false),
            ("1a 1b 2c", &["1a 1b", "1a", "1a 1b 2c"], true, false),
            // Two crashes.
            ("1a 2b", &["1a", "1a", "1a 2b"], true, false),
            ("1a 2b", &["1a", "", "1a 2b"], true, false),
        ] {
            assert_eq!(
                check(expected, lives, true),
                repeating,
                "{expected:?} {lives:?} with repeats"
            );
            assert_eq!(
                check(expected, lives, false),
                exact,
                "{expected:?} {lives:?} without repeats"
            );
        }
    }
}
