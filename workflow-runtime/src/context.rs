//! A running instance's own view of itself: where it is, what it keeps, and what its next batch will write.
//!
//! One step is one batch: the state record, the large values that are new in it, and everything that became obsolete
//! with the step before (received messages, fired timers, failed attempts, large values that nothing needs any more).
//! The batch is built while the generated code saves its variables, and it is committed before the operation starts.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;
use workflow_model::{BlockedReason, InstanceId, codec};

use crate::Durable;
use crate::engine::core::Core;
use crate::engine::hot::Hot;
use crate::engine::core::Message;
use crate::engine::start::StartError;
use crate::halt::{Halt, HaltSlot};
use crate::keys::Kind;
use crate::operation::{Description, Operation, Parking, Prepared};
use crate::record::{self, AttemptsRecord, StateRecord, StateWriter, Stored, Value};
use crate::store::{self, Batch, Condition, Verdict, Write};

/// Values of at least this many bytes are written as records of their own, once, when they do not change.
const LARGE: usize = 1024;

/// What generated code passes to [`WorkflowContext::entry`]'s caller for describing instead of running.
pub(crate) const DESCRIBE: usize = usize::MAX;
const NO_SUCH_POINT: usize = usize::MAX - 1;

/// The place and the live variables of one workflow instance. Generated code drives it; there is nothing to call on it
/// by hand.
pub struct WorkflowContext {
    run: Option<Run>,
    halts: Arc<HaltSlot>,
    description: Description,
    points: &'static [&'static str],
    resume: Option<Resume>,
    building: Option<StateWriter>,
    save_error: Option<(String, String)>,
    scratch: Vec<u8>,
    state_bytes: usize,
    sides: Vec<Side>,
    next_side: u32,
    new_sides: Vec<(u32, Bytes)>,
}

/// What an instance has when it really runs.
pub(crate) struct Run {
    pub(crate) core: Arc<Core>,
    pub(crate) hot: Arc<Hot>,
    pub(crate) id: InstanceId,
    pub(crate) token: u64,
    pub(crate) step: u64,
    /// The value of the ready record, as far as this instance knows; `None` when there is none.
    pub(crate) ready: Option<Bytes>,
    pub(crate) attempts: Option<AttemptsRecord>,
    pub(crate) starting: Option<Starting>,
    /// Messages that are stored and not received yet, as of the last look.
    inbox: Vec<Message>,
    /// Records that the next batch removes.
    pub(crate) obsolete: Vec<Bytes>,
    state_key: Bytes,
    ready_key: Bytes,
}

/// The part of the first batch that makes the instance exist.
pub(crate) struct Starting {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) writes: Vec<Write>,
    pub(crate) reply: oneshot::Sender<Result<(), StartError>>,
}

/// A stored state, on its way back into variables.
pub(crate) struct Resume {
    pub(crate) point: String,
    pub(crate) operation: Bytes,
    pub(crate) variables: Vec<(String, Bytes)>,
}

struct Side {
    owner: Owner,
    encoded: Bytes,
    /// The record that holds it; a value seen large for the first time has none yet.
    number: Option<u32>,
    used: u64,
}

#[derive(PartialEq)]
enum Owner {
    /// The immutable variable of this number.
    Constant(u32),
    /// The variable stored under this name.
    Variable(String),
    /// Loaded from the store; whoever has the same value next takes it over.
    Loaded,
}

impl fmt::Debug for WorkflowContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("WorkflowContext");
        if let Some(run) = &self.run {
            debug.field("id", &run.id).field("step", &run.step);
        }
        debug.finish_non_exhaustive()
    }
}

impl WorkflowContext {
    /// A context in which the workflow tells its operations and does not run.
    pub(crate) fn describing() -> Self {
        Self::with(None, None)
    }

    pub(crate) fn starting(run: Run) -> Self {
        Self::with(Some(run), None)
    }

    /// A context that continues at `state`; `sides` are the large values that the state refers to.
    pub(crate) fn resuming(run: Run, state: &StateRecord, sides: Vec<(u32, Bytes)>) -> Result<Self, (Halt, Box<Run>)> {
        let mut variables = Vec::with_capacity(state.variables.len());
        for (name, value) in &state.variables {
            let bytes = match value {
                Value::Inline(bytes) => bytes.clone(),
                Value::Side(number) => match sides.iter().find(|(other, _)| other == number) {
                    Some((_, bytes)) => bytes.clone(),
                    None => {
                        let halt = Halt::undecodable(name, "its record is missing from the store");
                        return Err((halt, Box::new(run)));
                    }
                },
            };
            variables.push((name.clone(), bytes));
        }
        let resume = Resume { point: state.point.clone(), operation: state.operation.clone(), variables };
        let mut context = Self::with(Some(run), Some(resume));
        context.next_side = sides.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
        context.sides = sides
            .into_iter()
            .map(|(number, encoded)| Side { owner: Owner::Loaded, encoded, number: Some(number), used: 0 })
            .collect();
        Ok(context)
    }

    fn with(run: Option<Run>, resume: Option<Resume>) -> Self {
        WorkflowContext {
            run,
            halts: Arc::default(),
            description: Description::default(),
            points: &[],
            resume,
            building: None,
            save_error: None,
            scratch: Vec::new(),
            state_bytes: 0,
            sides: Vec::new(),
            next_side: 0,
            new_sides: Vec::new(),
        }
    }

    pub(crate) fn halts(&self) -> Arc<HaltSlot> {
        self.halts.clone()
    }

    pub(crate) fn into_description(self) -> Description {
        self.description
    }

    pub(crate) fn description(&mut self) -> &mut Description {
        &mut self.description
    }

    pub(crate) fn run(&mut self) -> Result<&mut Run, Halt> {
        self.run.as_mut().ok_or(Halt::Described)
    }

    /// The names of the variables whose values stand in records of their own, removed with the instance.
    pub(crate) fn side_keys(&self) -> Vec<Bytes> {
        let Some(run) = &self.run else { return Vec::new() };
        let numbers = self.sides.iter().filter_map(|side| side.number);
        numbers.map(|number| run.core.keys.side(&run.id, number)).collect()
    }

    // Called by generated code.

    #[doc(hidden)]
    pub fn entry(&mut self, points: &'static [&'static str]) -> usize {
        self.points = points;
        match (&self.run, &self.resume) {
            (None, _) => DESCRIBE,
            (Some(_), None) => 0,
            (Some(_), Some(resume)) => {
                points.iter().position(|point| *point == resume.point).map_or(NO_SUCH_POINT, |index| index + 1)
            }
        }
    }

    #[doc(hidden)]
    pub async fn halt<T>(&mut self, halt: Halt) -> T {
        self.halts.set(halt);
        std::future::pending().await
    }

    #[doc(hidden)]
    pub fn prepare<O: Operation>(&mut self, operation: O) -> Prepared<O> {
        let now_ms = self.run.as_ref().map_or(0, |run| run.core.now_ms());
        Prepared::new(operation, now_ms)
    }

    #[doc(hidden)]
    pub fn restore_operation<O: Operation>(&mut self) -> Result<Prepared<O>, Halt> {
        let encoded = self.resume.as_ref().map(|resume| resume.operation.clone()).unwrap_or_default();
        Prepared::restore(encoded)
    }

    /// Begins the record of a step; `None` when the step is the one that was resumed, whose record exists.
    #[doc(hidden)]
    pub fn checkpoint<O: Operation>(
        &mut self,
        point: usize,
        prepared: &Prepared<O>,
    ) -> Option<Saver<'_>> {
        if self.resume.take().is_some() {
            return None;
        }
        let step = match &mut self.run {
            Some(run) => {
                run.step += 1;
                run.step
            }
            None => 0,
        };
        let name = self.points.get(point).copied().unwrap_or_default();
        self.building = Some(StateWriter::new(step, name, prepared.bytes(), self.state_bytes));
        Some(Saver { context: self })
    }

    #[doc(hidden)]
    pub async fn perform<O: Operation>(&mut self, prepared: Prepared<O>) -> O::Output {
        match self.try_perform(prepared).await {
            Ok(output) => output,
            Err(halt) => self.halt(halt).await,
        }
    }

    /// An immutable variable is declared anew: its stored value is no longer its value.
    #[doc(hidden)]
    pub fn rebind(&mut self, slot: u32) {
        if let Some(side) = self.sides.iter_mut().find(|side| side.owner == Owner::Constant(slot)) {
            side.owner = Owner::Loaded;
        }
    }

    async fn try_perform<O: Operation>(&mut self, prepared: Prepared<O>) -> Result<O::Output, Halt> {
        let (operation, encoded) = prepared.into_parts()?;
        if let Some(state) = self.building.take() {
            if let Some((variable, error)) = self.save_error.take() {
                return Err(Halt::Unencodable { variable, error });
            }
            let mut parking = operation.parking();
            if let Parking::Message(signal) = parking {
                let run = self.run()?;
                run.look_at_messages().await?;
                if run.has_message(signal) {
                    parking = Parking::None;
                }
            }
            self.commit_step(state.finish(), parking).await?;
        }
        operation.perform(self, encoded).await
    }

    // Batches.

    async fn commit_step(&mut self, state: Bytes, parking: Parking) -> Result<(), Halt> {
        self.state_bytes = state.len() + 32;
        let new_sides = std::mem::take(&mut self.new_sides);
        let Some(run) = &mut self.run else { return Err(Halt::Described) };
        let step = run.step;
        let mut batch = run.batch();
        batch.writes.push(Write::Put(run.state_key.clone(), state));
        for (number, encoded) in new_sides {
            batch.writes.push(Write::Put(run.core.keys.side(&run.id, number), encoded));
        }
        self.sides.retain(|side| {
            let keep = side.used == step;
            if let (false, Some(number)) = (keep, side.number) {
                batch.writes.push(Write::Delete(run.core.keys.side(&run.id, number)));
            }
            keep
        });
        if let Parking::Timer(due_ms) = parking {
            batch.writes.push(Write::Put(run.core.keys.timer(&run.id, due_ms), Bytes::new()));
        }
        let stays_ready = parking == Parking::None;
        run.commit_ready(batch, stays_ready).await
    }

    // Variables.

    /// The value of a stored variable.
    pub(crate) fn restore<T: Durable>(&mut self, name: &str) -> Result<T, Halt> {
        let encoded = self.restore_encoded(name)?;
        codec::decode(&encoded).map_err(|error| Halt::undecodable(name, error))
    }

    pub(crate) fn restore_encoded(&self, name: &str) -> Result<Bytes, Halt> {
        let variables = self.resume.as_ref().map(|resume| &resume.variables[..]).unwrap_or_default();
        match variables.iter().find(|(other, _)| other == name) {
            Some((_, encoded)) => Ok(encoded.clone()),
            None => Err(Halt::undecodable(name, "the stored state has no such variable")),
        }
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
            ready: None,
            attempts: None,
            starting: None,
            inbox: Vec::new(),
            obsolete: Vec::new(),
            state_key,
            ready_key,
        }
    }

    /// A batch under this engine's fence, with what the last step left to remove, and the start if it is the first one.
    pub(crate) fn batch(&mut self) -> Batch {
        let mut batch = Batch { conditions: vec![self.core.fence.clone()], writes: Vec::new() };
        if let Some(starting) = &mut self.starting {
            batch.conditions.append(&mut starting.conditions);
            batch.writes.append(&mut starting.writes);
        }
        if self.attempts.take().is_some() {
            self.obsolete.push(self.core.keys.of(Kind::Attempts, &self.id));
        }
        batch.writes.extend(self.obsolete.drain(..).map(Write::Delete));
        batch
    }

    /// Commits a batch that leaves the instance ready, or waiting for something outside of it. An instance that waits
    /// must not miss a message: the ready record, which a sender changes, is removed only if it is as it was read.
    async fn commit_ready(&mut self, mut batch: Batch, stays_ready: bool) -> Result<(), Halt> {
        let guard = batch.conditions.len();
        match (&self.ready, stays_ready) {
            (None, true) => {
                batch.writes.push(Write::Put(self.ready_key.clone(), Bytes::new()));
                self.ready = Some(Bytes::new());
            }
            (Some(value), false) => {
                batch.conditions.push(Condition::Equals(self.ready_key.clone(), value.clone()));
                batch.writes.push(Write::Delete(self.ready_key.clone()));
            }
            _ => {}
        }
        match self.commit(batch).await? {
            None => {
                if !stays_ready {
                    self.ready = None;
                }
                Ok(())
            }
            Some((index, mut batch)) if index == guard => {
                // A message came in the meantime: stay ready, and look at it.
                batch.conditions.truncate(guard);
                batch.writes.retain(|write| !matches!(write, Write::Delete(key) if *key == self.ready_key));
                match self.commit(batch).await? {
                    None => {
                        self.hot.set_unread();
                        self.look_at_messages().await
                    }
                    Some(_) => Err(Halt::Fenced),
                }
            }
            Some(_) => Err(Halt::Fenced),
        }
    }

    async fn refresh_inbox(&mut self) -> Result<(), Halt> {
        let messages = self.core.read_messages(&self.id).await.map_err(Halt::Store)?;
        self.ready = self.core.read_one(&self.ready_key).await.map_err(Halt::Store)?;
        self.inbox = messages.into_iter().filter(|message| !self.obsolete.contains(&message.key)).collect();
        Ok(())
    }

    /// Reads the messages if there may be new ones.
    pub(crate) async fn look_at_messages(&mut self) -> Result<(), Halt> {
        let mut failures = 0;
        while self.hot.take_unread() {
            match self.refresh_inbox().await {
                Ok(()) => {}
                Err(Halt::Store(error)) if !matches!(error, store::Error::Corrupt(_)) => {
                    self.hot.set_unread();
                    failures += 1;
                    self.core.wait_for_store(failures).await?;
                }
                Err(halt) => return Err(halt),
            }
        }
        Ok(())
    }

    pub(crate) fn has_message(&self, signal: &str) -> bool {
        self.inbox.iter().any(|message| message.signal == signal)
    }

    /// Takes the first message with this name; the next batch removes its record.
    pub(crate) fn take_message(&mut self, signal: &str) -> Option<Message> {
        let index = self.inbox.iter().position(|message| message.signal == signal)?;
        let message = self.inbox.remove(index);
        self.obsolete.push(message.key.clone());
        Some(message)
    }

    /// Commits a batch. While the store is unavailable this waits and tries again, except for an instance's first
    /// batch, whose caller gets the error. A failed condition other than the fence is given back with the batch.
    pub(crate) async fn commit(&mut self, mut batch: Batch) -> Result<Option<(usize, Batch)>, Halt> {
        let starting = self.starting.take();
        let mut failures = 0;
        loop {
            let answer = self.core.committer.commit(batch).await;
            let error = match answer.result {
                Ok(Verdict::Applied) => {
                    if let Some(starting) = starting {
                        // A caller who went away has started the instance all the same.
                        let _ = starting.reply.send(Ok(()));
                    }
                    self.core.counters.committed();
                    return Ok(None);
                }
                Ok(Verdict::Conflict(0)) => {
                    if let Some(starting) = starting {
                        let _ = starting.reply.send(Err(StartError::Fenced));
                    }
                    return Err(Halt::Fenced);
                }
                Ok(Verdict::Conflict(index)) => {
                    if let Some(starting) = starting {
                        let _ = starting.reply.send(Err(StartError::AlreadyExists { id: self.id.clone() }));
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
                return Err(Halt::Unencodable { variable: "the state".to_owned(), error: error.to_string() });
            }
            batch = answer.batch;
            failures += 1;
            self.core.wait_for_store(failures).await?;
        }
    }

    /// Stores failed attempts of the pending task; with a timer the instance waits outside of the memory.
    pub(crate) async fn store_attempts(&mut self, attempts: AttemptsRecord) -> Result<(), Halt> {
        let key = self.core.keys.of(Kind::Attempts, &self.id);
        let mut batch = self.batch();
        // The record is replaced, not removed.
        batch.writes.retain(|write| !matches!(write, Write::Delete(other) if *other == key));
        batch.writes.push(Write::Put(key, record::encode(&attempts)));
        if attempts.timer {
            batch.writes.push(Write::Put(self.core.keys.timer(&self.id, attempts.due_ms), Bytes::new()));
        }
        let stays_ready = !attempts.timer;
        self.attempts = Some(attempts);
        self.commit_ready(batch, stays_ready).await
    }

    /// Waits for the time of the next attempt.
    pub(crate) async fn pause_until(&mut self, due_ms: u64, timer: bool) -> Result<(), Halt> {
        self.wait_until(due_ms).await?;
        if timer {
            self.obsolete.push(self.core.keys.timer(&self.id, due_ms));
        }
        Ok(())
    }

    /// Ends the instance, or blocks it.
    pub(crate) async fn close(
        &mut self,
        outcome: &record::OutcomeRecord,
        sides: Vec<Bytes>,
    ) -> Result<(), Halt> {
        self.look_at_messages().await?;
        let mut batch = self.batch();
        batch.writes.push(Write::Put(self.core.keys.of(Kind::Outcome, &self.id), record::encode(outcome)));
        let (mut open, mut ready) = (false, false);
        if let record::End::Blocked { reason } = &outcome.end {
            open = true;
            // Another version of the program may be able to read it: it is looked at again by the next one.
            ready = matches!(reason, BlockedReason::Undecodable { .. });
        }
        if !open {
            if self.step > 0 {
                batch.writes.push(Write::Delete(self.state_key.clone()));
            }
            batch.writes.extend(sides.into_iter().map(Write::Delete));
            batch.writes.extend(self.inbox.drain(..).map(|message| Write::Delete(message.key)));
        }
        if self.ready.is_some() && !ready {
            batch.writes.push(Write::Delete(self.ready_key.clone()));
        }
        match self.commit(batch).await? {
            None => Ok(()),
            Some(_) => Err(Halt::Fenced),
        }
    }
}

/// Receives the live variables of one step.
#[derive(Debug)]
pub struct Saver<'a> {
    context: &'a mut WorkflowContext,
}

impl Saver<'_> {
    /// A variable that may have changed since the last step.
    pub(crate) fn variable<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if let Some(encoded) = self.encode(name, value) {
            self.write(name, Owner::Variable(name.to_owned()), encoded, false);
        }
    }

    /// A variable that cannot be assigned: once its large value is stored, it is not even encoded again.
    pub(crate) fn constant<T: Serialize + ?Sized>(&mut self, name: &str, slot: u32, value: &T) {
        if self.known(name, slot) {
            return;
        }
        if let Some(encoded) = self.encode(name, value) {
            self.write(name, Owner::Constant(slot), encoded, true);
        }
    }

    /// As [`constant`](Saver::constant), for a value that is encoded already.
    pub(crate) fn constant_encoded(&mut self, name: &str, slot: u32, encoded: &Bytes) {
        if !self.known(name, slot) {
            self.write(name, Owner::Constant(slot), Encoded::Shared(encoded.clone()), true);
        }
    }

    /// The variable cannot be encoded; the instance will say so.
    pub(crate) fn fail(&mut self, name: &str, error: &str) {
        self.context.save_error.get_or_insert_with(|| (name.to_owned(), error.to_owned()));
    }

    fn encode<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Option<Encoded> {
        self.context.scratch.clear();
        match codec::encode_into(value, &mut self.context.scratch) {
            Ok(()) => Some(Encoded::Scratch),
            Err(error) => {
                self.fail(name, &error.to_string());
                None
            }
        }
    }

    fn step(&self) -> u64 {
        self.context.run.as_ref().map_or(0, |run| run.step)
    }

    fn known(&mut self, name: &str, slot: u32) -> bool {
        if self.context.sides.is_empty() {
            return false;
        }
        let step = self.step();
        let side = self.context.sides.iter_mut().find(|side| side.owner == Owner::Constant(slot));
        let Some(Side { number: Some(number), used, .. }) = side else { return false };
        *used = step;
        let number = *number;
        self.record(name, &Stored::Side(number));
        true
    }

    fn record(&mut self, name: &str, stored: &Stored<'_>) {
        if let Some(building) = &mut self.context.building {
            building.variable(name, stored);
        }
    }

    fn write(&mut self, name: &str, owner: Owner, encoded: Encoded, constant: bool) {
        let step = self.step();
        let context = &mut *self.context;
        let bytes = match &encoded {
            Encoded::Scratch => &context.scratch[..],
            Encoded::Shared(bytes) => &bytes[..],
        };
        if bytes.len() < LARGE {
            if let Some(building) = &mut context.building {
                building.variable(name, &Stored::Inline(bytes));
            }
            return;
        }
        // The same value stands in a record already, or was seen at the last step.
        let same = context
            .sides
            .iter_mut()
            .find(|side| (side.owner == owner || side.owner == Owner::Loaded) && side.used != step && side.encoded == bytes);
        if let Some(side) = same {
            side.owner = owner;
            side.used = step;
            let number = match side.number {
                Some(number) => number,
                None => {
                    let number = context.next_side;
                    context.next_side += 1;
                    side.number = Some(number);
                    context.new_sides.push((number, side.encoded.clone()));
                    number
                }
            };
            self.record(name, &Stored::Side(number));
            return;
        }
        let encoded = match encoded {
            Encoded::Scratch => Bytes::copy_from_slice(&context.scratch),
            Encoded::Shared(bytes) => bytes,
        };
        let mut side = Side { owner, encoded: encoded.clone(), number: None, used: step };
        if constant {
            let number = context.next_side;
            context.next_side += 1;
            side.number = Some(number);
            context.new_sides.push((number, encoded));
            context.sides.push(side);
            self.record(name, &Stored::Side(number));
        } else {
            // A value that changes at each step is not worth a record of its own: wait until it stays.
            context.sides.push(side);
            self.record(name, &Stored::Inline(&encoded));
        }
    }
}

enum Encoded {
    Scratch,
    Shared(Bytes),
}
