//! `match`: awaits in the scrutinee and in arms, guards, bindings, nested arms.

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

use super::support::{checked, echo, find, run};

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Step {
    /// One number.
    One(u64),
    /// Two numbers.
    Two {
        /// The first.
        a: u64,
        /// The second.
        b: u64,
    },
    /// Nothing.
    Nothing,
}

/// Every kind of arm.
#[workflow]
pub async fn arms(step: Step, limit: u64) -> u64 {
    match step {
        Step::One(n) if n > limit => echo(n).await,
        Step::One(n @ (1 | 2)) => n,
        Step::One(0) => return echo(1000).await,
        Step::One(mut n) => {
            n += echo(n).await;
            n
        }
        Step::Two { a, b: renamed } => match (a, echo(renamed).await) {
            (0, _) => 0,
            (a, b) if a == b => echo(a).await,
            (a, b) => {
                let sum = match find(a).await {
                    Some(a) => a + b,
                    None => unreachable!(),
                };
                echo(sum).await
            }
        },
        Step::Nothing => 0,
    }
}

/// The scrutinee awaits; the match is a statement.
#[workflow]
pub async fn scrutinee(n: u64) -> String {
    let mut text = String::new();
    match checked(n).await {
        Ok(0) => {}
        Ok(n) => text.push_str(&format!("{n}")),
        Err(error) => {
            echo(error.len() as u64).await;
            text = error;
        }
    }
    text
}

/// A match is an argument and an operand.
#[workflow]
pub async fn operand(n: Option<u64>) -> u64 {
    1 + match n {
        Some(n) => echo(n).await,
        None => 0,
    } + echo(match n {
        None => 5,
        Some(n) => n,
    })
    .await
}

/// Runs them.
pub(crate) fn main() {
    let steps = [
        (Step::One(9), 9),
        (Step::One(2), 2),
        (Step::One(0), 1000),
        (Step::One(4), 8),
        (Step::Two { a: 0, b: 1 }, 0),
        (Step::Two { a: 3, b: 3 }, 3),
        (Step::Two { a: 3, b: 4 }, 7),
        (Step::Nothing, 0),
    ];
    for (step, expected) in steps {
        assert_eq!(run(arms(step.clone(), 5)), expected, "{step:?}");
    }
    assert_eq!([0, 7, 13].map(|n| run(scrutinee(n))), ["", "7", "thirteen"]);
    assert_eq!([None, Some(2)].map(|n| run(operand(n))), [6, 5]);
}
