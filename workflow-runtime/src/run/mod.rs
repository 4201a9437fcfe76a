//! An instance at work: what it may write, what it waits for, and the lines of execution in it.
//!
//! An instance has one main line; a join or select splits it into branches, each a line with a scope of its own. All
//! lines run in one task. The instance leaves the memory when every line waits for something outside of it.
//!
//! Invariant: as long as any line has something to do, the instance's ready record is in the store. It is removed only
//! under the value that was last read, which every message changes.

mod ledger;
mod messages;
mod outside;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;
use workflow_model::{BlockedReason, InstanceId};

use crate::child;
use crate::engine::children;
use crate::engine::committer::Gathered;
use crate::engine::core::{Core, Message};
use crate::engine::early;
use crate::engine::hot::{Hot, Verb};
use crate::engine::start::StartError;
use crate::halt::Halt;
use crate::keys::{self, Kind};
use crate::operation;
use crate::record::{self, AttemptsRecord, ChildEnd, GivenRecord, MessageRecord, Position, StateWriter};
use crate::store::{self, Batch, Condition, Verdict, Write};

pub(crate) use self::ledger::Ledger;
pub(crate) use self::outside::{Answer, Outbox};
pub(crate) use self::waiting::Lines;

/// One line of execution of an instance that really runs.
#[doc(hidden)]
pub struct Run {
    pub(crate) core: Arc<Core>,
    pub(crate) hot: Arc<Hot>,
    pub(crate) id: InstanceId,
    pub(crate) token: u64,
    pub(crate) step: u64,
    pub(crate) starting: Option<Starting>,
    pub(crate) given: Option<GivenRecord>,
    /// The instance that is told of this one's end.
    pub(crate) parent: Option<InstanceId>,
    /// How many ended instances of this id it has replaced.
    pub(crate) restarts: u32,
    /// The pending step was committed in this life of the instance, not loaded.
    pub(crate) fresh: bool,
    /// Records that this line's next batch removes.
    pub(crate) obsolete: Vec<Bytes>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) scope: Scope,
    /// The steps of the lines whose blocks this line is in, outermost first.
    pub(crate) above: Arc<[u64]>,
    /// Where this line's state stands.
    pub(crate) state_key: Bytes,
    ready_key: Bytes,
}

/// The place of a branch: the numbers of the branches that lead to it. The main line's is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope(Vec<u32>);

impl Scope {
    pub(crate) fn branch(&self, index: u32) -> Self {
        let mut path = self.0.clone();
        path.push(index);
        Scope(path)
    }

    pub(crate) fn above(&self) -> Self {
        let mut path = self.0.clone();
        path.pop();
        Scope(path)
    }

    pub(crate) fn is_main(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_within(&self, other: &Scope) -> bool {
        self.0.starts_with(&other.0)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|index| index.to_be_bytes()).collect()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        rest.is_empty()
            .then(|| Scope(numbers.iter().map(|number| u32::from_be_bytes(*number)).collect()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|index| write!(formatter, ".{index}"))
    }
}

/// The part of the first batch that makes the instance exist.
pub(crate) struct Starting {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) writes: Vec<Write>,
    /// Which condition says that no message came before the start, if one can have come.
    pub(crate) early: Option<usize>,
    pub(crate) workflow: &'static str,
    /// There are messages for the instance already.
    pub(crate) tells: bool,
    pub(crate) reply: oneshot::Sender<Result<(), StartError>>,
}

/// What the lines of an instance share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<SharedState>,
    /// What the branches want to be committed; handed over when a poll of the instance ends.
    pub(crate) gathered: Gathered,
    /// What it has to tell.
    pub(crate) outbox: Arc<Outbox>,
    /// Held while messages are read, so that lines look at them in the order in which they began to.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
pub(crate) struct SharedState {
    /// The value of the ready record, as far as this instance knows; `None` when there is none.
    pub(crate) ready: Option<Bytes>,
    /// Messages that are stored and not received yet, as of the last look: those of each name, oldest first. No list is
    /// empty. Thousands of lines may look for their own at a time.
    messages: BTreeMap<String, VecDeque<Message>>,
    /// Messages that a line has received and whose records are not removed yet.
    taken: BTreeMap<Bytes, Scope>,
    /// How often a taken message's record was removed.
    removals: u64,
    /// What the instance was told when it last read its messages.
    read_at: u64,
    /// Results of branches that have ended.
    pub(crate) done: BTreeMap<Scope, Bytes>,
    /// It may have links to children.
    pub(crate) has_children: bool,
    /// Some of them may have to end before it does.
    pub(crate) may_wait: bool,
    /// Failed attempts of pending tasks.
    pub(crate) attempts: BTreeMap<Scope, AttemptsRecord>,
    /// Outputs that an operator gave in the place of branches' tasks.
    pub(crate) given: BTreeMap<Scope, Bytes>,
    /// Where blocks stood when the instance was loaded, until their lines go on.
    pub(crate) positions: BTreeMap<Scope, Position>,
    /// The large values that these positions refer to.
    pub(crate) sides: BTreeMap<u32, Bytes>,
    /// The number of the next large value that gets a record of its own.
    pub(crate) next_side: u32,
    /// What the lines below the main one may have in the store.
    pub(crate) ledger: Ledger,
    /// Lines that have not ended.
    lines: usize,
    /// Lines that wait for something outside of the instance, with the time at which they go on by themselves.
    waiting: Vec<Option<u64>>,
    /// All lines wait, and the committer knows.
    idle: bool,
}

impl Default for SharedState {
    fn default() -> Self {
        SharedState {
            ready: None,
            messages: BTreeMap::new(),
            taken: BTreeMap::new(),
            removals: 0,
            read_at: 0,
            done: BTreeMap::new(),
            has_children: false,
            may_wait: false,
            attempts: BTreeMap::new(),
            given: BTreeMap::new(),
            positions: BTreeMap::new(),
            sides: BTreeMap::new(),
            next_side: 0,
            ledger: Ledger::default(),
            lines: 1,
            waiting: Vec::new(),
            idle: false,
        }
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Run")
            .field("id", &self.id)
            .field("step", &self.step)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Run {
    pub(crate) fn new(core: Arc<Core>, hot: Arc<Hot>, id: InstanceId, token: u64) -> Self {
        let (state_key, ready_key) = (core.keys.of(Kind::State, &id), core.keys.of(Kind::Ready, &id));
        Run {
            core,
            hot,
            id,
            token,
            step: 0,
            starting: None,
            given: None,
            parent: None,
            restarts: 0,
            fresh: false,
            obsolete: Vec::new(),
            shared: Arc::default(),
            scope: Scope::default(),
            above: Arc::default(),
            state_key,
            ready_key,
        }
    }

    /// The line of a branch.
    pub(crate) fn branch(&self, index: u32) -> Self {
        Run {
            core: self.core.clone(),
            hot: self.hot.clone(),
            id: self.id.clone(),
            token: self.token,
            step: self.step,
            starting: None,
            given: None,
            parent: None,
            restarts: self.restarts,
            fresh: self.fresh,
            obsolete: Vec::new(),
            shared: self.shared.clone(),
            scope: self.scope.branch(index),
            above: self.above.clone(),
            state_key: self.state_key.clone(),
            ready_key: self.ready_key.clone(),
        }
    }

    /// The line of the block that this line awaits: it has steps and a state of its own.
    pub(crate) fn block(&self) -> Self {
        let mut line = self.branch(0);
        line.above = self.above.iter().copied().chain([self.step]).collect();
        line.step = 0;
        line.fresh = false;
        line.state_key = self
            .core
            .keys
            .scoped(Kind::Position, &self.id, &line.scope.bytes());
        line
    }

    /// This line among all that the instance has ever had, in text; empty for the main line.
    pub(crate) fn line(&self) -> String {
        let mut line = self.scope.to_string();
        for step in self.above.iter().rev() {
            line.push('@');
            line.push_str(&step.to_string());
        }
        line
    }

    pub(crate) fn attempts_key(&self) -> Bytes {
        if self.scope.is_main() {
            self.core.keys.of(Kind::Attempts, &self.id)
        } else {
            self.core
                .keys
                .scoped(Kind::Attempts, &self.id, &self.scope.bytes())
        }
    }

    pub(crate) fn branch_key(&self) -> Bytes {
        self.core.keys.scoped(Kind::Branch, &self.id, &self.scope.bytes())
    }

    /// A line of the same instance with another scope.
    pub(crate) fn at(&self, scope: &Scope) -> Self {
        let mut line = self.branch(0);
        line.scope = scope.clone();
        line
    }

    /// The scope under which the winner of this line's select stands; no branch has so high a number.
    pub(crate) fn winner_scope(&self) -> Scope {
        self.scope.branch(u32::MAX)
    }

    /// The key of the winner of the select that this line is a branch of.
    pub(crate) fn winner_key_above(&self) -> Bytes {
        self.at(&self.scope.above()).winner_key()
    }

    pub(crate) fn winner_key(&self) -> Bytes {
        self.core
            .keys
            .scoped(Kind::Branch, &self.id, &self.winner_scope().bytes())
    }

    /// The failed attempts of this line's pending task.
    pub(crate) fn attempts(&self) -> Option<AttemptsRecord> {
        let attempts = self.shared.lock().attempts.get(&self.scope).cloned();
        attempts.filter(|attempts| attempts.step == self.step)
    }

    /// When an operator let the pending step begin anew.
    pub(crate) fn retried_ms(&self) -> Option<u64> {
        let shared = self.shared.lock();
        let main = shared.attempts.get(&Scope::default());
        let step = self.above.first().copied().unwrap_or(self.step);
        main.filter(|attempts| attempts.step == step)?.retried_ms
    }

    // Batches.

    /// A batch under the lease of this instance, with what the last step left to remove, and the start if it is the first one.
    pub(crate) fn batch(&mut self) -> Batch {
        let mut batch = Batch {
            conditions: vec![self.hot.lease.fence()],
            writes: Vec::new(),
        };
        if let Some(starting) = &mut self.starting {
            batch.conditions.append(&mut starting.conditions);
            batch.writes.append(&mut starting.writes);
        }
        let attempts = self.shared.lock().attempts.remove(&self.scope);
        if let Some(attempts) = attempts {
            if attempts.timer {
                self.obsolete
                    .push(self.core.keys.timer(&self.id, attempts.due_ms));
            }
            self.obsolete.push(self.attempts_key());
        }
        batch.writes.extend(self.obsolete.drain(..).map(Write::Delete));
        batch
    }

    /// Commits a batch that leaves the instance ready, or waiting for something outside of it. An instance that waits
    /// must not miss a message: the ready record, which a sender changes, is removed only if it is as it was read.
    pub(crate) async fn commit_ready(&mut self, batch: Batch, stays_ready: bool) -> Result<(), Halt> {
        self.enter(&batch);
        let deletes = batch.writes.iter().filter_map(|write| match write {
            Write::Delete(key) => Some(key.clone()),
            Write::Put(..) => None,
        });
        let deleted: Vec<Bytes> = deletes.collect();
        self.commit_and_stay(batch, stays_ready).await?;
        self.strike(&deleted);
        Ok(())
    }

    async fn commit_and_stay(&mut self, mut batch: Batch, stays_ready: bool) -> Result<(), Halt> {
        let guard = batch.conditions.len();
        let stays_ready = stays_ready || self.starting.as_ref().is_some_and(|starting| starting.tells);
        let removed: Vec<Bytes> = self.taken_in(&batch);
        let mut becomes_ready = false;
        {
            let mut shared = self.shared.lock();
            match (&shared.ready, stays_ready) {
                (None, true) => {
                    let value = Bytes::copy_from_slice(&self.core.next_message().to_be_bytes());
                    // Another node may have written one, with a message that this instance was not told of. One that
                    // starts has no messages.
                    if self.core.membership.is_some() && self.starting.is_none() {
                        batch.conditions.push(Condition::Absent(self.ready_key.clone()));
                    }
                    batch
                        .writes
                        .push(Write::Put(self.ready_key.clone(), value.clone()));
                    self.hot.note_ready(&value);
                    shared.ready = Some(value);
                    becomes_ready = true;
                }
                (Some(value), false) => {
                    batch
                        .conditions
                        .push(Condition::Equals(self.ready_key.clone(), value.clone()));
                    batch.writes.push(Write::Delete(self.ready_key.clone()));
                    // A line that goes on meanwhile writes it anew.
                    shared.ready = None;
                }
                _ => {}
            }
        }
        let is_guarded = batch.conditions.len() > guard;
        match self.commit(batch).await? {
            None => {
                self.forget_taken(&removed);
                Ok(())
            }
            Some((index, mut batch)) if index == guard && is_guarded => {
                // A message came in the meantime: stay ready, and look at it.
                batch.conditions.truncate(guard);
                batch.writes.retain(|write| match write {
                    Write::Delete(key) | Write::Put(key, _) => *key != self.ready_key,
                });
                if becomes_ready {
                    self.shared.lock().ready = None;
                }
                match self.commit(batch).await? {
                    None => {
                        self.forget_taken(&removed);
                        self.hot.tell();
                        self.look_at_messages().await
                    }
                    Some(_) => Err(Halt::IdTaken),
                }
            }
            Some(_) => {
                if becomes_ready {
                    self.shared.lock().ready = None;
                }
                Err(Halt::IdTaken)
            }
        }
    }

    /// Commits a batch. While the store is unavailable this waits and tries again, except for an instance's first
    /// batch, whose caller gets the error. A failed condition other than the fence is given back with the batch.
    pub(crate) async fn commit(&mut self, mut batch: Batch) -> Result<Option<(usize, Batch)>, Halt> {
        let told = self.tell_outside(&mut batch);
        match self.commit_whole(batch).await? {
            None => {
                self.was_told(told);
                Ok(None)
            }
            Some((index, mut batch)) => {
                Self::take_back(&told, &mut batch);
                Ok(Some((index, batch)))
            }
        }
    }

    async fn commit_whole(&mut self, mut batch: Batch) -> Result<Option<(usize, Batch)>, Halt> {
        let mut starting = self.starting.take();
        let (mut failures, mut unknown) = (0, false);
        loop {
            let committer = &self.core.committer;
            let mut answer = if self.scope.is_main() {
                committer.commit(batch).await
            } else {
                committer.commit_gathered(&self.shared.gathered, batch).await
            };
            let error = match answer.result {
                Ok(Verdict::Applied) => {
                    if let Some(starting) = starting {
                        if starting.tells {
                            self.hot.tell();
                        }
                        // A caller who went away has started the instance all the same.
                        let _ = starting.reply.send(Ok(()));
                    }
                    self.core.counters.committed();
                    return Ok(None);
                }
                Ok(Verdict::Conflict(0)) => {
                    self.core.lose(&self.hot.lease);
                    if let Some(starting) = starting {
                        let _ = starting.reply.send(Err(StartError::Fenced));
                    }
                    return Err(Halt::Fenced);
                }
                Ok(Verdict::Conflict(_))
                    if unknown && self.core.committer.is_applied(&answer.batch).await =>
                {
                    return Ok(None);
                }
                // The first condition is the fence, those of the start follow.
                Ok(Verdict::Conflict(index))
                    if starting
                        .as_ref()
                        .is_some_and(|starting| starting.early.is_some_and(|early| early + 1 == index)) =>
                {
                    let taken_over = match &mut starting {
                        Some(starting) => self.take_over(starting, index, &mut answer.batch).await,
                        None => Ok(()),
                    };
                    match taken_over {
                        Ok(()) => {
                            batch = answer.batch;
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Ok(Verdict::Conflict(index)) => {
                    if let Some(starting) = starting {
                        let _ = starting
                            .reply
                            .send(Err(StartError::AlreadyExists { id: self.id.clone() }));
                        return Err(Halt::NotStarted);
                    }
                    return Ok(Some((index, answer.batch)));
                }
                Err(error) => error,
            };
            if let Some(starting) = starting {
                let _ = starting.reply.send(Err(StartError::Store(error)));
                return Err(Halt::NotStarted);
            }
            if matches!(error, store::Error::TooLarge { .. }) {
                return Err(Halt::Unencodable {
                    variable: "the state".to_owned(),
                    error: error.to_string(),
                });
            }
            // Tried again it may meet itself.
            unknown |= matches!(error, store::Error::Unknown(_));
            batch = answer.batch;
            failures += 1;
            self.hot.lease.gate.wait_for_store(failures).await?;
        }
    }

    /// A message came while the instance was about to start: it is taken over.
    async fn take_over(
        &self,
        starting: &mut Starting,
        index: usize,
        batch: &mut Batch,
    ) -> Result<(), store::Error> {
        let key = self.core.keys.of(Kind::Early, &self.id);
        let found = self.core.read_one(&key).await?;
        let early = early::take_over(&self.core, &self.id, starting.workflow, found).await?;
        if let Some(condition) = batch.conditions.get_mut(index) {
            *condition = early.condition;
        }
        batch.writes.extend(early.writes);
        starting.tells |= early.tells;
        let is_ready = |write: &Write| matches!(write, Write::Put(key, _) if *key == self.ready_key);
        if starting.tells && !batch.writes.iter().any(is_ready) {
            let value = Bytes::copy_from_slice(&self.core.next_message().to_be_bytes());
            batch
                .writes
                .push(Write::Put(self.ready_key.clone(), value.clone()));
            self.shared.lock().ready = Some(value);
        }
        Ok(())
    }

    /// Stores failed attempts of the pending task; with a timer the line waits outside of the memory.
    pub(crate) async fn store_attempts(&mut self, attempts: AttemptsRecord) -> Result<(), Halt> {
        let key = self.attempts_key();
        let mut batch = self.batch();
        // The record is replaced, not removed.
        batch
            .writes
            .retain(|write| !matches!(write, Write::Delete(other) if *other == key));
        batch.writes.push(Write::Put(key, record::encode(&attempts)));
        if attempts.timer {
            batch.writes.push(Write::Put(
                self.core.keys.timer(&self.id, attempts.due_ms),
                Bytes::new(),
            ));
        }
        // Other lines may have something to do.
        let stays_ready = !attempts.timer || !self.scope.is_main();
        self.shared.lock().attempts.insert(self.scope.clone(), attempts);
        self.commit_ready(batch, stays_ready).await
    }

    /// Stores that the process died while this step was pending.
    pub(crate) async fn note_crash(&mut self, attempts: AttemptsRecord) -> Result<(), Halt> {
        let mut batch = Batch {
            conditions: vec![self.hot.lease.fence()],
            writes: Vec::new(),
        };
        batch
            .writes
            .push(Write::Put(self.attempts_key(), record::encode(&attempts)));
        self.shared.lock().attempts.insert(self.scope.clone(), attempts);
        match self.commit(batch).await? {
            None => Ok(()),
            Some(_) => Err(Halt::Fenced),
        }
    }

    /// The instance ends in the middle of a step: what the step has in the store goes with it.
    pub(crate) async fn sweep(&mut self) -> Result<(), store::Error> {
        let stored = self.core.step_records(&self.id).await?;
        self.obsolete.extend(stored);
        // A line that was dropped may have a batch on its way.
        let left = self.shared.lock().ledger.keys();
        self.obsolete.extend(left);
        Ok(())
    }

    /// Ends the instance, or blocks it. `true` says that it leaves children who have to be told of its end: its ready
    /// record stays until they are.
    pub(crate) async fn close(
        &mut self,
        outcome: &record::OutcomeRecord,
        sides: Vec<Bytes>,
    ) -> Result<bool, Halt> {
        self.look_at_messages().await?;
        let children = !outcome.end.is_open() && self.has_open_children().await?;
        let mut batch = self.batch();
        batch.writes.push(Write::Put(
            self.core.keys.of(Kind::Outcome, &self.id),
            record::encode(outcome),
        ));
        let (open, mut ready) = (outcome.end.is_open(), false);
        if let record::End::Blocked { reason } = &outcome.end {
            // Another version of the program may be able to read it: it is looked at again by the next one.
            ready = matches!(reason, BlockedReason::Undecodable { .. });
        }
        if !open {
            if self.step > 0 {
                batch.writes.push(Write::Delete(self.state_key.clone()));
            }
            batch.writes.extend(sides.into_iter().map(Write::Delete));
            let messages = std::mem::take(&mut self.shared.lock().messages);
            batch.writes.extend(
                messages
                    .into_values()
                    .flatten()
                    .map(|message| Write::Delete(message.key)),
            );
        }
        let tells = self.starting.as_ref().is_some_and(|starting| starting.tells);
        if children || tells {
            let value = Bytes::copy_from_slice(&self.core.next_message().to_be_bytes());
            batch.writes.push(Write::Put(self.ready_key.clone(), value));
        } else if self.shared.lock().ready.is_some() && !ready {
            batch.writes.push(Write::Delete(self.ready_key.clone()));
        }
        batch.writes.extend(self.hot.lease.end());
        let own = (batch.conditions.len(), batch.writes.len());
        let parent = self.parent.clone().filter(|_| !open);
        if let Some(parent) = &parent {
            let key = self
                .core
                .keys
                .message(parent, self.core.now_ms(), self.core.next_message());
            let message =
                MessageRecord::signal(child::ended(&self.id), record::encode(&ChildEnd::of(outcome)));
            // Only a parent that has not ended has a state.
            batch
                .conditions
                .push(Condition::Present(self.core.keys.of(Kind::State, parent)));
            self.core
                .ready_elsewhere(parent, keys::nonce(&key), &mut batch.writes);
            batch.writes.push(Write::Put(key, record::encode(&message)));
        }
        if let Some((index, mut batch)) = self.commit(batch).await? {
            if index < own.0 {
                return Err(Halt::Fenced);
            }
            batch.conditions.truncate(own.0);
            batch.writes.truncate(own.1);
            if self.commit(batch).await?.is_some() {
                return Err(Halt::Fenced);
            }
        } else if let Some(parent) = parent {
            self.core.wake(&parent);
        }
        Ok(children)
    }

    /// Whether the instance, whose code has returned, has to wait for children.
    pub(crate) async fn has_to_wait(&self) -> Result<bool, Halt> {
        if !self.shared.lock().may_wait {
            return Ok(false);
        }
        let mut failures = 0;
        loop {
            match children::survey(&self.core, &self.id).await {
                Ok(open) => {
                    // Nobody is left who could start one.
                    self.shared.lock().has_children = open.any;
                    return Ok(open.awaited);
                }
                Err(error @ store::Error::Corrupt(_)) => return Err(Halt::Store(error)),
                Err(_) => {
                    failures += 1;
                    self.hot.lease.gate.wait_for_store(failures).await?;
                }
            }
        }
    }

    /// Stores what the code returned in the place of the state: none of the code runs again.
    pub(crate) async fn store_return(
        &mut self,
        outcome: &record::OutcomeRecord,
        sides: Vec<Bytes>,
    ) -> Result<(), Halt> {
        let operation = operation::write_end(outcome);
        let state = StateWriter::new(self.step, record::CLOSING, &operation, 0).finish();
        let mut batch = self.batch();
        batch.writes.extend(sides.into_iter().map(Write::Delete));
        batch.writes.push(Write::Put(self.state_key.clone(), state));
        self.commit_ready(batch, true).await
    }

    async fn has_open_children(&self) -> Result<bool, Halt> {
        if !self.shared.lock().has_children {
            return Ok(false);
        }
        let mut failures = 0;
        loop {
            match children::any_open(&self.core, &self.id).await {
                Ok(any) => return Ok(any),
                Err(error @ store::Error::Corrupt(_)) => return Err(Halt::Store(error)),
                Err(_) => {
                    failures += 1;
                    self.hot.lease.gate.wait_for_store(failures).await?;
                }
            }
        }
    }

    // Orders.

    /// An order to cancel that the code was not told of yet.
    pub(crate) fn check_cancelled(&self) -> Result<(), Halt> {
        match self.hot.ordered(|verb| verb == Verb::Cancel) {
            Some(order) => Err(Halt::Cancelled { reason: order.reason }),
            None => Ok(()),
        }
    }

    /// The output that an operator gave in the place of the pending task's.
    pub(crate) fn take_given(&mut self) -> Option<Bytes> {
        if self.scope.is_main() {
            let given = self.given.take().filter(|given| given.step == self.step)?;
            self.obsolete.push(self.core.keys.of(Kind::Given, &self.id));
            return Some(given.output);
        }
        // The line stands where it stood when the output was given: it goes on with the pending task.
        let given = self.shared.lock().given.remove(&self.scope)?;
        let key = self.core.keys.scoped(Kind::Given, &self.id, &self.scope.bytes());
        self.obsolete.push(key);
        Some(given)
    }
}
