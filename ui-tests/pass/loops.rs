//! `loop`, `while`, `while let`, `for` over everything that can be stored, labels, `break` and `continue`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use workflow_runtime::prelude::*;

use super::support::{echo, even, find, run};

/// `loop` with a value.
#[workflow]
pub async fn break_value(limit: u64) -> u64 {
    let mut n = 0;
    let found = loop {
        n += 1;
        if echo(n).await >= limit {
            break n * 10;
        }
        if n == 50 {
            break echo(n).await;
        }
    };
    found + 1
}

/// `while`, with an await in the condition and in the body.
#[workflow]
pub async fn whiles(mut n: u64) -> u64 {
    let mut rounds = 0;
    while echo(n).await > 0 {
        n -= 1;
        if n == 3 {
            continue;
        }
        rounds += echo(1).await;
    }
    while rounds < 5 {
        rounds += 1;
    }
    rounds
}

/// `while let`, with a stack and with an awaited value.
#[workflow]
pub async fn while_lets(mut stack: Vec<u64>) -> u64 {
    let mut sum = 0;
    while let Some(n) = stack.pop() {
        sum += echo(n).await;
        if n == 4 {
            stack.push(2);
        }
    }
    let mut n = 3;
    while let Some(found) = find(n).await {
        n -= 1;
        sum += found;
    }
    while let Some(more) = stack.first().copied()
        && more > echo(0).await
    {
        stack.clear();
    }
    sum
}

/// Ranges of every form.
#[workflow]
pub async fn ranges(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        sum += echo(i).await;
    }
    for i in 1..=n {
        sum += echo(i).await;
    }
    for _ in 0..2 {
        echo(0).await;
    }
    for i in 100.. {
        if echo(i).await == 102 {
            break;
        }
        sum += i;
    }
    for letter in 'a'..='c' {
        sum += echo(u64::from(letter as u32)).await;
    }
    for i in (0..n).rev().step_by(2) {
        sum += echo(i).await;
    }
    sum
}

/// Collections, owned and borrowed, and chains of iterators.
#[workflow]
pub async fn collections(numbers: Vec<u64>, mut names: BTreeMap<String, u64>) -> u64 {
    let mut sum = 0;
    for n in &numbers {
        sum += echo(*n).await;
    }
    for n in numbers.iter() {
        sum += echo(*n).await;
    }
    for (index, n) in numbers.iter().copied().enumerate() {
        sum += echo(n).await * index as u64;
    }
    for pair in numbers.chunks(2).map(<[_]>::to_vec) {
        sum += echo(pair.len() as u64).await;
    }
    for (_, value) in &mut names {
        *value += 1;
        echo(*value).await;
    }
    for (name, value) in &names {
        echo(name.len() as u64 + value).await;
    }
    for (name, value) in names {
        sum += echo(name.len() as u64).await + value;
    }
    let mut queue: VecDeque<u64> = numbers.iter().copied().collect();
    for n in queue.iter_mut() {
        *n += 1;
        echo(*n).await;
    }
    for n in [1, 2] {
        sum += echo(n).await;
    }
    for n in Some(5) {
        sum += echo(n).await;
    }
    for n in numbers.into_iter().collect::<BTreeSet<_>>() {
        sum += echo(n).await;
    }
    sum + queue.iter().sum::<u64>()
}

/// Labels: nested loops and blocks.
#[workflow]
pub async fn labels(n: u64) -> u64 {
    let mut sum = 0;
    'outer: for i in 0..n {
        for j in 0..n {
            if echo(j).await == 2 {
                continue 'outer;
            }
            if i == 3 {
                break 'outer;
            }
            sum += 1;
        }
    }
    let bonus = 'block: {
        if even(sum).await {
            break 'block echo(10).await;
        }
        if sum > 100 {
            break 'block 20;
        }
        30
    };
    'again: loop {
        loop {
            sum += echo(1).await;
            if even(sum).await {
                break 'again;
            }
            continue 'again;
        }
    }
    sum + bonus
}

/// A loop of plain code inside of one that awaits, with its own jumps.
#[workflow]
pub async fn plain_inside(n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        for j in 0.. {
            if j == i {
                break;
            }
            if j == 1 {
                continue;
            }
            sum += j;
        }
        let doubled: Vec<u64> = (0..i).map(|k| { for _ in 0..1 { continue; } k * 2 }).collect();
        sum += echo(doubled.len() as u64).await;
    }
    sum
}

/// Runs them.
/// Items of borrowed collections, used behind awaits.
#[workflow]
pub async fn kept_items(mut rows: Vec<Vec<u64>>, names: BTreeMap<String, u64>, pair: [u64; 2]) -> u64 {
    let mut sum = 0;
    for n in &pair {
        echo(*n).await;
        sum += *n;
    }
    for row in &rows {
        let first = echo(1).await;
        for n in row.iter() {
            if even(*n).await {
                continue;
            }
            sum += n + first;
        }
        sum += echo(row.len() as u64).await + row.len() as u64;
    }
    for row in rows.iter_mut() {
        let n = echo(5).await;
        row.push(n);
        if even(n).await {
            break;
        }
        row.retain(|n| *n > 1);
    }
    for (name, n) in &names {
        sum += echo(*n).await;
        sum += name.len() as u64 - n;
    }
    sum + rows.iter().flatten().sum::<u64>()
}

pub(crate) fn main() {
    assert_eq!([3, 200].map(|n| run(break_value(n))), [31, 51]);
    assert_eq!([0, 8].map(|n| run(whiles(n))), [5, 7]);
    assert_eq!(run(while_lets(vec![1, 4])), 1 + 4 + 2 + 3 + 2 + 1);
    assert_eq!(run(ranges(4)), 6 + 10 + 201 + 294 + 3 + 1);
    let names = BTreeMap::from([("a".to_owned(), 1), ("bc".to_owned(), 2)]);
    assert_eq!(run(collections(vec![1, 2, 3], names)), 6 + 6 + 8 + 3 + 3 + 5 + 3 + 5 + 6 + 9);
    assert_eq!(run(labels(5)), 6 + 2 + 10);
    assert_eq!(run(plain_inside(4)), 2 + 6);
    let names = BTreeMap::from([("a".to_owned(), 1), ("bc".to_owned(), 2)]);
    assert_eq!(run(kept_items(vec![vec![1, 2], vec![3]], names, [4, 6])), 10 + 6 + 6 + 3 + 15);
}
