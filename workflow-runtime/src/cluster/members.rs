//! The records of nodes: what each is, and until when it is taken to be alive.
//!
//! A node's heartbeat is written under the condition that its last one is still there. Whoever declares it down changes
//! that record, so a node that was declared down learns of it with its next heartbeat, and is never up again under that
//! number: it joins anew.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::engine::core::decode;
use crate::keys::Keys;
use crate::record;
use crate::record::CLOSING;
use crate::store::{self, Condition, Store};

/// What a node does with its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NodeState {
    /// It is registered, and has no shards yet.
    Joining,
    /// It runs instances.
    Up,
    /// It hands its shards to the others, and leaves.
    Draining,
    /// It is not heard of any more; its shards go to the others.
    Down,
}

/// What becomes of the shards of a node that is not heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NodeRecovery {
    /// The others take them when its lease has ended.
    #[default]
    TakeOver,
    /// The others take them when it has not come back for so many milliseconds after the end of its lease: for nodes
    /// whose restart is cheaper than moving their work.
    After {
        /// Milliseconds after the end of the lease.
        wait_ms: u64,
    },
    /// The others take them when somebody says so: [`HealthManager::handle_node_failure`](super::HealthManager::handle_node_failure).
    Manual,
}

impl NodeRecovery {
    /// Waits for the node to come back before its shards are taken.
    pub fn after(wait: Duration) -> Self {
        NodeRecovery::After {
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What a node says of itself when it registers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "give it to `HealthManager::register_node`"]
pub struct NodeRegistration {
    pub(super) name: String,
    pub(super) address: Option<String>,
    pub(super) build: String,
    pub(super) recovery: NodeRecovery,
    pub(super) runs: bool,
    pub(super) workflows: BTreeMap<String, Vec<String>>,
}

impl NodeRegistration {
    /// A node with this name, which is unique among those that run.
    pub fn new(name: impl Into<String>) -> Self {
        NodeRegistration {
            name: name.into(),
            address: None,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            recovery: NodeRecovery::default(),
            runs: false,
            workflows: BTreeMap::new(),
        }
    }

    /// Where the others reach it; its name unless told.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// The build of its program.
    pub fn build(mut self, build: impl Into<String>) -> Self {
        self.build = build.into();
        self
    }

    /// What becomes of its shards when it is not heard of.
    pub fn recovery(mut self, recovery: NodeRecovery) -> Self {
        self.recovery = recovery;
        self
    }
}

/// A node, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its number: each registration gets a higher one than all before.
    pub number: u64,
    /// The name that it gave itself.
    pub name: String,
    /// Where the others reach it.
    pub address: String,
    /// The build of its program.
    pub build: String,
    /// The workflows that it knows.
    pub workflows: Vec<String>,
    /// What it does.
    pub state: NodeState,
    /// What becomes of its shards when it is not heard of.
    pub recovery: NodeRecovery,
    /// How many shards it has.
    pub shards: usize,
    /// Until when it is taken to be alive, in milliseconds since the Unix epoch by the store's clock.
    pub expires_ms: u64,
}

/// What a node is; written once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NodeRecord {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) build: String,
    pub(super) recovery: NodeRecovery,
    /// Whether it is an engine, which can have shards.
    pub(super) runs: bool,
    /// The workflows that it knows, and their points.
    pub(super) workflows: BTreeMap<String, Vec<String>>,
}

impl NodeRecord {
    pub(super) fn new(registration: &NodeRegistration) -> Self {
        NodeRecord {
            name: registration.name.clone(),
            address: registration
                .address
                .clone()
                .unwrap_or_else(|| registration.name.clone()),
            build: registration.build.clone(),
            recovery: registration.recovery,
            runs: registration.runs,
            workflows: registration.workflows.clone(),
        }
    }

    /// Whether the node can run an instance of this workflow that is at this point (`None`: at its start).
    pub(super) fn knows(&self, workflow: &str, point: Option<&str>) -> bool {
        self.workflows.get(workflow).is_some_and(|points| {
            point.is_none_or(|point| point == CLOSING || points.iter().any(|known| known == point))
        })
    }
}

/// Until when a node is taken to be alive; written with each heartbeat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BeatRecord {
    pub(super) state: NodeState,
    /// Tells one heartbeat from the next.
    pub(super) beat: u64,
    pub(super) expires_ms: u64,
}

impl BeatRecord {
    pub(super) fn encode(&self) -> Bytes {
        record::encode(self)
    }
}

/// A node and its last heartbeat.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) record: NodeRecord,
    pub(super) beat: BeatRecord,
    /// The heartbeat as it is stored.
    pub(super) stored: Bytes,
}

impl Member {
    /// When its shards may be taken; `None` for never by itself.
    pub(super) fn falls_ms(&self) -> Option<u64> {
        match self.record.recovery {
            NodeRecovery::TakeOver => Some(self.beat.expires_ms),
            NodeRecovery::After { wait_ms } => Some(self.beat.expires_ms.saturating_add(wait_ms)),
            NodeRecovery::Manual => None,
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.beat.state == NodeState::Down
    }

    /// Nothing but its own heartbeat has been written since this was read.
    pub(super) fn unchanged(&self, keys: &Keys, number: u64) -> Condition {
        Condition::Equals(keys.beat(number), self.stored.clone())
    }
}

/// Reads all nodes, by number. `known` are those whose records need not be read again: they do not change.
pub(super) async fn read(
    store: &dyn Store,
    keys: &Keys,
    known: &BTreeMap<u64, Member>,
) -> Result<BTreeMap<u64, Member>, store::Error> {
    let beats = scan(store, keys.beats()).await?;
    let numbers: Vec<u64> = beats.iter().filter_map(|(key, _)| Keys::number_of(key)).collect();
    let unknown: Vec<u64> = numbers
        .iter()
        .copied()
        .filter(|number| !known.contains_key(number))
        .collect();
    let mut records: BTreeMap<u64, NodeRecord> = BTreeMap::new();
    if !unknown.is_empty() {
        let wanted: Vec<Bytes> = unknown.iter().map(|number| keys.node(*number)).collect();
        let found = store.get(&wanted).await?;
        for ((number, key), value) in unknown.into_iter().zip(wanted).zip(found) {
            // Removed just now.
            let Some(value) = value else { continue };
            records.insert(number, decode(&key, &value)?);
        }
    }
    let mut members = BTreeMap::new();
    for ((key, value), number) in beats.into_iter().zip(numbers) {
        let record = known
            .get(&number)
            .map(|member| member.record.clone())
            .or_else(|| records.remove(&number));
        if let Some(record) = record {
            let beat = decode(&key, &value)?;
            let stored = value;
            members.insert(number, Member { record, beat, stored });
        }
    }
    Ok(members)
}

/// More nodes than this are read in several scans.
const PAGE: usize = 1000;

pub(super) async fn scan(
    store: &dyn Store,
    range: std::ops::Range<Bytes>,
) -> Result<Vec<(Bytes, Bytes)>, store::Error> {
    let mut all: Vec<(Bytes, Bytes)> = Vec::new();
    loop {
        let start = all
            .last()
            .map_or_else(|| range.start.clone(), |(key, _)| crate::keys::after(key));
        let page = store.scan(start..range.end.clone(), PAGE).await?;
        let full = page.len() == PAGE;
        all.extend(page);
        if !full {
            return Ok(all);
        }
    }
}
