//! Tasks and workflows that `macro_rules!` generates.

use workflow_runtime::prelude::*;

use super::support::{echo, run};

macro_rules! doubling {
    ($(#[$attribute:meta])* $visibility:vis $name:ident, $task:ident, $argument:ident: $type:ty, $factor:expr) => {
        $(#[$attribute])*
        #[task]
        $visibility async fn $task($argument: $type, by: &$crate::pass::generated::Factor) -> $type {
            $argument * by.0
        }

        $(#[$attribute])*
        #[workflow]
        $visibility async fn $name($argument: $type) -> $type {
            let factor = $crate::pass::generated::Factor($factor);
            let first = $task($argument, &factor).await;
            let mut sum = first;
            for n in 0..2 {
                sum += echo(n).await;
            }
            if sum > 100 {
                return $argument;
            }
            sum + $argument
        }
    };
}

/// By what to multiply.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Factor(u64);

doubling! {
    /// Generated.
    pub doubled, double, n: u64, 2
}
doubling!(tripled, triple, value: u64, 1 + 2);

macro_rules! body {
    ($name:ident($($argument:ident),*) $body:block) => {
        #[workflow]
        async fn $name($($argument: u64),*) -> u64 $body
    };
}
body!(with_body(a, b) {
    let c = echo(a).await;
    match c {
        0 => b,
        c => echo(b).await + c,
    }
});

macro_rules! plus {
    ($left:expr, $right:expr) => {
        $left + $right
    };
}

/// Macros of the user's, with plain arguments, around variables that are kept.
#[workflow]
pub async fn plain_macros(n: u64) -> u64 {
    let kept = n + 1;
    let first = echo(n).await;
    let sum = plus!(kept, first);
    echo(sum).await;
    plus!(sum, { let inner = kept; inner })
}

/// Runs them.
pub(crate) fn main() {
    assert_eq!(run(doubled(5)), 10 + 1 + 5);
    assert_eq!(run(tripled(50)), 50);
    assert_eq!([0, 1].map(|a| run(with_body(a, 5))), [5, 6]);
    assert_eq!(run(plain_macros(1)), 5);
}
