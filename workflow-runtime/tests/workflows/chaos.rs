//! Thousands of seeded runs of a workflow that uses everything, over a store that fails and processes that die.
//!
//! `WORKFLOW_CHAOS_SEED` repeats one run, `WORKFLOW_CHAOS_RUNS` changes how many there are.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::store::{FaultPlan, FaultyStore, MemoryStore, Store};
use workflow_runtime::testing::VirtualClock;
use workflow_runtime::{ListFilter, ResultError, SignalError, UpdateError};

#[signal(name = "item")]
#[derive(Clone, Serialize, Deserialize)]
struct Item(u32);

/// An item, whose sender is told how much was seen before it.
#[update(name = "count", reply = usize)]
#[derive(Clone, Serialize, Deserialize)]
struct Counted(u32);

#[derive(Clone, Serialize, Deserialize)]
struct Stop;
impl Signal for Stop {
    const NAME: &'static str = "stop";
}

#[task(retry(max_attempts = 3, backoff = exponential("1s", factor = 30.0, max = "1h")))]
async fn double(context: &TaskContext, n: u32) -> Result<u32, String> {
    // Deterministic failures: the result of a run must not depend on chance.
    if context.attempt() <= n % 3 {
        Err(format!("attempt {} of {n}", context.attempt()))
    } else {
        Ok(n * 2)
    }
}

#[workflow]
async fn counted(n: u32) -> Result<u32, String> {
    sleep(Duration::from_secs(u64::from(n % 4) * 40)).await;
    let doubled = double(n).await?;
    Ok(doubled + 1)
}

/// Adds up items until it is told to stop; each item takes a few steps, some of them at once.
#[workflow]
async fn shop(first: u32) -> Result<Vec<u32>, String> {
    let mut seen = Vec::new();
    let ledger = "-".repeat(1500);
    let child = counted(first).start().await;
    let mut next = Some(first);
    loop {
        publish!("seen", seen.len());
        let item = match next.take() {
            Some(item) => item,
            None => select! {
                item = receive::<Item>() => item.0,
                (item, responder) = receive_update::<Counted>() => {
                    responder.respond(seen.len());
                    item.0
                },
                _ = receive::<Stop>() => break,
                () = sleep("10m") => 1000,
            },
        };
        if item == 1000 {
            continue;
        }
        let (a, b) = try_join!(
            async {
                let doubled = double(item).await?;
                let text = format!("{doubled} {}", "+".repeat(1100));
                sleep("30s").await;
                let found = select! {
                    found = async {
                        sleep("5s").await;
                        double(text.len() as u32).await
                    } => found?,
                    // Loses, with what it has stored.
                    _ = async {
                        let first = double(text.len() as u32).await;
                        sleep("20h").await;
                        first.unwrap_or(0) + text.len() as u32
                    } => 0,
                };
                Ok::<u32, String>(doubled + found - found)
            },
            counted(item + 1),
        )?;
        let all = join_all((0..3).map(|n| async move {
            sleep(Duration::from_secs(u64::from(n))).await;
            double(item + n).await
        }))
        .concurrency(2)
        .await;
        seen.push(a);
        seen.push(b);
        for one in all {
            seen.push(one?);
        }
    }
    seen.push(child.await?);
    seen.push(u32::try_from(ledger.len()).unwrap_or(0));
    Ok(seen)
}

workflows! { App { shop, counted } }

fn expected() -> Vec<u32> {
    let mut seen = Vec::new();
    for item in [1, 2, 3] {
        seen.extend([
            item * 2,
            (item + 1) * 2 + 1,
            item * 2,
            (item + 1) * 2,
            (item + 2) * 2,
        ]);
    }
    seen.extend([3, 1500]);
    seen
}

struct Random(u64);

impl Random {
    /// Splitmix64.
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// One life of the process: `true` when everything has been sent and the result is there.
async fn live(
    memory: &MemoryStore,
    random: &mut Random,
    last: bool,
    sent: &mut usize,
) -> Option<Result<Vec<u32>, String>> {
    let plan = FaultPlan::seeded(random.next(u64::MAX));
    let plan = if last {
        plan
    } else {
        plan.crash_after_commit(1 + random.next(60))
    };
    let store = Arc::new(FaultyStore::new(memory.clone(), plan));
    let builder = WorkflowEngine::<App>::builder().store(store.clone());
    // A build may meet a fault.
    let engine = builder
        .waiting_in_memory([0, 2, 1000][random.next(3) as usize])
        .build()
        .await
        .ok()?;
    let dead = async {
        while !store.is_crashed() {
            tokio::time::sleep(Duration::from_secs(120)).await;
        }
    };
    let ended = tokio::select! {
        ended = drive(&engine, random, sent) => Some(ended),
        () = dead => None,
        () = tokio::time::sleep(Duration::from_secs(6 * 3600)) => None,
    };
    engine.abort().await;
    ended
}

async fn drive(
    engine: &WorkflowEngine<App>,
    random: &mut Random,
    sent: &mut usize,
) -> Result<Vec<u32>, String> {
    let handle = loop {
        match engine
            .start(shop(1))
            .id("shop")
            .on_existing(ExistingId::ReturnExisting)
            .await
        {
            Ok(handle) => break handle,
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    };
    while *sent < 3 {
        tokio::time::sleep(Duration::from_secs(random.next(700))).await;
        let request = format!("request {sent}");
        let answer = match *sent {
            1 => match handle.update(Counted(3)).request_id(request).await {
                Ok(seen) => {
                    assert_eq!(seen, 10);
                    Ok(())
                }
                Err(UpdateError::NotSent(error)) => Err(error),
                Err(UpdateError::EngineEnded) => std::future::pending().await,
                Err(error) => panic!("{error}"),
            },
            2 => handle.signal(Stop).request_id(request).await,
            n => handle.signal(Item(n as u32 + 2)).request_id(request).await,
        };
        match answer {
            Ok(()) => *sent += 1,
            Err(SignalError::Store(_)) => {}
            Err(error) => panic!("{error}"),
        }
        // A stray repetition changes nothing.
        if *sent > 0 && random.next(4) == 0 {
            let _ = handle.signal(Item(77)).request_id("request 0").await;
        }
    }
    loop {
        match handle.result().await {
            Ok(result) => return result,
            Err(ResultError::Store(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
            Err(ResultError::EngineEnded { .. }) => std::future::pending().await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn run(seed: u64) {
    let mut random = Random(seed);
    let memory = MemoryStore::with_clock(VirtualClock::new());
    let mut sent = 0;
    let mut life = 0;
    let result = loop {
        life += 1;
        if let Some(result) = live(&memory, &mut random, life > 4, &mut sent).await {
            break result;
        }
        if life == 50 {
            let engine = WorkflowEngine::<App>::builder()
                .store(memory.clone())
                .build()
                .await
                .unwrap();
            let details = engine.describe(&"shop".parse().unwrap()).await.unwrap();
            panic!(
                "seed {seed}: no end after {life} lives, {sent} messages sent: {details:#?}\n{:#?}",
                left(&memory).await
            );
        }
    };
    assert_eq!(result, Ok(expected()), "seed {seed}, {life} lives");
    // The children end, too; then nothing is left but three records of the deployment, a lease per shard, who was
    // there, how it ended, whose child it was, and which requests it took.
    let engine = WorkflowEngine::<App>::builder()
        .store(memory.clone())
        .build()
        .await
        .unwrap();
    let mut minutes = 0;
    while !engine
        .list(ListFilter::default().open_only())
        .await
        .unwrap()
        .instances
        .is_empty()
    {
        minutes += 10;
        assert!(minutes < 24 * 60, "seed {seed}: {:#?}", left(&memory).await);
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    let seen = engine
        .handle::<shop>("shop".parse().unwrap())
        .query::<usize>("seen")
        .await;
    assert_eq!(seen.unwrap(), 15, "seed {seed}");
    engine.abort().await;
    // And what it has published last.
    let published = 1;
    let instances = 1 + 1 + 3;
    assert_eq!(
        memory.len(),
        3 + 64 + 2 * instances + (instances - 1) + 3 + published,
        "seed {seed}: {:#?}",
        left(&memory).await
    );
}

async fn left(memory: &MemoryStore) -> Vec<String> {
    let all = memory
        .scan(bytes::Bytes::new()..bytes::Bytes::from_static(b"\xff"), 1000)
        .await
        .unwrap();
    all.into_iter().map(|(key, _)| format!("{key:?}")).collect()
}

#[test]
fn nothing_is_lost_and_nothing_is_left() {
    let one = std::env::var("WORKFLOW_CHAOS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let runs: u64 = std::env::var("WORKFLOW_CHAOS_RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(10_000);
    let seeds: Vec<u64> = one.map_or_else(|| (0..runs).collect(), |seed| vec![seed]);
    println!("{} seeds from {}", seeds.len(), seeds[0]);
    std::thread::scope(|scope| {
        for half in [0, 1] {
            let seeds = &seeds;
            scope.spawn(move || {
                for seed in seeds.iter().filter(|seed| *seed % 2 == half) {
                    let runtime = tokio::runtime::Builder::new_current_thread();
                    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
                    let outcome = std::panic::catch_unwind(|| runtime.block_on(run(*seed)));
                    if outcome.is_err() {
                        panic!("repeat it with WORKFLOW_CHAOS_SEED={seed}");
                    }
                }
            });
        }
    });
}
