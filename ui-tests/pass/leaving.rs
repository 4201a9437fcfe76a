//! Ways out: `return`, `?`, tail expressions.

use workflow_runtime::prelude::*;

use super::support::{checked, echo, find, run};

/// Early returns, with and without an await in the value.
#[workflow]
pub async fn returns(n: u64) -> u64 {
    if n == 0 {
        return 7;
    }
    if echo(n).await == 1 {
        return echo(8).await;
    }
    for i in 0..n {
        if i == 2 {
            return echo(i).await + 10;
        }
    }
    n
}

/// `?` on results, on options, and converting the error.
#[workflow]
pub async fn results(n: u64) -> Result<u64, Box<str>> {
    let first = checked(n).await?;
    let second = checked(first + 1).await? + checked(1).await?;
    let text = "5";
    let parsed: u64 = text.parse().map_err(|_| "no number")?;
    checked(parsed + n).await?;
    if second == 5 {
        Err("five")?;
    }
    Ok(second)
}

/// `?` on options.
#[workflow]
pub async fn options(n: u64) -> Option<u64> {
    let found = find(n).await?;
    find(found - 1).await?.checked_add(1)
}

/// No output.
#[workflow]
pub async fn nothing(n: u64) {
    echo(n).await;
    if n > 3 {
        return;
    }
    echo(n).await;
}

/// Nothing is awaited.
#[workflow]
pub async fn plain(n: u64) -> u64 {
    n + 1
}

/// Nothing at all.
#[workflow]
pub async fn empty() {}

/// The await is the tail.
#[workflow]
pub async fn tail(n: u64) -> Result<u64, String> {
    checked(n).await
}

/// A block is the tail.
#[workflow]
pub async fn block_tail(n: u64) -> u64 {
    {
        let n = echo(n).await;
        { echo(n + 1).await }
    }
}

/// Runs them.
pub(crate) fn main() {
    assert_eq!([0, 1, 2, 5].map(|n| run(returns(n))), [7, 8, 2, 12]);
    assert_eq!(run(results(1)), Ok(3));
    assert_eq!(run(results(3)), Err("five".into()));
    assert_eq!(run(results(12)), Err("thirteen".into()));
    assert_eq!([0, 1, 2].map(|n| run(options(n))), [None, None, Some(2)]);
    run(nothing(1));
    run(nothing(4));
    assert_eq!(run(plain(1)), 2);
    run(empty());
    assert_eq!(run(tail(13)), Err("thirteen".to_owned()));
    assert_eq!(run(block_tail(1)), 2);
}
