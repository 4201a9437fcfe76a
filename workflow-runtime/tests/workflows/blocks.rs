//! `async` blocks as branches, crashed at every commit.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use workflow_runtime::InstanceStatus;
use workflow_runtime::prelude::*;
use workflow_runtime::store::{MemoryStore, Store};
use workflow_runtime::testing::{VirtualClock, crash_everywhere};

#[derive(Clone, Serialize, Deserialize)]
struct Approval {
    by: String,
}
impl Signal for Approval {
    const NAME: &'static str = "approval";
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    card: String,
    count: u32,
}

#[task]
async fn tenfold(n: u32) -> u32 {
    n * 10
}

#[task]
async fn reserve(order: &Order) -> Result<u32, String> {
    if order.count > 9 {
        Err(format!("only 9 {}", order.item))
    } else {
        Ok(order.count * 100)
    }
}

#[task]
async fn pack(stock: u32, item: String) -> Result<String, String> {
    Ok(format!("{stock} {item}"))
}

#[task]
async fn charge(card: String) -> Result<u32, String> {
    Ok(card.len() as u32)
}

#[task(retry(max_attempts = 3, backoff = fixed("1h")))]
async fn fragile(context: &TaskContext, n: u32) -> Result<u32, String> {
    if context.attempt() < 3 {
        Err(format!("attempt {}", context.attempt()))
    } else {
        Ok(n)
    }
}

fn order(count: u32) -> Order {
    Order {
        item: "lamp".to_owned(),
        card: "4242".to_owned(),
        count,
    }
}

#[workflow]
async fn joined(order: Order) -> String {
    let (packed, charged) = join!(
        async {
            let stock = reserve(&order).await?;
            sleep("1h").await;
            pack(stock, order.item.clone()).await
        },
        charge(order.card.clone()),
    );
    let last = tenfold(1).await;
    format!("{packed:?} {charged:?} {last} {}", order.item)
}

#[tokio::test(start_paused = true)]
async fn a_block_in_a_join_has_steps_of_its_own() {
    for waiting in [0, 1000] {
        for (count, expected) in [
            (2, r#"Ok("200 lamp") Ok(4) 10 lamp"#),
            (20, r#"Err("only 9 lamp") Ok(4) 10 lamp"#),
        ] {
            let report = crash_everywhere::<joined, _>(move || joined(order(count)))
                .engine(move |builder| builder.waiting_in_memory(waiting))
                .twice()
                .run()
                .await;
            assert_eq!(report.result().map(String::as_str), Some(expected));
        }
    }
}

#[workflow]
async fn tried(first: Order, second: Order) -> Result<String, String> {
    let mut notes = vec!["begun".to_owned()];
    let (a, b) = try_join!(
        async move {
            let stock = reserve(&first).await?;
            let label = fragile(stock).await?;
            pack(label, first.item).await
        },
        async {
            sleep("30m").await;
            let stock = reserve(&second).await?;
            if stock == 300 {
                return Err(format!("no {}", second.item));
            }
            let n = tenfold(stock).await;
            Ok(n + notes.len() as u32)
        },
    )?;
    notes.push(a);
    Ok(format!("{notes:?} {b} {}", tenfold(b).await))
}

#[tokio::test(start_paused = true)]
async fn a_block_in_a_try_join_ends_with_its_error() {
    for waiting in [0, 1000] {
        for (first, second, expected) in [
            (1, 2, Ok(r#"["begun", "100 lamp"] 2001 20010"#)),
            (1, 3, Err("no lamp")),
            (1, 20, Err("only 9 lamp")),
            (20, 3, Err("only 9 lamp")),
        ] {
            let report = crash_everywhere::<tried, _>(move || tried(order(first), order(second)))
                .engine(move |builder| builder.waiting_in_memory(waiting))
                .run()
                .await;
            let result = report.result().unwrap().as_ref();
            assert_eq!(result.map(String::as_str).map_err(String::as_str), expected);
        }
    }
}

#[workflow]
async fn raced(id: u32, patience: String) -> String {
    let mut rounds = 0;
    loop {
        rounds += 1;
        let outcome = select! {
            done = async {
                let prepared = fragile(id + rounds).await?;
                let approval = receive::<Approval>().await;
                sleep("5m").await;
                Ok::<_, String>(format!("{prepared} for {}", approval.by))
            } => done.unwrap_or_else(|error| error),
            () = sleep(patience.clone()) => format!("nothing in round {rounds}"),
        };
        if outcome.contains("for") || rounds > 2 {
            return format!("{outcome} {}", tenfold(rounds).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_that_loses_leaves_nothing() {
    for waiting in [0, 1000] {
        for (patience, expected) in [("1d", "8 for Ada 10"), ("90m", "nothing in round 3 30")] {
            let report = crash_everywhere::<raced, _>(move || raced(7, patience.to_owned()))
                .engine(move |builder| builder.waiting_in_memory(waiting))
                .signal(Approval { by: "Ada".to_owned() })
                .run()
                .await;
            assert_eq!(report.result().map(String::as_str), Some(expected));
        }
    }
}

#[workflow]
async fn fanned_out(orders: Vec<Order>, factor: u32) -> (Vec<Result<String, String>>, u32) {
    let blocks = orders.into_iter().map(|order| async move {
        let stock = reserve(&order).await?;
        sleep("1m").await;
        let mut total = 0;
        for part in 0..2 {
            total += tenfold(stock + part).await * factor;
        }
        pack(total, order.item).await
    });
    let all = join_all(blocks).concurrency(2).await;
    let count = tenfold(all.len() as u32).await;
    (all, count)
}

#[tokio::test(start_paused = true)]
async fn many_blocks_run_a_few_at_a_time() {
    for waiting in [0, 1000] {
        let report = crash_everywhere::<fanned_out, _>(|| fanned_out([1, 20, 3].map(order).into(), 2))
            .engine(move |builder| builder.waiting_in_memory(waiting))
            .run()
            .await;
        let expected = vec![
            Ok("4020 lamp".to_owned()),
            Err("only 9 lamp".to_owned()),
            Ok("12020 lamp".to_owned()),
        ];
        assert_eq!(report.result(), Some(&(expected, 30)));
    }
}

#[workflow]
async fn limited(limit: String, n: u32) -> Result<u32, String> {
    let text = "large ".repeat(400);
    let outcome = async {
        let mut sum = n;
        for minutes in [1, 10, 120] {
            sleep(Duration::from_secs(minutes * 60)).await;
            sum += tenfold(sum + text.len() as u32).await;
        }
        sum
    }
    .timeout(limit)
    .await;
    let inner = async {
        let found = async { tenfold(n).await + 1 }.await;
        tenfold(found).await
    }
    .await;
    match outcome {
        Ok(sum) => Ok(sum + inner),
        Err(Elapsed) => Err(format!("too slow {inner} {}", text.len())),
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_is_given_up_after_its_time() {
    for waiting in [0, 1000] {
        for limit in ["1d", "1h"] {
            let report = crash_everywhere::<limited, _>(move || limited(limit.to_owned(), 1))
                .engine(move |builder| builder.waiting_in_memory(waiting))
                .run()
                .await;
            let expected = match limit {
                "1h" => Err("too slow 110 2400".to_owned()),
                _ => Ok((0..3).fold(1, |sum, _| sum + (sum + 2400) * 10) + 110),
            };
            assert_eq!(report.result(), Some(&expected));
        }
    }
}

#[workflow]
async fn part(n: u32) -> Result<u32, String> {
    sleep("1h").await;
    Ok(tenfold(n).await)
}

#[workflow]
async fn nested(numbers: Vec<u32>) -> u32 {
    let base = tenfold(1).await;
    let (sum, by) = join!(
        async {
            let mut sum = base;
            for pair in numbers.chunks(2).map(<[u32]>::to_vec) {
                let (a, b) = join!(
                    async {
                        let child = part(pair[0]).await;
                        child.unwrap_or(0) + tenfold(base).await
                    },
                    join_all(pair.iter().map(|n| {
                        let n = *n;
                        async move { tenfold(tenfold(n).await).await }
                    })),
                );
                sum += a + b.iter().sum::<u32>();
            }
            let handle = part(5).start().await;
            sleep("10m").await;
            sum + handle.await.unwrap_or(0)
        },
        async {
            let first = receive::<Approval>().await;
            let second = receive::<Approval>().await;
            format!("{} {}", first.by, second.by)
        },
    );
    sum + by.len() as u32
}

#[tokio::test(start_paused = true)]
async fn blocks_nest_and_have_children_and_messages() {
    for waiting in [0, 1000] {
        let report = crash_everywhere::<nested, _>(|| nested(vec![1, 2, 3]))
            .engine(move |builder| builder.waiting_in_memory(waiting))
            .signal(Approval { by: "Ada".to_owned() })
            .signal(Approval {
                by: "Grace".to_owned(),
            })
            .at_most(60)
            .run()
            .await;
        let expected = 10 + (10 + 100 + 300) + (30 + 100 + 300) + 50 + 9;
        assert_eq!(report.result(), Some(&expected));
    }
}

#[workflow]
async fn shown(orders: Vec<Order>) -> u32 {
    let (all, by) = join!(
        join_all(orders.into_iter().map(|order| async move {
            let stock = reserve(&order).await.unwrap_or(0);
            sleep("1h").await;
            stock + order.count
        }))
        .concurrency(1),
        receive::<Approval>(),
    );
    all.iter().sum::<u32>() + by.by.len() as u32
}

#[tokio::test(start_paused = true)]
async fn describe_shows_where_each_branch_is() {
    let store = MemoryStore::with_clock(VirtualClock::new());
    let engine = WorkflowEngine::<shown>::builder()
        .store(store)
        .build()
        .await
        .unwrap();
    let handle = engine
        .start(shown([1, 2].map(order).into()))
        .id("shown")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(90 * 60)).await;
    let details = engine.describe(handle.id()).await.unwrap().unwrap();
    let shown: Vec<String> = details
        .branches
        .iter()
        .map(|branch| {
            let awaits = branch.awaits.split(" due").next().unwrap();
            let (point, steps) = (branch.point.as_deref().unwrap_or("-"), branch.steps);
            let (output, variables) = (&branch.output, &branch.variables);
            format!(
                "{:?} {awaits} {point} {steps} {output:?} {}",
                branch.path,
                json!(variables)
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"[0] join - 0 None {}"#,
            r#"[0, 0] an async block - 0 Some(Number(101)) {}"#,
            r#"[0, 1] timer sleep 2 None {"order":{"card":"4242","count":2,"item":"lamp"},"stock":200}"#,
            r#"[1] signal `approval` - 0 None {}"#,
        ]
    );
    handle.signal(Approval { by: "Ada".to_owned() }).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 101 + 202 + 3);
    let details = engine.describe(handle.id()).await.unwrap().unwrap();
    assert_eq!(details.branches, []);
}

#[task]
async fn clean_up(reason: String, done: u32) -> String {
    format!("{reason} after {done}")
}

#[task]
async fn endless() -> u32 {
    std::future::pending().await
}

/// Works in blocks until it is told to stop.
#[workflow]
async fn stopped(n: u32) -> String {
    let text = "large ".repeat(300);
    let done = async {
        let (a, b) = join!(
            async {
                let mut sum = 0;
                for i in 0..n {
                    sum += tenfold(i).await;
                    sleep("1h").await;
                }
                sum + text.len() as u32
            },
            async {
                let before = tenfold(n).await;
                before + fragile(n).await.unwrap_or(0) + endless().await
            },
        );
        a + b
    }
    .cancellable()
    .await;
    match done {
        Ok(sum) => format!("{sum}"),
        Err(cancelled) => clean_up(cancelled.reason, n).await,
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_block_leaves_nothing_and_its_workflow_cleans_up() {
    for (pause, waiting) in [(30, 0), (90, 0), (90, 1000), (150, 0), (500, 1000)] {
        let store = MemoryStore::with_clock(VirtualClock::new());
        let open = async || {
            let builder = WorkflowEngine::<stopped>::builder().store(store.clone());
            builder.waiting_in_memory(waiting).build().await.unwrap()
        };
        let engine = open().await;
        let handle = engine.start(stopped(3)).id("stopped").await.unwrap();
        tokio::time::sleep(Duration::from_secs(pause * 60)).await;
        engine.abort().await;
        assert_ne!(left(&store).await, Vec::<String>::new());
        let engine = open().await;
        engine.cancel(handle.id(), "enough").await.unwrap();
        let handle = engine.handle::<stopped>(handle.id().clone());
        assert_eq!(handle.result().await.unwrap(), "enough after 3");
        engine.shutdown().await;
        assert_eq!(left(&store).await, Vec::<String>::new(), "after {pause} minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_is_ended_in_its_blocks_leaves_nothing() {
    for pause in [30, 90, 500] {
        for paused in [false, true] {
            let store = MemoryStore::with_clock(VirtualClock::new());
            let builder = WorkflowEngine::<stopped>::builder().store(store.clone());
            let engine = builder.build().await.unwrap();
            let handle = engine.start(stopped(3)).id("stopped").await.unwrap();
            tokio::time::sleep(Duration::from_secs(pause * 60)).await;
            if paused {
                engine.pause(handle.id(), "wait").await.unwrap();
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            engine.terminate(handle.id(), "no more").await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            engine.shutdown().await;
            assert_eq!(left(&store).await, Vec::<String>::new(), "after {pause} minutes");
        }
    }
}

/// The keys of what an instance has besides the records that tell of its end.
async fn left(store: &MemoryStore) -> Vec<String> {
    let all = bytes::Bytes::from_static(b"w\x01")..bytes::Bytes::from_static(b"w\x02");
    let records = store.scan(all, 1000).await.unwrap();
    let name = |key: &[u8]| key[2..].iter().position(|byte| *byte == 0).map(|end| end + 2);
    let kind = |key: &[u8]| name(key).and_then(|end| key.get(end + 3).copied());
    records
        .into_iter()
        .filter(|(key, _)| !matches!(kind(key), Some(b'i' | b'e' | b'p')))
        .filter(|(key, _)| key.windows(7).any(|part| part == b"stopped"))
        .map(|(key, _)| format!("{key:?}"))
        .collect()
}

/// Each death of the process at the same step counts; a step of any block begins the count anew.
#[workflow]
async fn deadly(steps: u32) -> u32 {
    let (sum, _) = join!(
        async {
            let mut sum = 0;
            for n in 0..steps {
                sum += tenfold(n).await;
                sleep("1h").await;
            }
            sum
        },
        async {
            sleep("30d").await;
            endless().await
        },
    );
    sum
}

#[tokio::test(start_paused = true)]
async fn a_block_that_goes_on_is_not_taken_for_poison() {
    let store = MemoryStore::with_clock(VirtualClock::new());
    let id = "deadly".parse().unwrap();
    let open = async || {
        let builder = WorkflowEngine::<deadly>::builder().store(store.clone());
        builder.poison_limit(3).build().await.unwrap()
    };
    let engine = open().await;
    engine.start(deadly(20)).id("deadly").await.unwrap();
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        engine_dies(&store).await;
    }
    drop(engine);
    let engine = open().await;
    let status = engine.status(&id).await.unwrap().unwrap();
    assert!(!matches!(status, InstanceStatus::Blocked { .. }), "{status:?}");
    // Behind the first block's end nothing goes on any more.
    tokio::time::sleep(Duration::from_secs(40 * 86_400)).await;
    for _ in 0..5 {
        engine_dies(&store).await;
    }
    let engine = open().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = engine.status(&id).await.unwrap().unwrap();
    assert!(matches!(status, InstanceStatus::Blocked { .. }), "{status:?}");
}

/// The next engine on the store is killed soon after it was opened.
async fn engine_dies(store: &MemoryStore) {
    let builder = WorkflowEngine::<deadly>::builder().store(store.clone());
    let engine = builder.poison_limit(3).build().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1800)).await;
    engine.abort().await;
}
