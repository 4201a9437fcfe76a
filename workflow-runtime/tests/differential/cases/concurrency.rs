//! Blocks as branches. The order in which branches take effect is theirs, so these tasks have none.

use tokio::{join, select, try_join};

use crate::tasks::*;

both! {
    [joined(0), joined(3), joined(7)]
    async fn joined(n: u32) -> Result<u32, String> {
        let text = format!("n{n}");
        let base = calm(n).await;
        let (a, b, c) = join!(
            async {
                let mut sum = 0;
                for i in 0..n {
                    if i == 5 {
                        return Err(format!("{text} {sum}"));
                    }
                    sum += calm(i).await + base;
                }
                Ok(sum)
            },
            async {
                let half = odd(n).await?;
                let more = if half > 1 { odd(half).await? } else { 4 };
                Ok::<u32, String>(half * 10 + more)
            },
            async { calm(base).await },
        );
        let again = calm(c).await;
        Ok(a? * 1000 + b.unwrap_or(9) * 100 + again)
    }

    [tried(1), tried(2), tried(5), tried(9)]
    async fn tried(n: u32) -> Result<String, String> {
        let names = vec!["a".to_owned(), "b".to_owned()];
        let (a, b) = try_join!(
            async {
                let x = odd(n).await?;
                let y = odd(x + 2).await?;
                Ok::<_, String>(x + y)
            },
            async {
                let mut all = String::new();
                for name in names.clone() {
                    all += &format!("{name}{}", calm(n).await);
                }
                Ok::<_, String>(all)
            },
        )?;
        Ok(format!("{a} {b} {names:?} {}", calm(a).await))
    }

    [nested(2), nested(5)]
    async fn nested(n: u32) -> Vec<u32> {
        let inner = async {
            let (a, b) = join!(
                async { calm(n).await + async { calm(n + 1).await }.await },
                async {
                    let all = join_all((0..n).map(|i| async move {
                        let doubled = calm(i).await;
                        if doubled % 4 == 0 { doubled } else { calm(doubled).await }
                    }))
                    .await;
                    all.iter().sum::<u32>()
                },
            );
            vec![a, b]
        };
        let mut found = inner.await;
        found.push(calm(n).await);
        found
    }

    [shadowed(1), shadowed(2)]
    async fn shadowed(n: u32) -> (u32, String) {
        let value = calm(n).await;
        let text = "outer".to_owned();
        let (value, text) = join!(
            async {
                let value = value + 1;
                let text = calm(value).await;
                {
                    let value = format!("{text}");
                    calm(value.len() as u32).await + text
                }
            },
            async {
                match odd(n).await {
                    Ok(value) if value > 3 => format!("{value} {text}"),
                    Ok(n) => {
                        let text = calm(n).await;
                        format!("{text} {value}")
                    }
                    Err(text) => text,
                }
            },
        );
        (value + calm(n).await, text)
    }

    [moved(3)]
    async fn moved(n: u32) -> (u32, Vec<u32>) {
        let mut count = n;
        let mut list = vec![n];
        let all = async move {
            list.push(calm(n).await);
            count += 1;
            for _ in 0..2 {
                count += calm(count).await;
                list.push(count);
            }
            list
        }
        .await;
        count += 1;
        (count + calm(count).await, all)
    }

    [in_a_loop(0), in_a_loop(4)]
    async fn in_a_loop(n: u32) -> u32 {
        let mut sum = 0;
        'rounds: for round in 0..n {
            let (a, b) = join!(
                async { calm(round).await + calm(sum).await },
                async {
                    let mut i = 0;
                    loop {
                        i += calm(1).await;
                        if i > round {
                            break i;
                        }
                    }
                },
            );
            if a > 40 {
                break 'rounds;
            }
            if b % 2 == 1 {
                continue;
            }
            sum += a + b;
        }
        sum
    }

    [raced(1), raced(4)]
    async fn raced(n: u32) -> String {
        let first = select! {
            biased;
            sum = async {
                let mut sum = 0;
                for i in 0..n {
                    sum += calm(i).await;
                }
                sum
            } => format!("sum {sum}"),
            () = async { sleep("1h").await; } => "late".to_owned(),
        };
        let second = select! {
            text = async {
                sleep("2h").await;
                calm(n).await
            } => format!("slow {text}"),
            text = async {
                sleep("1h").await;
                calm(n + 1).await
            } => format!("fast {text}"),
        };
        format!("{first}, {second}")
    }

    [closures(2), closures(3)]
    async fn closures(n: u32) -> Vec<u32> {
        let items: Vec<Num> = (0..n).map(Num).collect();
        let scale = calm(n).await;
        let mut results = join_all(items.iter().map(|item| {
            let item = *item;
            async move {
                let Num(value) = item;
                let Some(found) = opt(value) else { return scale };
                calm(found).await * scale
            }
        }))
        .await;
        let make = |k: u32| async move { calm(k).await + calm(k + 1).await };
        results.push(make(n).await);
        results
    }
}
