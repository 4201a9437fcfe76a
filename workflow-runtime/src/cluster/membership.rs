//! A node's place in the cluster: it joins, keeps its lease alive, gets and gives shards, and leaves.
//!
//! One task of the node does all of it in turns ([`turn`]); another stops what runs under the node's leases when their
//! local deadline has passed ([`watch_deadline`]), whatever the first one is waiting for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use workflow_model::InstanceId;

use super::assign::targets;
use super::hints::{Hint, HintReceiver};
use super::members::{self, BeatRecord, Member, NodeRecord, NodeState};
use super::options::Cluster;
use super::{orphans, poll};
use crate::engine::committer::{commit_each, commit_one};
use crate::engine::core::{Core, decode};
use crate::engine::lease::{Deadline, Lease, LeaseRecord};
use crate::engine::open::{self, Header};
use crate::engine::{BuildError, Entry};
use crate::keys::Keys;
use crate::record;
use crate::store::{self, Batch, Condition, Store, Verdict, Write};

/// How long dropped tasks may take to be gone before their shard is given away all the same.
const STOP: Duration = Duration::from_secs(5);
/// For how long a node that is down can be seen.
const REMEMBERED_MS: u64 = 3_600_000;
/// How often joining is tried again when others join at the same moment.
const JOINS: u32 = 100;

/// A node's place in the cluster.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(super) options: Cluster,
    record: NodeRecord,
    number: AtomicU64,
    pub(super) deadline: Arc<Deadline>,
    deadline_moved: Notify,
    own: tokio::sync::Mutex<Own>,
    view: RwLock<Arc<View>>,
    /// The nodes or the leases may have changed.
    pub(super) changed: Notify,
    is_draining: AtomicBool,
    /// Another node or engine has taken this one's place.
    is_replaced: AtomicBool,
    handing: Mutex<BTreeSet<u16>>,
    pub(super) poll: poll::State,
    pub(super) orphans: orphans::State,
}

/// What the node's own task keeps between its turns.
#[derive(Debug)]
struct Own {
    beat: u64,
    /// The node's last heartbeat as it is stored.
    stored: Bytes,
    next_beat: Instant,
    /// The epoch under which each shard was held last.
    adopted: BTreeMap<u16, u64>,
    has_fallen: bool,
}

/// What the node knows of the others.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) members: BTreeMap<u64, Member>,
    leases: Vec<Option<(LeaseRecord, Bytes)>>,
    now_ms: u64,
}

impl View {
    /// For each shard, its holder if it is one of `nodes`.
    fn holders(&self, nodes: &[u64]) -> Vec<Option<u64>> {
        let holder = |lease: &Option<(LeaseRecord, Bytes)>| lease.as_ref().map(|(lease, _)| lease.node);
        let among = |node: &u64| nodes.contains(node);
        self.leases
            .iter()
            .map(|lease| holder(lease).filter(among))
            .collect()
    }

    /// The node that has a shard.
    pub(super) fn holder(&self, shard: u16) -> Option<(u64, &Member)> {
        let (lease, _) = self.leases.get(usize::from(shard))?.as_ref()?;
        Some((lease.node, self.members.get(&lease.node)?))
    }

    pub(super) fn is_alive(&self, number: u64) -> bool {
        self.members.get(&number).is_some_and(|member| !member.is_down())
    }
}

/// What [`join`] gives.
pub(crate) struct Joined {
    pub(crate) number: u64,
    pub(crate) keys: Keys,
    pub(crate) membership: Membership,
}

/// Registers a node. It has no shards yet.
pub(crate) async fn join<'e>(
    store: &dyn Store,
    namespace: &str,
    mut options: Cluster,
    entries: impl Iterator<Item = &'e Entry>,
) -> Result<Joined, BuildError> {
    options.registration.workflows = entries
        .map(|entry| {
            let points = entry.points.iter().map(|point| (*point).to_owned()).collect();
            (entry.name.to_owned(), points)
        })
        .collect();
    options.registration.runs = true;
    let record = NodeRecord::new(&options.registration);
    let deadline = Arc::new(Deadline::never());
    let (number, keys, own) = register(store, namespace, &record, options.lease, &deadline).await?;
    let membership = Membership {
        options,
        record,
        number: AtomicU64::new(number),
        deadline,
        deadline_moved: Notify::new(),
        own: tokio::sync::Mutex::new(own),
        view: RwLock::default(),
        changed: Notify::new(),
        is_draining: AtomicBool::new(false),
        is_replaced: AtomicBool::new(false),
        handing: Mutex::default(),
        poll: poll::State::default(),
        orphans: orphans::State::default(),
    };
    Ok(Joined {
        number,
        keys,
        membership,
    })
}

/// Writes the records of a new node, in the place of one that has its name.
async fn register(
    store: &dyn Store,
    namespace: &str,
    record: &NodeRecord,
    lease: Duration,
    deadline: &Deadline,
) -> Result<(u64, Keys, Own), BuildError> {
    for attempt in 0..JOINS {
        let begun = Instant::now();
        let Header {
            number,
            shards,
            mut batch,
        } = open::header(store).await?;
        let keys = Keys::new(namespace, shards);
        let members = members::read(store, &keys, &BTreeMap::new()).await?;
        let now_ms = store.now_ms().await?;
        let beat = BeatRecord {
            state: NodeState::Joining,
            beat: 0,
            expires_ms: now_ms.saturating_add(millis(lease)),
        };
        let stored = beat.encode();
        for (other, member) in &members {
            if member.record.name == record.name && !member.is_down() {
                batch.conditions.push(member.unchanged(&keys, *other));
                batch.writes.push(down(&keys, *other, member));
            }
        }
        batch
            .writes
            .push(Write::Put(keys.node(number), record::encode(record)));
        batch.writes.push(Write::Put(keys.beat(number), stored.clone()));
        batch.writes.push(roster(&keys, number << 32));
        if commit_one(store, &batch).await? == Verdict::Applied {
            deadline.set(begun + local(lease));
            let own = Own {
                beat: 0,
                stored,
                next_beat: Instant::now(),
                adopted: BTreeMap::new(),
                has_fallen: false,
            };
            return Ok((number, keys, own));
        }
        // Others join at this moment: one of them came first.
        tokio::time::sleep(Duration::from_millis(u64::from(attempt % 7) * 3 + 1)).await;
    }
    Err(BuildError::Contended)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// For how long a node trusts its heartbeat: clocks do not run equally fast.
fn local(lease: Duration) -> Duration {
    lease - lease / 10
}

pub(super) fn down(keys: &Keys, number: u64, member: &Member) -> Write {
    let beat = BeatRecord {
        state: NodeState::Down,
        ..member.beat.clone()
    };
    Write::Put(keys.beat(number), beat.encode())
}

/// Makes all nodes look at the members; `unique` is a number that nobody else writes.
pub(super) fn roster(keys: &Keys, unique: u64) -> Write {
    Write::Put(keys.roster(), Bytes::copy_from_slice(&unique.to_be_bytes()))
}

/// Starts the tasks of a node.
pub(crate) fn spawn(core: &Arc<Core>) {
    let Some(membership) = &core.membership else {
        return;
    };
    if let Some(hints) = &membership.options.hints {
        hints.listen(&membership.record.address, HintReceiver::new(core));
    }
    tokio::spawn(run(Arc::downgrade(core)));
    tokio::spawn(watch_deadline(Arc::downgrade(core)));
    tokio::spawn(poll::run(Arc::downgrade(core)));
}

impl Membership {
    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    pub(super) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn address(&self) -> &str {
        &self.record.address
    }

    /// Another engine has this one's place for good.
    pub(crate) fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::SeqCst)
    }

    /// Whether a node that is alive can run an instance of this workflow at this point.
    pub(crate) fn is_known(&self, workflow: &str, point: Option<&str>) -> bool {
        self.view()
            .members
            .values()
            .any(|member| !member.is_down() && member.record.knows(workflow, point))
    }

    /// The nodes may have changed.
    pub(crate) fn look(&self) {
        self.changed.notify_one();
    }

    /// Tells the node that has the instance's shard something, if it is another one.
    pub(crate) fn hint(&self, shard: u16, hint: Hint) {
        let Some(hints) = &self.options.hints else { return };
        let view = self.view();
        if let Some((number, member)) = view.holder(shard)
            && number != self.number()
        {
            hints.send(&member.record.address, hint);
        }
    }

    /// Tells all other nodes that the members have changed.
    pub(super) fn hint_members(&self) {
        let Some(hints) = &self.options.hints else { return };
        for (number, member) in &self.view().members {
            if *number != self.number() && !member.is_down() {
                hints.send(&member.record.address, Hint::Members);
            }
        }
    }

    pub(super) fn send(&self, address: &str, hint: Hint) {
        if let Some(hints) = &self.options.hints {
            hints.send(address, hint);
        }
    }

    fn handing(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.handing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_deadline(&self, until: Instant) {
        self.deadline.set(until);
        self.deadline_moved.notify_one();
    }
}

/// Takes turns until the engine ends.
async fn run(core: Weak<Core>) {
    loop {
        let Some(core) = core.upgrade() else { return };
        let Some(membership) = &core.membership else {
            return;
        };
        if core.gate.is_stopped() || membership.is_replaced() {
            return;
        }
        let pause = match turn(&core, membership).await {
            Ok(pause) => pause,
            Err(_) => membership.options.lease / 20,
        };
        tokio::select! {
            biased;
            () = core.gate.stopped() => return,
            () = membership.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Stops what runs under the node's leases when the node has not renewed them in time.
async fn watch_deadline(core: Weak<Core>) {
    loop {
        let Some(core) = core.upgrade() else { return };
        let Some(membership) = &core.membership else {
            return;
        };
        if core.gate.is_stopped() {
            return;
        }
        if membership.deadline.has_passed() {
            lose_all(&core, membership);
        }
        let until = match membership.deadline.at() {
            Some(until) if until > Instant::now() => until,
            _ => Instant::now() + Duration::from_secs(3600),
        };
        tokio::select! {
            biased;
            () = core.gate.stopped() => return,
            () = membership.deadline_moved.notified() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

fn lose_all(core: &Arc<Core>, membership: &Membership) {
    for lease in core.leases.all() {
        core.lose(&lease);
    }
    membership.orphans.lose_all(core);
}

/// One turn of the node: heartbeat, look at the others, take and give shards. Returns when the next one is due.
async fn turn(core: &Arc<Core>, membership: &Membership) -> Result<Duration, store::Error> {
    let mut own = membership.own.lock().await;
    if own.has_fallen {
        rejoin(core, membership, &mut own).await?;
        if membership.is_replaced() {
            return Ok(Duration::from_secs(1));
        }
    }
    if Instant::now() >= own.next_beat {
        beat(core, membership, &mut own).await?;
        if own.has_fallen {
            return Ok(Duration::ZERO);
        }
    }
    let view = look(core, membership).await?;
    declare(core, &view).await?;
    settle(core, membership, &mut own, &view).await?;
    orphans::look(core, membership).await?;
    let next_fall = view
        .members
        .iter()
        .filter(|(number, member)| **number != membership.number() && !member.is_down())
        .filter_map(|(_, member)| member.falls_ms())
        .min()
        .map_or(Duration::MAX, |falls_ms| {
            Duration::from_millis(falls_ms.saturating_sub(view.now_ms) + 1)
        });
    let next_beat = own.next_beat.saturating_duration_since(Instant::now());
    Ok(next_beat.min(next_fall).max(Duration::from_millis(5)))
}

/// Renews the node's lease. `has_fallen` tells that it was declared down.
async fn beat(core: &Arc<Core>, membership: &Membership, own: &mut Own) -> Result<(), store::Error> {
    let key = core.keys.beat(membership.number());
    let lease = membership.options.lease;
    for _ in 0..3 {
        let begun = Instant::now();
        let now_ms = core.store.now_ms().await?;
        let state = if membership.is_draining.load(Ordering::SeqCst) {
            NodeState::Draining
        } else {
            NodeState::Up
        };
        own.beat += 1;
        let value = BeatRecord {
            state,
            beat: own.beat,
            expires_ms: now_ms.saturating_add(millis(lease)),
        }
        .encode();
        let batch = Batch {
            conditions: vec![Condition::Equals(key.clone(), own.stored.clone())],
            writes: vec![Write::Put(key.clone(), value.clone())],
        };
        if commit_one(core.store.as_ref(), &batch).await? == Verdict::Applied {
            own.stored = value;
            own.next_beat = begun + lease / 4;
            membership.move_deadline(begun + local(lease));
            return Ok(());
        }
        // Declared down, told to drain, or an earlier heartbeat whose outcome was unknown.
        match core.read_one(&key).await? {
            Some(found) => {
                let record: BeatRecord = decode(&key, &found)?;
                if record.state == NodeState::Down {
                    break;
                }
                if record.state == NodeState::Draining {
                    membership.is_draining.store(true, Ordering::SeqCst);
                }
                own.beat = own.beat.max(record.beat);
                own.stored = found;
            }
            None => break,
        }
    }
    lose_all(core, membership);
    own.has_fallen = true;
    Ok(())
}

/// Registers again after the node was declared down, unless another one has its name or the store.
async fn rejoin(core: &Arc<Core>, membership: &Membership, own: &mut Own) -> Result<(), store::Error> {
    let view = look(core, membership).await?;
    let number = membership.number();
    let namesake = view.members.iter().any(|(other, member)| {
        *other > number && member.record.name == membership.record.name && !member.is_down()
    });
    if namesake || sole(&view).is_some_and(|sole| sole > number) {
        replaced(core, membership);
        return Ok(());
    }
    let registered = register(
        core.store.as_ref(),
        core.keys.namespace(),
        &membership.record,
        membership.options.lease,
        &membership.deadline,
    )
    .await;
    match registered {
        Ok((number, _, fresh)) => {
            membership.number.store(number, Ordering::SeqCst);
            membership.deadline_moved.notify_one();
            *own = fresh;
            Ok(())
        }
        Err(BuildError::Store(error)) => Err(error),
        Err(error) => Err(store::Error::Unavailable(error.to_string())),
    }
}

fn replaced(core: &Arc<Core>, membership: &Membership) {
    membership.is_replaced.store(true, Ordering::SeqCst);
    lose_all(core, membership);
    core.forget_waiters();
}

/// The engine that holds shards and shares them with nobody.
fn sole(view: &View) -> Option<u64> {
    let leases = view.leases.iter().flatten();
    leases
        .filter(|(lease, _)| lease.sole)
        .map(|(lease, _)| lease.node)
        .max()
}

/// Reads the nodes and the leases.
async fn look(core: &Arc<Core>, membership: &Membership) -> Result<Arc<View>, store::Error> {
    let before = membership.view();
    let members = members::read(core.store.as_ref(), &core.keys, &before.members).await?;
    let keys: Vec<Bytes> = core.keys.shards().map(|shard| core.keys.lease(shard)).collect();
    let found = core.store.get(&keys).await?;
    let mut leases = Vec::with_capacity(keys.len());
    for (key, value) in keys.iter().zip(found) {
        leases.push(match value {
            None => None,
            Some(value) => Some((decode(key, &value)?, value)),
        });
    }
    let view = Arc::new(View {
        members,
        leases,
        now_ms: core.store.now_ms().await?,
    });
    *membership.view.write().unwrap_or_else(PoisonError::into_inner) = view.clone();
    Ok(view)
}

/// Declares nodes down that were not heard of in time; forgets those that were down for long.
async fn declare(core: &Arc<Core>, view: &View) -> Result<(), store::Error> {
    let number = core
        .membership
        .as_ref()
        .map_or(0, |membership| membership.number());
    for (other, member) in &view.members {
        if *other == number {
            continue;
        }
        let mut batch = Batch {
            conditions: vec![member.unchanged(&core.keys, *other)],
            writes: Vec::new(),
        };
        if member.is_down() {
            let has_shards = view
                .leases
                .iter()
                .flatten()
                .any(|(lease, _)| lease.node == *other);
            if has_shards || view.now_ms < member.beat.expires_ms.saturating_add(REMEMBERED_MS) {
                continue;
            }
            batch.writes.push(Write::Delete(core.keys.node(*other)));
            batch.writes.push(Write::Delete(core.keys.beat(*other)));
        } else if member.falls_ms().is_some_and(|falls_ms| falls_ms <= view.now_ms) {
            batch.writes.push(down(&core.keys, *other, member));
            batch.writes.push(roster(&core.keys, core.next_message()));
        } else {
            continue;
        }
        if commit_one(core.store.as_ref(), &batch).await? == Verdict::Applied
            && let Some(membership) = &core.membership
        {
            // Its shards are taken in the next turn, which comes at once.
            membership.look();
        }
    }
    Ok(())
}

/// Takes and gives shards.
async fn settle(
    core: &Arc<Core>,
    membership: &Membership,
    own: &mut Own,
    view: &View,
) -> Result<(), store::Error> {
    let number = membership.number();
    if sole(view).is_some_and(|sole| sole > number) {
        replaced(core, membership);
        return Ok(());
    }
    let is_up = |member: &Member| {
        member.record.runs && matches!(member.beat.state, NodeState::Up | NodeState::Joining)
    };
    let nodes: Vec<u64> = view
        .members
        .iter()
        .filter(|(other, member)| is_up(member) && (**other != number || !membership.is_draining()))
        .map(|(number, _)| *number)
        .collect();
    let holders = view.holders(&nodes);
    let mut claims = Vec::new();
    for ((shard, lease), target) in core
        .keys
        .shards()
        .zip(&view.leases)
        .zip(targets(&holders, &nodes))
    {
        let stored = lease.as_ref().map(|(_, value)| value);
        let record = lease.as_ref().map(|(record, _)| record);
        let holder = record.map_or(0, |record| record.node);
        if let Some(held) = core.leases.at(shard) {
            if stored != Some(held.value()) {
                core.lose(&held);
            } else if let Some(target) = target.filter(|target| *target != number) {
                hand_over(core, &held, target);
            }
            continue;
        }
        // What ran under the last lease must be gone before anything runs under the next one.
        if membership.handing().contains(&shard)
            || !core.leases.is_clear(shard)
            || membership.deadline.has_passed()
        {
            continue;
        }
        if holder == number {
            let record = record
                .cloned()
                .unwrap_or_else(|| LeaseRecord::next(None, number, true));
            if own.adopted.get(&shard).is_none_or(|epoch| *epoch < record.epoch)
                && let Some(value) = stored
            {
                // Another node has given it to this one.
                adopt(core, own, shard, &record, value.clone(), membership);
                continue;
            }
            // It was lost here, and nobody has taken it: writes under the last lease may be on their way yet.
            claims.push((
                shard,
                stored.cloned(),
                LeaseRecord::next(Some(&record), number, false),
            ));
            continue;
        }
        if target == Some(number) && !view.is_alive(holder) {
            let clean = record.is_none_or(|record| record.node == 0 && record.clean);
            claims.push((shard, stored.cloned(), LeaseRecord::next(record, number, clean)));
        }
    }
    if claims.is_empty() {
        return Ok(());
    }
    let batches = claims
        .iter()
        .map(|(shard, stored, record)| {
            let key = core.keys.lease(*shard);
            Batch {
                conditions: vec![match stored {
                    None => Condition::Absent(key.clone()),
                    Some(value) => Condition::Equals(key.clone(), value.clone()),
                }],
                writes: vec![
                    Write::Put(key, record.encode()),
                    roster(&core.keys, core.next_message()),
                ],
            }
        })
        .collect();
    let verdicts = commit_each(core.store.as_ref(), batches).await;
    let mut again = false;
    for ((shard, _, record), verdict) in claims.into_iter().zip(verdicts) {
        match verdict {
            Ok(Verdict::Applied) => adopt(core, own, shard, &record, record.encode(), membership),
            _ => again = true,
        }
    }
    if again {
        return Err(store::Error::Unavailable(
            "some shards could not be taken".to_owned(),
        ));
    }
    membership.hint_members();
    Ok(())
}

impl Membership {
    /// Tells other nodes, where somebody waits for it, that an instance has ended.
    pub(crate) fn tell_watchers(&self, id: &InstanceId) {
        if self.options.hints.is_some() {
            for address in self.poll.take_watchers(id) {
                self.send(&address, Hint::Ended { id: id.clone() });
            }
        }
    }

    /// Somebody here waits for the end of an instance that another node may run.
    pub(crate) fn watch(&self, shard: u16, id: &InstanceId) {
        let (id, address) = (id.clone(), self.address().to_owned());
        self.hint(shard, Hint::Watch { id, address });
        self.poll.sooner.notify_one();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }
}

/// Begins to run the instances of a shard.
fn adopt(
    core: &Arc<Core>,
    own: &mut Own,
    shard: u16,
    record: &LeaseRecord,
    value: Bytes,
    membership: &Membership,
) {
    own.adopted.insert(shard, record.epoch);
    membership.poll.forget(shard);
    let lease = Lease::new(shard, core.keys.lease(shard), value, membership.deadline.clone());
    let lease = core.adopt(lease);
    let (core, clean) = (core.clone(), record.clean);
    tokio::spawn(async move {
        let mut failures = 0;
        while lease.check().is_ok() && open::recover(&core, shard, !clean).await.is_err() {
            failures += 1;
            if lease.gate.wait_for_store(failures).await.is_err() {
                return;
            }
        }
    });
}

/// Gives a shard to another node, when what runs there has come to a durable point.
fn hand_over(core: &Arc<Core>, lease: &Arc<Lease>, target: u64) {
    let Some(membership) = &core.membership else {
        return;
    };
    if !membership.handing().insert(lease.shard) {
        return;
    }
    let grace = membership.options.grace;
    let (core, lease) = (core.clone(), lease.clone());
    tokio::spawn(async move {
        give(&core, &lease, Some(target), grace).await;
        if let Some(membership) = &core.membership {
            membership.handing().remove(&lease.shard);
            membership.hint_members();
        }
    });
}

/// Stops what runs under a lease, and writes who has the shard from now on.
async fn give(core: &Arc<Core>, lease: &Arc<Lease>, target: Option<u64>, grace: Duration) {
    core.close(lease);
    if tokio::time::timeout(grace, lease.gate.emptied()).await.is_err() {
        lease.gate.stop();
        core.hot.wake(Some(lease));
        // A task that never yields cannot be dropped; the next holder attempts it again.
        let _ = tokio::time::timeout(STOP, lease.gate.emptied()).await;
    }
    let Ok(held) = decode::<LeaseRecord>(lease.key(), lease.value()) else {
        return;
    };
    let next = LeaseRecord::next(Some(&held), target.unwrap_or(0), true);
    let batch = Batch {
        conditions: vec![lease.fence()],
        writes: vec![
            Write::Put(lease.key().clone(), next.encode()),
            roster(&core.keys, core.next_message()),
        ],
    };
    for failures in 0..6 {
        match commit_one(core.store.as_ref(), &batch).await {
            // A conflict: somebody else has it already.
            Ok(_) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(10 << failures)).await,
        }
    }
}

/// Hands all shards over and takes the node's records away. What was not handed over in time is taken by the others.
pub(crate) async fn leave(core: &Arc<Core>, grace: Duration) {
    let Some(membership) = &core.membership else {
        return;
    };
    membership.is_draining.store(true, Ordering::SeqCst);
    let mut own = membership.own.lock().await;
    let _ = beat(core, membership, &mut own).await;
    let view = look(core, membership).await.unwrap_or_default();
    let number = membership.number();
    let nodes: Vec<u64> = view
        .members
        .iter()
        .filter(|(other, member)| {
            **other != number && member.record.runs && member.beat.state == NodeState::Up
        })
        .map(|(number, _)| *number)
        .collect();
    let holders = view.holders(&nodes);
    let targets = targets(&holders, &nodes);
    let leases = core.leases.all();
    let gifts = leases.iter().map(|lease| {
        let target = targets.get(usize::from(lease.shard)).copied().flatten();
        give(core, lease, target, grace)
    });
    let renewals = async {
        loop {
            tokio::time::sleep(membership.options.lease / 4).await;
            let _ = beat(core, membership, &mut own).await;
        }
    };
    tokio::select! {
        biased;
        () = async { futures_util::future::join_all(gifts).await; } => {}
        () = renewals => {}
    }
    orphans::give_all(core, membership, grace).await;
    let keys = &core.keys;
    let batch = Batch {
        conditions: vec![Condition::Equals(keys.beat(number), own.stored.clone())],
        writes: vec![
            roster(keys, core.next_message()),
            Write::Delete(keys.beat(number)),
            Write::Delete(keys.node(number)),
        ],
    };
    let _ = commit_one(core.store.as_ref(), &batch).await;
    membership.hint_members();
}
