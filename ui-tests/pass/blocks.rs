//! `async` blocks: as branches, by themselves, with everything that a body has.

use workflow_runtime::prelude::*;

use super::support::{echo, run};

/// Two blocks and an operation at once.
#[workflow]
pub async fn joined(n: u64, text: String) -> Result<u64, String> {
    let limit = 100;
    let (a, b, c) = join!(
        async {
            let first = echo(n).await;
            if first > limit {
                return Err(format!("{text}: {first}"));
            }
            let mut sum = first;
            for i in 0..n {
                sum += echo(i).await;
            }
            Ok(sum)
        },
        async move {
            let mut text = text.clone();
            text.push('!');
            echo(text.len() as u64).await
        },
        echo(n + 1),
    );
    Ok(a? + b + c)
}

/// `?` ends the block.
#[workflow]
pub async fn tried(n: u64) -> Result<u64, String> {
    let checked = |n: u64| if n > 5 { Err("too much".to_owned()) } else { Ok(n) };
    let limit = checked(n);
    let (a, b) = try_join!(
        async {
            let n = limit.clone()?;
            Ok(echo(n).await)
        },
        async {
            let doubled = echo(n * 2).await;
            if doubled == 3 { Err("odd".to_owned()) } else { Ok::<_, String>(doubled) }
        },
    )?;
    Ok(a + b)
}

/// A block that never ends, and one that does.
#[workflow]
pub async fn raced(mut n: u64) -> u64 {
    n += 1;
    select! {
        sum = async {
            let mut sum = 0;
            'outer: loop {
                for i in 0.. {
                    sum += echo(i).await;
                    if sum > n {
                        break 'outer sum;
                    }
                }
            }
        } => sum,
        () = async {
            loop {
                sleep("1h").await;
                let _ = echo(1).await;
            }
        } => 0,
    }
}

/// Blocks in closures, functions of their own, variables, other blocks.
#[workflow]
pub async fn spread(words: Vec<String>) -> Vec<u64> {
    let factor = words.len() as u64;
    let make = |n: u64| async move { echo(n).await * factor };
    let pair = join!(make(1), make(2));
    let mut all = join_all(words.iter().map(|word| {
        let word = word.clone();
        async {
            let inner = async { echo(word.len() as u64).await + factor };
            let (a, b) = join!(inner, async { echo(1).await });
            (a, b)
        }
    }))
    .concurrency(2)
    .await
    .into_iter()
    .map(|(a, b)| a + b)
    .collect::<Vec<_>>();
    all.extend([pair.0, pair.1]);
    let closed = join_all(words.into_iter().map(async |word| echo(word.len() as u64).await)).await;
    all.extend(closed);
    let blocks: Vec<_> = (0..2)
        .map(|n| async move {
            match echo(n).await {
                0 => "none".to_owned(),
                n if n > factor => format!("{n} of {factor}"),
                n => {
                    let text = format!("{n}");
                    echo(n).await;
                    text
                }
            }
        })
        .collect();
    all.push(join_all(blocks).await.concat().len() as u64);
    let late = async { echo(7).await }.timeout("1h").await;
    all.push(late.unwrap_or(0));
    all.push(async { factor }.await);
    all.push(vec![async { echo(3).await }.await, join!(echo(1), async { factor }).0].len() as u64);
    all
}

/// Runs them.
pub(crate) fn main() {
    assert_eq!(run(joined(3, "ab".into())), Ok(3 + 3 + 3 + 4));
    assert_eq!(run(joined(101, "ab".into())), Err("ab: 101".into()));
    assert_eq!(run(tried(2)), Ok(6));
    assert_eq!(run(tried(6)), Err("too much".into()));
    assert_eq!(run(raced(4)), 6);
    assert_eq!(
        run(spread(vec!["a".into(), "bb".into()])),
        [1 + 2 + 1, 2 + 2 + 1, 2, 4, 1, 2, 5, 7, 2, 2]
    );
}
