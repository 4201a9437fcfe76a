//! An await stands wherever an expression can.

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

use super::support::{checked, echo, even, length, run};

/// A pair with a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    a: u64,
    b: u64,
    c: u64,
}

fn add(a: u64, b: u64, c: u64) -> u64 {
    a * 100 + b * 10 + c
}

fn twice(n: u64) -> u64 {
    n * 2
}

/// Arguments of calls and methods, receivers, in order.
#[workflow]
pub async fn calls(n: u64) -> u64 {
    let mut numbers = vec![1, 2];
    numbers.push(echo(n).await);
    numbers.insert(echo(0).await as usize, echo(9).await);
    let sum = add(echo(1).await, numbers.len() as u64, echo(echo(2).await).await);
    let text = echo(n).await.to_string().repeat(echo(2).await as usize);
    let longest = length(&text).await.max(length("abc").await);
    sum + longest as u64 + numbers.iter().sum::<u64>()
}

/// Operands: what stands left is evaluated first.
#[workflow]
pub async fn operands(n: u64) -> u64 {
    let mut x = n;
    let a = x + echo(1).await * 2;
    let b = {
        x += 1;
        x
    } + echo(x).await
        - echo(1).await;
    x += echo(x).await;
    x = -(echo(3).await as i64) as u64 & 0xff;
    let c = !echo(0).await & 1;
    let compared = echo(1).await < echo(2).await && echo(1).await == 1;
    a + b + x + c + u64::from(compared)
}

/// Literals of structs, arrays and tuples.
#[workflow]
pub async fn literals(n: u64) -> (Pair, [u64; 3], Vec<(u64, bool)>, [u64; 2]) {
    let base = Pair { c: 7, ..Pair::default() };
    let a = 5;
    let pair = Pair { a, b: echo(n).await, ..base };
    let array = [n, echo(n + 1).await, n + 2];
    let repeated = [echo(4).await; 2];
    (pair, array, vec![(echo(1).await, true), (2, even(2).await)], repeated)
}

/// Places: fields, indexes, references, dereferences, casts, ranges.
#[workflow]
pub async fn places(numbers: Vec<u64>) -> u64 {
    let mut pair = Pair::default();
    pair.a = echo(1).await;
    pair.b += echo(2).await;
    let mut numbers = numbers;
    numbers[echo(0).await as usize] = 5;
    numbers[1] += echo(1).await;
    let picked = numbers[echo(1).await as usize];
    let slice = numbers[echo(0).await as usize..2].len();
    let boxed = Box::new(echo(6).await);
    let (mut left, mut right) = (1, 2);
    (left, right) = (echo(right).await, left);
    pair.a + pair.b + picked + slice as u64 + *boxed + left * 10 + right + (&echo(1).await + 0)
}

/// Values of `return`, `break`, blocks and closures that are called.
#[workflow]
pub async fn values(n: u64) -> u64 {
    let doubled = (|x: u64| x * 2)(echo(n).await);
    let block = {
        let inner = echo(1).await;
        inner + n
    };
    let looped = loop {
        break echo(block).await;
    };
    if n > 100 {
        return twice(echo(n).await);
    }
    doubled + looped
}

/// Standard macros.
#[workflow]
pub async fn macros(n: u64) -> String {
    let list = vec![echo(1).await, n, echo(2).await];
    let same = vec![echo(3).await; 2];
    assert!(even(2).await, "{n} and {list:?}");
    assert_eq!(echo(n).await, n, "the same {}", n);
    assert_ne!(echo(n).await, n + 1);
    debug_assert!(even(4).await);
    let some = matches!(checked(n).await, Ok(m) if m == n);
    println!("{} {same:?}", echo(n).await);
    let width = 4;
    let text = format!("{:>width$}|{}|{some}|{named}", echo(n).await, list.len(), named = echo(5).await);
    if n == 99 {
        panic!("no {}", echo(n).await);
    }
    text
}

/// Long chains with `?` in the middle.
#[workflow]
pub async fn chains(n: u64) -> Result<String, String> {
    let text = checked(checked(n).await? + 1).await?.to_string().trim().to_owned();
    Ok(checked(text.len() as u64).await.map(|n| n.to_string()).unwrap_or_default() + &text)
}

/// Runs them.
pub(crate) fn main() {
    assert_eq!(run(calls(3)), 142 + 3 + 15);
    assert_eq!(run(operands(1)), 3 + 3 + 0xfd + 1 + 1);
    let (pair, array, tuples, repeated) = run(literals(1));
    assert_eq!(pair, Pair { a: 5, b: 1, c: 7 });
    assert_eq!((array, repeated), ([1, 2, 3], [4, 4]));
    assert_eq!(tuples, [(1, true), (2, true)]);
    assert_eq!(run(places(vec![1, 2])), 3 + 3 + 2 + 6 + 21 + 1);
    assert_eq!([2, 101].map(|n| run(values(n))), [7, 202]);
    assert_eq!(run(macros(7)), "   7|3|true|5");
    assert_eq!(run(chains(1)), Ok("12".to_owned()));
    assert_eq!(run(chains(13)), Err("thirteen".to_owned()));
}
