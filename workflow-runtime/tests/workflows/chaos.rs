//! Thousands of seeded runs of a workflow that uses everything, over a store that fails and processes that die.
//!
//! `WORKFLOW_CHAOS_SEED` repeats one run, `WORKFLOW_CHAOS_RUNS` changes how many there are: `./test` runs ten thousand, two
//! minutes of two cores.

mod invariants;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::store::{FaultPlan, FaultyStore, MemoryStore, Store};
use workflow_runtime::testing::VirtualClock;
use workflow_runtime::{
    BulkError, InstanceStatus, ListFilter, ResultError, SignalError, StatusKind, UpdateError,
};

use self::invariants::Seen;

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

#[task(
    heartbeat_timeout = "1m",
    schedule_to_close = "30d",
    retry(max_attempts = 3, backoff = exponential("1s", factor = 30.0, max = "1h"), when = |error| !error.is_empty())
)]
async fn double(context: &TaskContext, n: u32) -> Result<u32, String> {
    let attempt = context.attempt();
    // What the attempt before reported is never lost; one that was interrupted may have reported, too.
    let progress: u32 = context.progress().unwrap_or(0);
    assert!(
        progress == attempt || progress == attempt - 1,
        "attempt {attempt} finds {progress}"
    );
    context.heartbeat(&attempt);
    if n % 3 == 1 && attempt == 1 {
        // Silent for too long: given up after a minute.
        std::future::pending::<()>().await;
    }
    if n % 2 == 0 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        context.heartbeat(&attempt);
    }
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

/// Asked to stop, it cleans up.
#[workflow]
async fn lodger() -> u32 {
    match sleep("30d").cancellable().await {
        Ok(()) => 0,
        Err(Cancelled { .. }) => {
            sleep("10m").await;
            1
        }
    }
}

#[workflow]
async fn squatter() -> u32 {
    receive::<Item>().await.0
}

#[workflow]
async fn heir() -> u32 {
    sleep("3h").await;
    2
}

/// Adds up items until it is told to stop; each item takes a few steps, some of them at once.
#[workflow]
async fn shop(first: u32) -> Result<Vec<u32>, String> {
    let mut seen = Vec::new();
    let ledger = "-".repeat(1500);
    let child = counted(first).start().await;
    let _lodger = lodger().id("lodger").start().await;
    let squatter = squatter()
        .id("squatter")
        .parent_close_policy(ParentClosePolicy::Terminate);
    let heir = heir().id("heir").parent_close_policy(ParentClosePolicy::Abandon);
    let _both = join!(squatter.start(), heir.start());
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

workflows! { App { shop, counted, lodger, squatter, heir } }

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
    client: &mut Client,
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
        ended = drive(&engine, memory, random, client) => Some(ended),
        () = dead => None,
        () = tokio::time::sleep(Duration::from_secs(6 * 3600)) => None,
    };
    engine.abort().await;
    client.seen.look(memory, client.seed).await;
    ended
}

/// Whoever uses the shop, over all lives.
struct Client {
    seed: u64,
    /// How many of its acts are acknowledged.
    acts: usize,
    seen: Seen,
}

/// The acts of a client, in their order.
const ACTS: usize = 5;

async fn drive(
    engine: &WorkflowEngine<App>,
    memory: &MemoryStore,
    random: &mut Random,
    client: &mut Client,
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
    client.seen.look(memory, client.seed).await;
    while client.acts < ACTS {
        tokio::time::sleep(Duration::from_secs(random.next(400))).await;
        let request = format!("request {}", client.acts);
        let children = ListFilter::default().workflow("counted");
        let done = match client.acts {
            3 => {
                // Its reply waits for whoever is still paused.
                let answer = tokio::select! {
                    answer = handle.update(Counted(3)).request_id(request) => answer,
                    () = resuming(engine) => continue,
                };
                match answer {
                    Ok(seen) => {
                        assert_eq!(seen, 10);
                        true
                    }
                    Err(UpdateError::NotSent(SignalError::Store(_))) => false,
                    Err(UpdateError::EngineEnded) => std::future::pending().await,
                    Err(error) => panic!("{error}"),
                }
            }
            0 | 4 => {
                let answer = match client.acts {
                    0 => handle.signal(Item(2)).request_id(request).await,
                    _ => handle.signal(Stop).request_id(request).await,
                };
                match answer {
                    Ok(()) => true,
                    Err(SignalError::Store(_)) => false,
                    Err(error) => panic!("{error}"),
                }
            }
            act => {
                let bulk = engine.bulk(format!("bulk {act}"), children);
                match if act == 1 {
                    bulk.pause("stocktaking").await
                } else {
                    bulk.resume().await
                } {
                    Ok(report) => {
                        assert_eq!(report.failed, 0, "{report:?}");
                        true
                    }
                    Err(BulkError::Store(_)) => false,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        client.acts += usize::from(done);
        client.seen.look(memory, client.seed).await;
        // A stray repetition changes nothing.
        if client.acts > 0 && random.next(4) == 0 {
            let _ = handle.signal(Item(77)).request_id("request 0").await;
        }
    }
    loop {
        let result = tokio::select! {
            result = handle.result() => result,
            () = resuming(engine) => continue,
        };
        match result {
            Ok(result) => return result,
            Err(ResultError::Store(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
            Err(ResultError::EngineEnded { .. }) => std::future::pending().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Looks for paused instances from time to time.
async fn resuming(engine: &WorkflowEngine<App>) {
    loop {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        resume_all(engine).await;
    }
}

/// Lets those go on whose order to pause was carried out after the order to resume had passed them.
async fn resume_all(engine: &WorkflowEngine<App>) {
    let paused = ListFilter::default().status(StatusKind::Paused);
    if let Ok(page) = engine.list(paused).await {
        for instance in page.instances {
            let _ = engine.resume(&instance.id).await;
        }
    }
}

async fn run(seed: u64) {
    let mut random = Random(seed);
    let memory = MemoryStore::with_clock(VirtualClock::new());
    let mut client = Client {
        seed,
        acts: 0,
        seen: Seen::default(),
    };
    let mut life = 0;
    let result = loop {
        life += 1;
        if let Some(result) = live(&memory, &mut random, life > 4, &mut client).await {
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
                "seed {seed}: no end after {life} lives, {} acts: {details:#?}\n{:#?}",
                client.acts,
                left(&memory).await
            );
        }
    };
    assert_eq!(result, Ok(expected()), "seed {seed}, {life} lives");
    // The children end, too, each as its policy says.
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
        minutes += 60;
        assert!(minutes < 24 * 60, "seed {seed}: {:#?}", left(&memory).await);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        resume_all(&engine).await;
    }
    for (child, ended) in [
        ("lodger", StatusKind::Completed),
        ("squatter", StatusKind::Terminated),
        ("heir", StatusKind::Completed),
    ] {
        let status: InstanceStatus = engine.status(&child.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(status.kind(), ended, "seed {seed}: {child} is {status}");
    }
    let seen = engine
        .handle::<shop>("shop".parse().unwrap())
        .query::<usize>("seen")
        .await;
    assert_eq!(seen.unwrap(), 15, "seed {seed}");
    let seen = engine
        .handle::<shop>("shop".parse().unwrap())
        .query::<usize>("seen")
        .await;
    assert_eq!(seen.unwrap(), 15, "seed {seed}");
    engine.abort().await;
    // The shop, its five kinds of children, three of them counted ones.
    client.seen.all_ended(&memory, seed, 1 + 3 + 1 + 3).await;
    assert!(client.seen.looks() > 6, "seed {seed}");
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
        .unwrap_or(1_000);
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
