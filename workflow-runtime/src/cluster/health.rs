//! Which nodes there are, what they do, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::members::{self, BeatRecord, Member, NodeInfo, NodeRecord, NodeRegistration, NodeState};
use super::membership::{down, roster};
use crate::engine::BuildError;
use crate::engine::committer::commit_one;
use crate::engine::core::decode;
use crate::engine::lease::LeaseRecord;
use crate::engine::open;
use crate::keys::Keys;
use crate::record;
use crate::store::{self, Batch, Condition, Store, Verdict, Write};

/// Why something about a node could not be done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// There is no such node.
    #[error("there is no node with the number {number}")]
    NotFound {
        /// The number.
        number: u64,
    },
    /// The node was declared down; it has to register again.
    #[error("the node {number} was declared down; register it again")]
    Down {
        /// The number.
        number: u64,
    },
    /// Others changed the nodes at the same moment, again and again.
    #[error("the nodes changed at the same moment, again and again; try again")]
    Contended,
    /// The store failed, or holds another format.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store holds another version's records.
    #[error(transparent)]
    Build(Box<BuildError>),
}

/// Sees and steers the nodes of a cluster; engines that take part in it do the same by themselves.
///
/// ```
/// use std::time::Duration;
/// use workflow_runtime::cluster::{HealthManager, NodeEvent, NodeRegistration, NodeState};
/// use workflow_runtime::store::MemoryStore;
/// use workflow_runtime::testing::VirtualClock;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// let health = HealthManager::open(MemoryStore::with_clock(VirtualClock::new()), "default").await?;
/// let mut check = health.start_health_check(Duration::from_secs(1));
///
/// let mut node = health.register_node(NodeRegistration::new("importer"), Duration::from_secs(30)).await?;
/// assert!(matches!(check.next().await, Some(NodeEvent::Joined(node)) if node.name == "importer"));
/// health.heartbeat(&mut node).await?;
/// assert_eq!(health.nodes().await?[0].state, NodeState::Up);
///
/// // It is not heard of any more.
/// while let Some(event) = check.next().await {
///     if let NodeEvent::Changed(node) = event && node.state == NodeState::Down { break }
/// }
/// assert!(health.heartbeat(&mut node).await.is_err());
/// # Ok::<(), workflow_runtime::cluster::HealthError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct HealthManager {
    store: Arc<dyn Store>,
    keys: Keys,
}

impl fmt::Debug for HealthManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HealthManager")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A node that was registered by hand.
#[derive(Debug)]
pub struct RegisteredNode {
    number: u64,
    lease: Duration,
    beat: u64,
    stored: Bytes,
}

impl RegisteredNode {
    /// Its number: each registration gets a higher one than all before.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// What [`HealthCheck`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A node that was not there before.
    Joined(NodeInfo),
    /// A node changed its state, or the number of its shards.
    Changed(NodeInfo),
    /// A node has left in order, or was down for long.
    Left {
        /// The node's number.
        number: u64,
        /// Its name.
        name: String,
    },
}

/// A check of all nodes' health that is under way. It ends when this is dropped.
#[derive(Debug)]
pub struct HealthCheck {
    events: mpsc::Receiver<NodeEvent>,
    task: tokio::task::JoinHandle<()>,
}

impl HealthCheck {
    /// Waits for the next change.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        self.events.recv().await
    }
}

impl Drop for HealthCheck {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HealthManager {
    /// The nodes of a namespace in a store, which is prepared if no engine has been there yet.
    ///
    /// # Errors
    /// When the store fails or holds another version's records.
    pub async fn open(store: impl Store, namespace: &str) -> Result<Self, HealthError> {
        let store: Arc<dyn Store> = Arc::new(store);
        let shards = open::header(store.as_ref()).await.map_err(built)?.shards;
        Ok(Self::over(store, Keys::new(namespace, shards)))
    }

    pub(crate) fn over(store: Arc<dyn Store>, keys: Keys) -> Self {
        HealthManager { store, keys }
    }

    /// Registers a node that is not an engine: it is seen and watched as one, and gets no shards. It has to be heard of
    /// within `lease`, by the store's clock.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn register_node(
        &self,
        registration: NodeRegistration,
        lease: Duration,
    ) -> Result<RegisteredNode, HealthError> {
        for _ in 0..100 {
            let header = open::header(self.store.as_ref()).await.map_err(built)?;
            let number = header.number;
            let record = NodeRecord::new(&registration);
            let mut node = RegisteredNode {
                number,
                lease,
                beat: 0,
                stored: Bytes::new(),
            };
            let mut batch = header.batch;
            node.stored = self.next_beat(&node, NodeState::Joining).await?;
            batch
                .writes
                .push(Write::Put(self.keys.node(number), record::encode(&record)));
            batch
                .writes
                .push(Write::Put(self.keys.beat(number), node.stored.clone()));
            batch.writes.push(roster(&self.keys, number << 32));
            if commit_one(self.store.as_ref(), &batch).await? == Verdict::Applied {
                return Ok(node);
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        Err(HealthError::Contended)
    }

    async fn next_beat(&self, node: &RegisteredNode, state: NodeState) -> Result<Bytes, HealthError> {
        let now_ms = self.store.now_ms().await?;
        let lease_ms = u64::try_from(node.lease.as_millis()).unwrap_or(u64::MAX);
        Ok(BeatRecord {
            state,
            beat: node.beat,
            expires_ms: now_ms.saturating_add(lease_ms),
        }
        .encode())
    }

    /// Says that a node that was registered by hand is alive.
    ///
    /// # Errors
    /// [`HealthError::Down`] when it was declared down meanwhile.
    pub async fn heartbeat(&self, node: &mut RegisteredNode) -> Result<(), HealthError> {
        for _ in 0..3 {
            node.beat += 1;
            let value = self.next_beat(node, NodeState::Up).await?;
            let key = self.keys.beat(node.number);
            let batch = Batch {
                conditions: vec![Condition::Equals(key.clone(), node.stored.clone())],
                writes: vec![Write::Put(key.clone(), value.clone())],
            };
            if commit_one(self.store.as_ref(), &batch).await? == Verdict::Applied {
                node.stored = value;
                return Ok(());
            }
            // An earlier heartbeat whose outcome was unknown, unless it is down.
            let found = self.store.get(std::slice::from_ref(&key)).await?.pop().flatten();
            let Some(found) = found else { break };
            if decode::<BeatRecord>(&key, &found)?.state == NodeState::Down {
                break;
            }
            node.stored = found;
        }
        Err(HealthError::Down { number: node.number })
    }

    /// Takes the record of a node away that was registered by hand.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn deregister_node(&self, node: RegisteredNode) -> Result<(), HealthError> {
        let batch = Batch {
            conditions: vec![Condition::Equals(
                self.keys.beat(node.number),
                node.stored.clone(),
            )],
            writes: vec![
                roster(&self.keys, (node.number << 32) + node.beat + 1),
                Write::Delete(self.keys.beat(node.number)),
                Write::Delete(self.keys.node(node.number)),
            ],
        };
        commit_one(self.store.as_ref(), &batch).await?;
        Ok(())
    }

    /// All nodes, by number; those that are down are there for an hour.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, HealthError> {
        let members = members::read(self.store.as_ref(), &self.keys, &BTreeMap::new()).await?;
        self.infos(&members).await
    }

    async fn infos(&self, members: &BTreeMap<u64, Member>) -> Result<Vec<NodeInfo>, HealthError> {
        let keys: Vec<Bytes> = self.keys.shards().map(|shard| self.keys.lease(shard)).collect();
        let mut shards: BTreeMap<u64, usize> = BTreeMap::new();
        for (key, value) in keys.iter().zip(self.store.get(&keys).await?) {
            if let Some(value) = value {
                let lease: LeaseRecord = decode(key, &value)?;
                *shards.entry(lease.node).or_default() += 1;
            }
        }
        let info = |(number, member): (&u64, &Member)| NodeInfo {
            number: *number,
            name: member.record.name.clone(),
            address: member.record.address.clone(),
            build: member.record.build.clone(),
            workflows: member.record.workflows.keys().cloned().collect(),
            state: member.beat.state,
            recovery: member.record.recovery,
            shards: shards.get(number).copied().unwrap_or(0),
            expires_ms: member.beat.expires_ms,
        };
        Ok(members.iter().map(info).collect())
    }

    /// Tells a node to hand its shards over. It keeps running, without any, until it is shut down.
    ///
    /// # Errors
    /// [`HealthError::NotFound`] and [`HealthError::Down`].
    pub async fn drain(&self, number: u64) -> Result<(), HealthError> {
        self.change(number, |beat| BeatRecord {
            state: NodeState::Draining,
            ..beat
        })
        .await
    }

    /// Declares a node down now, whatever its lease and its recovery policy say: the others take its shards. If it is
    /// alive it can write nothing under them any more, and joins again.
    ///
    /// # Errors
    /// [`HealthError::NotFound`]; a node that is down already is no error.
    pub async fn handle_node_failure(&self, number: u64) -> Result<(), HealthError> {
        let declared = self
            .change(number, |beat| BeatRecord {
                state: NodeState::Down,
                ..beat
            })
            .await;
        match declared {
            Err(HealthError::Down { .. }) => Ok(()),
            declared => declared,
        }
    }

    async fn change(
        &self,
        number: u64,
        change: impl Fn(BeatRecord) -> BeatRecord,
    ) -> Result<(), HealthError> {
        let key = self.keys.beat(number);
        // The node's own heartbeat may come first.
        for _ in 0..20 {
            let found = self.store.get(std::slice::from_ref(&key)).await?.pop().flatten();
            let Some(found) = found else {
                return Err(HealthError::NotFound { number });
            };
            let beat: BeatRecord = decode(&key, &found)?;
            if beat.state == NodeState::Down {
                return Err(HealthError::Down { number });
            }
            let count = beat.beat;
            let batch = Batch {
                conditions: vec![Condition::Equals(key.clone(), found)],
                writes: vec![
                    Write::Put(key.clone(), change(beat).encode()),
                    // No node writes a roster with the lower half of the number this high.
                    roster(&self.keys, (number << 32) + u64::from(u32::MAX) - count % 1000),
                ],
            };
            if commit_one(self.store.as_ref(), &batch).await? == Verdict::Applied {
                return Ok(());
            }
        }
        Err(HealthError::Contended)
    }

    /// Looks at all nodes once in a `period`, declares down those that were not heard of in time (as their recovery policy
    /// says), and tells what changes. Engines do the first part by themselves.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_health_check(&self, period: Duration) -> HealthCheck {
        let (sender, events) = mpsc::channel(1024);
        let health = self.clone();
        let task = tokio::spawn(async move {
            let mut before = BTreeMap::new();
            loop {
                // A store that cannot be read now is read again at the next look.
                if let Ok(now) = health.check().await {
                    for event in changes(&before, &now) {
                        if sender.send(event).await.is_err() {
                            return;
                        }
                    }
                    before = now;
                }
                tokio::time::sleep(period).await;
            }
        });
        HealthCheck { events, task }
    }

    async fn check(&self) -> Result<BTreeMap<u64, NodeInfo>, HealthError> {
        let mut members = members::read(self.store.as_ref(), &self.keys, &BTreeMap::new()).await?;
        let now_ms = self.store.now_ms().await?;
        for (number, member) in &mut members {
            if member.is_down() || member.falls_ms().is_none_or(|falls_ms| falls_ms > now_ms) {
                continue;
            }
            let batch = Batch {
                conditions: vec![member.unchanged(&self.keys, *number)],
                writes: vec![
                    down(&self.keys, *number, member),
                    roster(
                        &self.keys,
                        (*number << 32) + u64::from(u32::MAX) - member.beat.beat % 1000,
                    ),
                ],
            };
            if commit_one(self.store.as_ref(), &batch).await? == Verdict::Applied {
                member.beat.state = NodeState::Down;
            }
        }
        let infos = self.infos(&members).await?;
        Ok(infos.into_iter().map(|info| (info.number, info)).collect())
    }
}

fn built(error: BuildError) -> HealthError {
    match error {
        BuildError::Store(error) => error.into(),
        error => HealthError::Build(Box::new(error)),
    }
}

fn changes(before: &BTreeMap<u64, NodeInfo>, now: &BTreeMap<u64, NodeInfo>) -> Vec<NodeEvent> {
    let mut events = Vec::new();
    for (number, info) in now {
        match before.get(number) {
            None => events.push(NodeEvent::Joined(info.clone())),
            Some(old) if (old.state, old.shards) != (info.state, info.shards) => {
                events.push(NodeEvent::Changed(info.clone()));
            }
            Some(_) => {}
        }
    }
    for (number, info) in before {
        if !now.contains_key(number) {
            events.push(NodeEvent::Left {
                number: *number,
                name: info.name.clone(),
            });
        }
    }
    events
}
