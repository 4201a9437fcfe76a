//! Deterministic simulation: three nodes, one store, virtual time, one thread, one seed.
//!
//! A plan says when nodes die, are stopped, are cut off from the store, and see a wrong time; a store between each node
//! and the data delays, refuses and loses the outcome of calls; hints are lost and repeated. The data is watched at each
//! commit ([`Audit`]); what clients were promised is checked at the end. A plan that fails is made smaller, and printed.
//!
//! `WORKFLOW_SIMULATION_SEED` repeats one plan, `WORKFLOW_SIMULATION_RUNS` says how many there are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use workflow_runtime::cluster::{Cluster, Hint, HintReceiver, Hints, InProcessHints};
use workflow_runtime::prelude::*;
use workflow_runtime::store::{
    Batch, CommitProfile, Condition, FaultPlan, FaultyStore, MemoryStore, Store, StoreFuture, Verdict, Write,
};
use workflow_runtime::testing::EffectLog;

use crate::support::*;

const NODES: usize = 3;
const INSTANCES: u64 = 6;
/// Faults end then.
const FAULTY: Duration = Duration::from_secs(90);
/// Everything has its result so long after that.
const PROGRESS: Duration = Duration::from_secs(400);

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The node dies, and starts again after so many milliseconds.
    Crash { back_ms: u64 },
    /// The node is stopped: what it has on its way arrives late.
    Pause { ms: u64 },
    /// The node cannot reach the store.
    Cut { ms: u64 },
    /// The node sees another time.
    Skew { by_ms: i64, ms: u64 },
    /// The node is shut down in order, and starts again.
    Leave { back_ms: u64 },
}

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    /// When, which node, what.
    faults: Vec<(u64, usize, Fault)>,
    /// Whether the store fails now and then.
    is_store_faulty: bool,
    /// One hint in so many is lost, and one repeated; 0 for no hints at all.
    lost_hints: u64,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = random.next(9);
        let mut faults: Vec<_> = (0..count)
            .map(|_| {
                let at_ms = random.next(70_000);
                let node = random.next(NODES as u64) as usize;
                let fault = match random.next(6) {
                    0 | 1 => Fault::Crash {
                        back_ms: random.next(25_000),
                    },
                    2 => Fault::Pause {
                        ms: random.next(25_000),
                    },
                    3 => Fault::Cut {
                        ms: random.next(25_000),
                    },
                    4 => Fault::Skew {
                        by_ms: random.next(40_000) as i64 - 20_000,
                        ms: random.next(30_000),
                    },
                    _ => Fault::Leave {
                        back_ms: random.next(10_000),
                    },
                };
                (at_ms, node, fault)
            })
            .collect();
        faults.sort_by_key(|(at_ms, ..)| *at_ms);
        Plan {
            seed,
            faults,
            is_store_faulty: random.next(3) > 0,
            lost_hints: random.next(4),
        }
    }

    /// Plans that are this one without something.
    fn smaller(&self) -> Vec<Plan> {
        let mut plans: Vec<Plan> = (0..self.faults.len())
            .map(|index| {
                let mut plan = self.clone();
                plan.faults.remove(index);
                plan
            })
            .collect();
        if self.is_store_faulty {
            plans.push(Plan {
                is_store_faulty: false,
                ..self.clone()
            });
        }
        if self.lost_hints > 0 {
            plans.push(Plan {
                lost_hints: 0,
                ..self.clone()
            });
        }
        plans
    }
}

/// The data, watched at each commit.
#[derive(Debug, Clone)]
struct Audit {
    memory: MemoryStore,
    steps: Arc<Mutex<BTreeMap<Bytes, u64>>>,
    broken: Arc<Mutex<Option<String>>>,
}

impl Audit {
    fn new() -> Self {
        Audit {
            memory: memory(),
            steps: Arc::default(),
            broken: Arc::default(),
        }
    }

    /// A state goes from one step to the next, by a writer whose first condition is that it has the shard.
    fn check(&self, batch: &Batch) -> Result<(), String> {
        for write in &batch.writes {
            let (key, value) = match write {
                Write::Put(key, value) => (key, Some(value)),
                Write::Delete(key) => (key, None),
            };
            let Some((shard, kind)) = kind_of(key) else {
                continue;
            };
            if kind != b's' {
                continue;
            }
            let fence = match batch.conditions.first() {
                Some(Condition::Equals(fence, _)) => kind_of(fence),
                _ => None,
            };
            let is_fenced = matches!(fence, Some((of, b'l' | b'x')) if of == shard);
            let mut steps = self.steps.lock().unwrap();
            let before = steps.get(key).copied().unwrap_or(0);
            match value {
                Some(value) => {
                    if !is_fenced {
                        return Err(format!("a state without a fence: {batch:?}"));
                    }
                    let step = varint(&value[1..]);
                    if step != before + 1 {
                        return Err(format!("step {step} of {key:?} after step {before}"));
                    }
                    steps.insert(key.clone(), step);
                }
                None => {
                    steps.remove(key);
                }
            }
        }
        Ok(())
    }
}

/// Shard and kind of a key of an instance.
fn kind_of(key: &[u8]) -> Option<(u16, u8)> {
    let rest = key.strip_prefix(b"w\x01default\0")?;
    let (shard, rest) = rest.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*shard), *rest.first()?))
}

fn varint(bytes: &[u8]) -> u64 {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < &0x80 {
            break;
        }
    }
    value
}

impl Store for Audit {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        self.memory.get(keys)
    }
    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        self.memory.scan(range, limit)
    }
    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let verdicts = self.memory.commit(group).await?;
            for (batch, verdict) in group.iter().zip(&verdicts) {
                if *verdict == Verdict::Applied
                    && let Err(error) = self.check(batch)
                {
                    self.broken.lock().unwrap().get_or_insert(error);
                }
            }
            Ok(verdicts)
        })
    }
    fn now_ms(&self) -> StoreFuture<'_, u64> {
        self.memory.now_ms()
    }
    fn profile(&self) -> CommitProfile {
        self.memory.profile()
    }
}

/// Hints of which some are lost and some come twice.
struct Lossy {
    inner: InProcessHints,
    random: Mutex<Random>,
    lost: u64,
}

impl fmt::Debug for Lossy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Lossy({})", self.lost)
    }
}

impl Hints for Lossy {
    fn listen(&self, address: &str, receiver: HintReceiver) {
        self.inner.listen(address, receiver);
    }
    fn send(&self, address: &str, hint: Hint) {
        let draw = self.random.lock().unwrap().next(self.lost + 1);
        if draw != 0 {
            self.inner.send(address, hint.clone());
        }
        if draw == 1 {
            self.inner.send(address, hint);
        }
    }
}

/// A node that is there, and its way to the store.
type Running = (WorkflowEngine<App>, Link);

struct World {
    plan: Plan,
    audit: Audit,
    hints: InProcessHints,
    log: EffectLog,
    random: RefCell<Random>,
    nodes: RefCell<Vec<Option<Running>>>,
    begun: Instant,
}

impl World {
    fn draw(&self, below: u64) -> u64 {
        self.random.borrow_mut().next(below)
    }

    fn is_faulty(&self) -> bool {
        self.begun.elapsed() < FAULTY
    }

    async fn boot(&self, index: usize) {
        for _ in 0..100 {
            let faults = match self.plan.is_store_faulty && self.is_faulty() {
                true => FaultPlan::seeded(self.draw(u64::MAX)),
                false => FaultPlan::none(),
            };
            let link = Link::new(FaultyStore::new(self.audit.clone(), faults));
            let mut cluster = Cluster::node(format!("n{index}"))
                .lease(LEASE)
                .hand_over_within(Duration::from_secs(1));
            if self.plan.lost_hints > 0 {
                cluster = cluster.hints(Lossy {
                    inner: self.hints.clone(),
                    random: Mutex::new(Random(self.draw(u64::MAX))),
                    lost: self.plan.lost_hints,
                });
            }
            let built = WorkflowEngine::<App>::builder()
                .store(link.clone())
                .cluster(cluster)
                .state(self.log.clone())
                .state(Stopped::default())
                .waiting_in_memory([0, 1, 1000][self.draw(3) as usize])
                .build()
                .await;
            if let Ok(engine) = built {
                self.nodes.borrow_mut()[index] = Some((engine, link));
                return;
            }
            sleep(Duration::from_millis(200)).await;
        }
        panic!("node {index} did not start");
    }

    fn take(&self, index: usize) -> Option<Running> {
        self.nodes.borrow_mut()[index].take()
    }

    fn link(&self, index: usize) -> Option<Link> {
        self.nodes.borrow()[index].as_ref().map(|(_, link)| link.clone())
    }

    /// Some node that is there.
    fn engine(&self) -> Option<WorkflowEngine<App>> {
        let index = self.draw(NODES as u64) as usize;
        self.nodes.borrow()[index]
            .as_ref()
            .map(|(engine, _)| engine.clone())
    }

    async fn inflict(&self, at_ms: u64, index: usize, fault: Fault) {
        tokio::time::sleep_until(self.begun + Duration::from_millis(at_ms)).await;
        match fault {
            Fault::Crash { back_ms } => {
                let Some((engine, link)) = self.take(index) else {
                    return;
                };
                link.set(Mode::Cut);
                engine.abort().await;
                sleep(Duration::from_millis(back_ms)).await;
                self.boot(index).await;
            }
            Fault::Leave { back_ms } => {
                let Some((engine, link)) = self.take(index) else {
                    return;
                };
                let _ = timeout(
                    Duration::from_secs(60),
                    engine.shutdown_within(Duration::from_secs(2)),
                )
                .await;
                link.set(Mode::Cut);
                drop(engine);
                sleep(Duration::from_millis(back_ms)).await;
                self.boot(index).await;
            }
            Fault::Pause { ms } | Fault::Cut { ms } => {
                let Some(link) = self.link(index) else { return };
                if *link.mode.borrow() != Mode::Open {
                    return;
                }
                let mode = if matches!(fault, Fault::Cut { .. }) {
                    Mode::Cut
                } else {
                    Mode::Held
                };
                link.set(mode);
                sleep(Duration::from_millis(ms)).await;
                // Unless it has died meanwhile.
                if self
                    .link(index)
                    .is_some_and(|now| now.mode.same_channel(&link.mode))
                    || mode == Mode::Held
                {
                    link.set(Mode::Open);
                }
            }
            Fault::Skew { by_ms, ms } => {
                let Some(link) = self.link(index) else { return };
                link.skew_ms.store(by_ms, Ordering::SeqCst);
                sleep(Duration::from_millis(ms)).await;
                link.skew_ms.store(0, Ordering::SeqCst);
            }
        }
    }

    /// One client: starts an instance, sends what it waits for, wants its result; each by whatever node it finds.
    async fn client(&self, number: u64) {
        sleep(Duration::from_millis(self.draw(60_000))).await;
        let (id, count) = (format!("i{number}"), self.draw(8));
        let is_family = self.draw(3) == 0;
        let is_dozing = self.draw(2) == 0;
        self.insist(async |engine| {
            if is_family {
                let start = engine.start(family(count)).id(id.as_str());
                start.on_existing(ExistingId::ReturnExisting).await.is_ok()
            } else if is_dozing {
                let start = engine.start(dozing(count)).id(id.as_str());
                start.on_existing(ExistingId::ReturnExisting).await.is_ok()
            } else {
                let start = engine.start(steps(count)).id(id.as_str());
                start.on_existing(ExistingId::ReturnExisting).await.is_ok()
            }
        })
        .await;
        let id: workflow_runtime::InstanceId = id.parse().unwrap();
        if is_family {
            let expected: u64 = (0..count).map(|n| n % 3 + 1).sum();
            self.insist(
                async |engine| match engine.handle::<family>(id.clone()).result().await {
                    Ok(sum) => {
                        assert_eq!(sum, expected, "{id}");
                        true
                    }
                    Err(_) => false,
                },
            )
            .await;
            return;
        }
        sleep(Duration::from_millis(self.draw(20_000))).await;
        self.insist(async |engine| {
            let sent = if is_dozing {
                let handle = engine.handle::<dozing>(id.clone());
                handle.signal(Note(1000)).request_id("note").await
            } else {
                let handle = engine.handle::<steps>(id.clone());
                handle.signal(Note(1000)).request_id("note").await
            };
            sent.is_ok()
        })
        .await;
        let sum = if is_dozing { 1000 } else { count + 1000 };
        self.insist(async |engine| {
            let result = if is_dozing {
                engine.handle::<dozing>(id.clone()).result().await
            } else {
                engine.handle::<steps>(id.clone()).result().await
            };
            if let Ok(result) = &result {
                assert_eq!(*result, sum, "{id}");
            }
            result.is_ok()
        })
        .await;
    }

    /// Tries with one node after the other until it is done.
    async fn insist(&self, work: impl AsyncFn(&WorkflowEngine<App>) -> bool) {
        loop {
            if let Some(engine) = self.engine()
                && timeout(Duration::from_secs(30), work(&engine)).await == Ok(true)
            {
                return;
            }
            sleep(Duration::from_millis(300)).await;
            assert!(
                self.begun.elapsed() < FAULTY + PROGRESS,
                "no progress after the faults have ended"
            );
        }
    }
}

async fn simulate(plan: Plan) {
    let world = World {
        random: RefCell::new(Random(plan.seed ^ 0x5eed)),
        audit: Audit::new(),
        hints: InProcessHints::default(),
        log: EffectLog::new(),
        nodes: RefCell::new((0..NODES).map(|_| None).collect()),
        begun: Instant::now(),
        plan,
    };
    for index in 0..NODES {
        world.boot(index).await;
    }
    let faults = world
        .plan
        .faults
        .iter()
        .map(|(at_ms, index, fault)| world.inflict(*at_ms, *index, *fault));
    let clients = (0..INSTANCES).map(|number| world.client(number));
    let watch = async {
        loop {
            sleep(Duration::from_millis(100)).await;
            if let Some(broken) = world.audit.broken.lock().unwrap().clone() {
                panic!("{broken}");
            }
        }
    };
    tokio::select! {
        biased;
        () = watch => {}
        _ = async { tokio::join!(futures_util::future::join_all(faults), futures_util::future::join_all(clients)) } => {}
    }
    let broken = world.audit.broken.lock().unwrap().clone();
    assert_eq!(broken, None);
    let nodes: Vec<_> = world.nodes.borrow_mut().drain(..).flatten().collect();
    for (engine, _) in nodes {
        engine.abort().await;
    }
}

/// Runs a plan; the error is what was broken.
fn run(plan: &Plan) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(simulate(plan.clone()))));
    outcome.map_err(
        |panic| match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(message), _) => message.clone(),
            (_, Some(message)) => (*message).to_owned(),
            _ => "a panic".to_owned(),
        },
    )
}

/// The smallest plan that fails, as far as leaving out one thing after the other finds it.
fn shrink(mut plan: Plan, mut error: String) -> (Plan, String) {
    'smaller: loop {
        for smaller in plan.smaller() {
            if let Err(found) = run(&smaller) {
                (plan, error) = (smaller, found);
                continue 'smaller;
            }
        }
        return (plan, error);
    }
}

#[test]
fn whatever_fails_nothing_is_lost_and_nothing_is_done_twice() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("WORKFLOW_SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("WORKFLOW_SIMULATION_RUNS").unwrap_or(60)).collect(),
    };
    println!("{} plans from seed {}", seeds.len(), seeds[0]);
    for seed in seeds {
        let plan = Plan::of(seed);
        if let Err(error) = run(&plan) {
            let (small, small_error) = shrink(plan, error.clone());
            panic!(
                "{error}\nrepeat it with WORKFLOW_SIMULATION_SEED={seed}\n\nas small as it gets: {small_error}\n{small:#?}"
            );
        }
    }
}
