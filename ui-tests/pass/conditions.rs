//! `if`, `else if`, `if let`, chains of conditions, `&&` and `||`.

use workflow_runtime::prelude::*;

use super::support::{echo, even, find, run};

/// Branches with and without awaits, as statements.
#[workflow]
pub async fn statements(n: u64) -> u64 {
    let mut sum = 0;
    if n > 10 {
        sum += echo(n).await;
    }
    if n > 5 {
        sum += 1;
    } else if even(n).await {
        sum += echo(2).await;
    } else {
        sum += 3;
    }
    sum
}

/// Branches as values.
#[workflow]
pub async fn values(n: u64) -> u64 {
    let a = if even(n).await { 1 } else { echo(2).await };
    let b: u64 = if n > 3 { echo(3).await } else if n == 0 { return 100 } else { 4 };
    a + if n == 1 { 0 } else { echo(b).await }
}

/// The awaited value is matched at once.
#[workflow]
pub async fn if_let(n: u64) -> u64 {
    if let Some(found) = find(n).await {
        echo(found).await + 1
    } else if let 0 = echo(n).await {
        7
    } else {
        unreachable!("nothing is found for 0 only")
    }
}

/// Chains of conditions, with bindings.
#[workflow]
pub async fn chains(n: Option<u64>) -> u64 {
    if let Some(n) = n
        && n > 1
        && even(n).await
        && let Some(found) = find(n).await
        && found > 2
    {
        echo(found).await
    } else {
        echo(0).await
    }
}

/// Awaits on either side, evaluated only where Rust evaluates them.
#[workflow]
pub async fn short_circuits(n: u64) -> (bool, bool, bool) {
    let mut log = Vec::new();
    let and = n > 2 && even(n).await;
    log.push(and);
    let or = even(n).await || n == 3 || even(n + 1).await;
    log.push(or);
    let not = !(even(n).await && !log.is_empty()) || false;
    if (even(n).await || n > 10) && !even(n + 1).await {
        log.push(true);
    }
    (log[0], log[1], not)
}

/// Runs them.
pub(crate) fn main() {
    assert_eq!([1, 4, 7, 12].map(|n| run(statements(n))), [3, 2, 1, 13]);
    assert_eq!([0, 1, 2, 5].map(|n| run(values(n))), [100, 2, 5, 5]);
    assert_eq!([0, 4].map(|n| run(if_let(n))), [7, 5]);
    assert_eq!([None, Some(1), Some(3), Some(4)].map(|n| run(chains(n))), [0, 0, 0, 4]);
    assert_eq!(run(short_circuits(4)), (true, true, false));
    assert_eq!(run(short_circuits(1)), (false, true, true));
}
