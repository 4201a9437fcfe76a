//! A node that can be cut off, and the workflows that the nodes run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use workflow_runtime::cluster::{Cluster, NodeState};
use workflow_runtime::prelude::*;
use workflow_runtime::store::{Batch, CommitProfile, Error, MemoryStore, Store, StoreFuture, Verdict};
use workflow_runtime::testing::{EffectLog, VirtualClock};

pub(crate) const LEASE: Duration = Duration::from_secs(10);

pub(crate) fn memory() -> MemoryStore {
    MemoryStore::with_clock(VirtualClock::new())
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Note(pub(crate) u64);
impl Signal for Note {
    const NAME: &'static str = "note";
}

#[task]
async fn step(context: &TaskContext, State(log): State<EffectLog>, n: u64) -> u64 {
    log.record(context, n.to_string());
    tokio::time::sleep(Duration::from_secs(1)).await;
    n + 1
}

/// A step a second, then a message.
#[workflow]
pub(crate) async fn steps(count: u64) -> u64 {
    let mut n = 0;
    while n < count {
        n = step(n).await;
    }
    n + receive::<Note>().await.0
}

#[workflow]
pub(crate) async fn napping(seconds: u64) -> u64 {
    sleep(Duration::from_secs(seconds)).await;
    seconds
}

/// Naps between its steps, and takes a message whenever it comes.
#[workflow]
pub(crate) async fn dozing(count: u64) -> u64 {
    for n in 0..count {
        sleep("1s").await;
        step(n).await;
    }
    receive::<Note>().await.0
}

#[workflow]
pub(crate) async fn family(children: u64) -> u64 {
    let mut handles = Vec::new();
    for n in 0..children {
        handles.push(napping(n % 3 + 1).start().await);
    }
    let mut sum = 0;
    for handle in handles {
        sum += handle.await;
    }
    sum
}

/// How a task of it was told to stop.
#[derive(Clone, Default)]
pub(crate) struct Stopped(pub(crate) Arc<AtomicU64>);

#[task]
async fn stubborn(context: &TaskContext, State(stopped): State<Stopped>) {
    let context = context.clone();
    tokio::spawn(async move {
        context.cancelled().await;
        stopped.0.fetch_add(1, Ordering::SeqCst);
    });
    std::future::pending::<()>().await;
}

#[workflow]
pub(crate) async fn endless() {
    stubborn().await;
}

#[update(reply = u64)]
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Add(pub(crate) u64);

/// Adds up, and tells the sum to everybody who adds.
#[workflow]
pub(crate) async fn tally(count: u64) -> u64 {
    let mut sum = 0;
    let mut seen = 0;
    while seen < count {
        publish!(sum);
        select! {
            (add, responder) = receive_update::<Add>() => {
                sum += add.0;
                responder.respond(sum);
            },
            note = receive::<Note>() => sum += note.0,
        }
        seen += 1;
    }
    sum
}

workflows! { pub(crate) App { steps, dozing, napping, family, endless, tally } }

/// The way of one node to the store.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    store: Arc<dyn Store>,
    /// What the way does now.
    pub(crate) mode: watch::Sender<Mode>,
    pub(crate) requests: Arc<AtomicU64>,
    /// How far the time that this node sees is off, in milliseconds.
    pub(crate) skew_ms: Arc<AtomicI64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    /// Requests fail.
    Cut,
    /// Requests and answers wait, as if the process was stopped while they were on their way.
    Held,
}

impl Link {
    pub(crate) fn new(store: impl Store) -> Self {
        Link {
            store: Arc::new(store),
            mode: watch::Sender::new(Mode::Open),
            requests: Arc::default(),
            skew_ms: Arc::default(),
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    async fn pass(&self) -> Result<(), Error> {
        let mut mode = self.mode.subscribe();
        let now = *mode.wait_for(|mode| *mode != Mode::Held).await.unwrap();
        match now {
            Mode::Cut => Err(Error::Unavailable("cut off".to_owned())),
            _ => Ok(()),
        }
    }

    async fn through<T>(&self, work: StoreFuture<'_, T>) -> Result<T, Error> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.pass().await?;
        let answer = work.await;
        self.pass()
            .await
            .map_err(|_| Error::Unknown("cut off".to_owned()))?;
        answer
    }
}

impl Store for Link {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(self.through(self.store.get(keys)))
    }
    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        Box::pin(self.through(self.store.scan(range, limit)))
    }
    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(self.through(self.store.commit(group)))
    }
    fn now_ms(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let now_ms = self.through(self.store.now_ms()).await?;
            Ok(now_ms.saturating_add_signed(self.skew_ms.load(Ordering::SeqCst)))
        })
    }
    fn profile(&self) -> CommitProfile {
        self.store.profile()
    }
}

pub(crate) struct Node {
    pub(crate) engine: WorkflowEngine<App>,
    pub(crate) link: Link,
    pub(crate) log: EffectLog,
    pub(crate) stopped: Stopped,
}

pub(crate) async fn node(store: &MemoryStore, name: &str) -> Node {
    node_with(store, Cluster::node(name).lease(LEASE)).await
}

pub(crate) async fn node_with(store: &MemoryStore, cluster: Cluster) -> Node {
    let (link, log, stopped) = (Link::new(store.clone()), EffectLog::new(), Stopped::default());
    let builder = WorkflowEngine::<App>::builder()
        .store(link.clone())
        .cluster(cluster);
    let engine = builder
        .state(log.clone())
        .state(stopped.clone())
        .build()
        .await
        .unwrap();
    Node {
        engine,
        link,
        log,
        stopped,
    }
}

/// The nodes by name, with their state and number of shards.
pub(crate) async fn shards(node: &Node) -> BTreeMap<String, (NodeState, usize)> {
    let nodes = node.engine.health().nodes().await.unwrap();
    nodes
        .into_iter()
        .map(|node| (node.name, (node.state, node.shards)))
        .collect()
}

pub(crate) async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Waits until every node is up and has its part; how long it took.
pub(crate) async fn balanced(node: &Node, nodes: usize) -> Duration {
    let begun = tokio::time::Instant::now();
    loop {
        let now = shards(node).await;
        let up: Vec<usize> = now
            .values()
            .filter(|(state, _)| *state == NodeState::Up)
            .map(|(_, shards)| *shards)
            .collect();
        let (least, most) = (up.iter().min().copied(), up.iter().max().copied());
        if up.len() == nodes && up.iter().sum::<usize>() == 64 && most.unwrap_or(0) - least.unwrap_or(0) <= 1
        {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < LEASE * 10, "no balance: {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
