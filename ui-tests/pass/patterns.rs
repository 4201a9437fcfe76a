//! Patterns of `let`, of parameters and of arms.

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

use super::support::{echo, run};

/// A point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct At {
    x: u64,
    y: u64,
    tags: Vec<String>,
}

/// Tuples, structs, slices, references, `@` and `..`.
#[workflow]
pub async fn lets(at: At) -> u64 {
    let (a, mut b) = (at.x, at.y);
    b += echo(a).await;
    let At { x, y: renamed, .. } = at.clone();
    let [first, .., last] = [x, renamed, b];
    let _ = echo(first).await;
    let whole @ (left, _) = (last, a);
    let ((deep, _), _unused) = ((echo(left).await, 1_u8), "x".to_owned());
    let &copied = &deep;
    echo(copied).await + whole.0 + whole.1
}

/// Variables that are declared first and assigned later.
#[workflow]
pub async fn deferred(flag: bool) -> u64 {
    let value;
    if flag {
        value = echo(1).await;
    } else {
        value = 2;
    }
    echo(value).await + value
}

/// Parameters that are patterns.
#[workflow]
pub async fn destructured((a, b): (u64, u64), At { x, .. }: At, [c, d]: [u64; 2], mut rest: Vec<u64>, _: bool) -> u64 {
    rest.push(echo(a).await);
    a + b + x + c + d + rest.iter().sum::<u64>()
}

/// `let` - `else`, with and without an await in each part.
#[workflow]
pub async fn let_else(values: Vec<Option<u64>>) -> u64 {
    let mut sum = 0;
    for value in values {
        let Some(value) = value else {
            sum += echo(100).await;
            continue;
        };
        sum += value;
    }
    let Some(more) = super::support::find(sum).await else { return 0 };
    let (Ok(more) | Err(more)) = echo(more).await.checked_add(1).ok_or(0_u64);
    let 1.. = more else { panic!("more than nothing") };
    more
}

/// The same name again, with other types, and in inner scopes.
#[workflow]
pub async fn shadowing(text: String) -> String {
    let text = text.len() as u64;
    let text = echo(text).await;
    let text = {
        let text = text + 1;
        let text = echo(text).await;
        text + 1
    };
    for text in 0..2 {
        let text = text + 1;
        echo(text).await;
    }
    let text = format!("{text}");
    if let Some(text) = text.chars().next() {
        echo(u64::from(text as u32)).await;
    }
    text
}

/// Runs them.
pub(crate) fn main() {
    let at = At { x: 3, y: 4, tags: vec!["t".into()] };
    assert_eq!(at.tags.len(), 1);
    assert_eq!(run(lets(at.clone())), 7 + 7 + 3);
    assert_eq!(run(deferred(true)), 2);
    assert_eq!(run(deferred(false)), 4);
    assert_eq!(run(destructured((1, 2), at, [4, 5], vec![6], true)), 1 + 2 + 3 + 4 + 5 + 6 + 1);
    assert_eq!(run(let_else(vec![Some(1), None, Some(2)])), 104);
    assert_eq!(run(let_else(vec![])), 0);
    assert_eq!(run(shadowing("four".into())), "6");
}
