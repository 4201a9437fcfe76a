//! A running instance's own view of itself: where it is, what it keeps, and what its next batch will write.
//!
//! One step is one batch: the state record, the large values that are new in it, and everything that became obsolete
//! with the step before (received messages, fired timers, failed attempts, large values that nothing needs any more).
//! The batch is built while the generated code saves its variables, and it is committed before the operation starts.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use workflow_model::codec;

use crate::Durable;
use crate::attempt::{self, AnyOutput};
use crate::engine::hot::Verb;
use crate::halt::{Halt, HaltSlot};
use crate::operation::{Decode, Description, Parking, Pending, Prepared};
use crate::record::{StateRecord, StateWriter, Stored, Value};
use crate::run::{Outbox, Run};
use crate::store::{Batch, Write};

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
    /// The stage that runs, once one does, and what it is entered with.
    stage: Option<usize>,
    content: Content,
    next: Option<Next>,
    resume: Option<Resume>,
    building: Option<StateWriter>,
    save_error: Option<(String, String)>,
    scratch: Vec<u8>,
    state_bytes: usize,
    sides: Vec<Side>,
    new_sides: Vec<(u32, Bytes)>,
}

/// What a stage is entered with.
#[derive(Default)]
pub(crate) enum Content {
    /// Nothing: it is the first one, which takes the workflow's input, or a point whose state is to be read.
    #[default]
    Nothing,
    /// What the stage before has made for a join.
    Went(Box<dyn Any + Send>),
    /// The output of the point's operation, and the variables.
    Arrived(AnyOutput, Box<dyn Any + Send>),
}

/// How a point is entered.
pub(crate) enum Arrived {
    /// With the output of its operation, and the variables.
    Done(AnyOutput, Box<dyn Any + Send>),
    /// By a resumed instance: the operation is still to be performed, and the variables are to be read.
    Resumed(Prepared),
    /// The stored operation cannot be read.
    Stopped,
}

/// Where the code goes on.
enum Next {
    Stage(usize, Box<dyn Any + Send>),
    Behind {
        point: usize,
        pending: Prepared,
        values: Box<dyn Any + Send>,
    },
    Halt(Halt),
}

/// A stored state, on its way back into variables.
pub(crate) struct Resume {
    /// `None` for a block that begins, with its captures as the variables.
    pub(crate) point: Option<String>,
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
    pub(crate) fn resuming(
        run: Run,
        state: &StateRecord,
        sides: Vec<(u32, Bytes)>,
    ) -> Result<Self, (Halt, Box<Run>)> {
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
        let resume = Resume {
            point: Some(state.point.clone()),
            operation: state.operation.clone(),
            variables,
        };
        let mut context = Self::with(Some(run), Some(resume));
        context.sides = sides
            .into_iter()
            .map(|(number, encoded)| Side {
                owner: Owner::Loaded,
                encoded,
                number: Some(number),
                used: 0,
            })
            .collect();
        Ok(context)
    }

    /// The context of a block that begins, with its captures as they are stored.
    pub(crate) fn beginning(run: Run, captures: Vec<(String, Bytes)>) -> Self {
        let resume = Resume {
            point: None,
            operation: Bytes::new(),
            variables: captures,
        };
        Self::with(Some(run), Some(resume))
    }

    /// The block has taken its captures.
    #[doc(hidden)]
    pub fn captured(&mut self) {
        self.resume = None;
    }

    fn with(run: Option<Run>, resume: Option<Resume>) -> Self {
        WorkflowContext {
            run,
            halts: Arc::default(),
            description: Description::default(),
            points: &[],
            stage: None,
            content: Content::Nothing,
            next: None,
            resume,
            building: None,
            save_error: None,
            scratch: Vec::new(),
            state_bytes: 0,
            sides: Vec::new(),
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
        numbers
            .map(|number| run.core.keys.side(&run.id, number))
            .collect()
    }

    // Called by generated code.

    /// The stage to run.
    #[doc(hidden)]
    pub fn stage(&mut self, points: &'static [&'static str]) -> usize {
        if let Some(stage) = self.stage {
            return stage;
        }
        self.points = points;
        let stage = match (&self.run, &self.resume) {
            (None, _) => DESCRIBE,
            (Some(_), None) => 0,
            (Some(_), Some(resume)) => points
                .iter()
                .position(|point| Some(*point) == resume.point.as_deref())
                .map_or(if resume.point.is_none() { 0 } else { NO_SUCH_POINT }, |index| {
                    index + 1
                }),
        };
        self.stage = Some(stage);
        stage
    }

    /// The code stops where it is.
    #[doc(hidden)]
    pub fn stop(&mut self, halt: Halt) {
        self.next = Some(Next::Halt(halt));
    }

    pub(crate) fn content(&mut self) -> Content {
        std::mem::take(&mut self.content)
    }

    pub(crate) fn go_to(&mut self, stage: usize, content: Box<dyn Any + Send>) {
        self.next = Some(Next::Stage(stage, content));
    }

    pub(crate) fn go_behind(&mut self, point: usize, pending: Prepared, values: Box<dyn Any + Send>) {
        self.next = Some(Next::Behind {
            point,
            pending,
            values,
        });
    }

    /// Makes ready what the stage that ran has gone on to: performs the operation that it awaits.
    #[doc(hidden)]
    pub async fn arrive(&mut self) {
        let halt = match self.next.take() {
            Some(Next::Stage(stage, content)) => {
                self.stage = Some(stage);
                self.content = Content::Went(content);
                return;
            }
            Some(Next::Behind {
                point,
                pending,
                values,
            }) => match self.perform(pending).await {
                Ok(output) => {
                    self.stage = Some(point + 1);
                    self.content = Content::Arrived(output, values);
                    return;
                }
                Err(halt) => halt,
            },
            Some(Next::Halt(halt)) => halt,
            None => Halt::NoSuchPoint,
        };
        self.halts.set(halt);
        std::future::pending().await
    }

    pub(crate) fn prepare(&mut self, operation: Box<dyn Pending>) -> Prepared {
        let now_ms = self.run.as_ref().map_or(0, |run| run.core.now_ms());
        Prepared::new(operation, now_ms)
    }

    fn restore_operation(&mut self, decode: Decode) -> Result<Prepared, Halt> {
        let encoded = self
            .resume
            .as_ref()
            .map(|resume| resume.operation.clone())
            .unwrap_or_default();
        Prepared::restore(encoded, decode)
    }

    /// What a point is entered with.
    pub(crate) fn arrived(&mut self, decode: Decode) -> Arrived {
        if let Content::Arrived(output, values) = self.content() {
            return Arrived::Done(output, values);
        }
        match self.restore_operation(decode) {
            Ok(pending) => Arrived::Resumed(pending),
            Err(halt) => {
                self.stop(halt);
                Arrived::Stopped
            }
        }
    }

    /// What was stored is in the variables: from here on steps have records of their own.
    pub(crate) fn resume_at(&mut self, point: usize, pending: Prepared, values: Box<dyn Any + Send>) {
        self.resume = None;
        self.go_behind(point, pending, values);
    }

    /// Begins the record of a step.
    pub(crate) fn checkpoint(&mut self, point: usize, prepared: &Prepared) -> Saver<'_> {
        let step = match &mut self.run {
            Some(run) => {
                run.step += 1;
                run.step
            }
            None => 0,
        };
        let name = self.points.get(point).copied().unwrap_or_default();
        let (operation, capacity) = (prepared.bytes(), self.state_bytes);
        self.building = Some(match &self.run {
            Some(run) if !run.scope.is_main() => {
                StateWriter::of_block(&run.above, step, name, operation, capacity)
            }
            _ => StateWriter::new(step, name, operation, capacity),
        });
        Saver { context: self }
    }

    /// An immutable variable is declared anew: its stored value is no longer its value.
    #[doc(hidden)]
    pub fn rebind(&mut self, slot: u32) {
        if let Some(side) = self
            .sides
            .iter_mut()
            .find(|side| side.owner == Owner::Constant(slot))
        {
            side.owner = Owner::Loaded;
        }
    }

    /// Publishes a value with the next step.
    pub(crate) fn publish(&mut self, name: &str, encoded: Result<Vec<u8>, codec::Error>) {
        let Some(run) = &self.run else { return };
        match encoded {
            Ok(encoded) => run.shared.outbox.publish(name, encoded.into()),
            Err(error) => run
                .shared
                .outbox
                .fail(&format!("the published value `{name}`"), &error.to_string()),
        }
    }

    async fn perform(&mut self, prepared: Prepared) -> Result<AnyOutput, Halt> {
        let (mut operation, encoded) = prepared.into_parts()?;
        if self.building.is_some() {
            let run = self.run()?;
            let parking = operation.parking(run)?;
            let mut added = Batch::default();
            operation.enlist(run, &mut added)?;
            self.commit_step(parking, added).await?;
        }
        // Nothing else is left of the operation when it was cancelled, and the code can be told only by its type.
        let told = operation.as_ref().cancelled();
        let outcome = match operation.as_task(&encoded) {
            Some(task) => attempt::perform(self.run()?, task).await,
            None => operation.perform(self, encoded).await,
        };
        match outcome {
            // A cancellation is told to the main line, whose blocks end with it.
            Err(Halt::Cancelled { .. }) if self.run()?.scope.is_main() => {
                let reason = self.cancel_reason()?;
                match told(&reason) {
                    Some(output) => {
                        self.cancel_is_told()?;
                        Ok(output)
                    }
                    None => Err(Halt::Cancelled { reason }),
                }
            }
            outcome => outcome,
        }
    }

    fn cancel_reason(&mut self) -> Result<String, Halt> {
        let order = self.run()?.hot.ordered(|verb| verb == Verb::Cancel);
        Ok(order.map(|order| order.reason).unwrap_or_default())
    }

    /// The code knows now that it is to stop; the next step removes the order.
    fn cancel_is_told(&mut self) -> Result<(), Halt> {
        let run = self.run()?;
        run.obsolete.extend(run.hot.take_cancel().map(|order| order.key));
        Ok(())
    }

    // Batches.

    /// The batch of this step, without what its operation adds.
    fn step_batch(&mut self, state: Bytes) -> Result<Batch, Halt> {
        self.state_bytes = state.len() + 32;
        let new_sides = std::mem::take(&mut self.new_sides);
        let Some(run) = &mut self.run else {
            return Err(Halt::Described);
        };
        let step = run.step;
        let mut batch = run.batch();
        batch.writes.push(Write::Put(run.state_key.clone(), state));
        for (number, encoded) in new_sides {
            batch
                .writes
                .push(Write::Put(run.core.keys.side(&run.id, number), encoded));
        }
        self.sides.retain(|side| {
            let keep = side.used == step;
            if let (false, Some(number)) = (keep, side.number) {
                batch
                    .writes
                    .push(Write::Delete(run.core.keys.side(&run.id, number)));
            }
            keep
        });
        Ok(batch)
    }

    /// Commits the step whose state was built, with what its operation adds.
    async fn commit_step(&mut self, mut parking: Parking, mut added: Batch) -> Result<(), Halt> {
        let Some(state) = self.building.take() else {
            return Ok(());
        };
        if let Some((variable, error)) = self.save_error.take() {
            return Err(Halt::Unencodable { variable, error });
        }
        let run = self.run()?;
        run.shared.outbox.check()?;
        run.fresh = true;
        if let Parking::Message(signal) = &parking {
            run.look_at_messages().await?;
            if run.has_message(signal) {
                parking = Parking::None;
            }
        }
        let mut batch = self.step_batch(state.finish())?;
        let run = self.run()?;
        batch.conditions.append(&mut added.conditions);
        batch.writes.append(&mut added.writes);
        parking.enlist(run, &mut batch);
        run.note_progress(&mut batch);
        // Other lines may have something to do.
        let stays_ready = parking == Parking::None || !run.scope.is_main();
        run.commit_ready(batch, stays_ready).await
    }

    /// The line of a block ends: the next batch of `around` removes what it has in the store.
    pub(crate) fn end_block(&mut self, around: &mut Run) -> Result<(), Halt> {
        let sides = self.side_keys();
        let run = self.run()?;
        let deletes = run.batch().writes.into_iter().filter_map(|write| match write {
            Write::Delete(key) => Some(key),
            Write::Put(..) => None,
        });
        around.obsolete.extend(deletes);
        if run.step > 0 {
            around.obsolete.push(run.state_key.clone());
            around.obsolete.extend(sides);
        }
        // The block's line itself is behind: only lines within it could leave anything.
        Ok(())
    }

    // Variables.

    /// The value of a stored variable.
    pub(crate) fn restore<T: Durable>(&mut self, name: &str) -> Result<T, Halt> {
        let encoded = self.restore_encoded(name)?;
        let decode = || codec::decode(&encoded);
        match &self.run {
            Some(run) => run.shared.outbox.restore(decode),
            None => decode(),
        }
        .map_err(|error| Halt::undecodable(name, error))
    }

    pub(crate) fn restore_encoded(&self, name: &str) -> Result<Bytes, Halt> {
        let variables = self
            .resume
            .as_ref()
            .map(|resume| &resume.variables[..])
            .unwrap_or_default();
        match variables.iter().find(|(other, _)| other == name) {
            Some((_, encoded)) => Ok(encoded.clone()),
            None => Err(Halt::undecodable(name, "the stored state has no such variable")),
        }
    }
}

/// Receives the live variables of one step.
#[derive(Debug)]
pub struct Saver<'a> {
    context: &'a mut WorkflowContext,
}

/// Encodes a value at the end of a buffer.
type Encode<'a> = &'a mut dyn FnMut(&mut Vec<u8>) -> Result<(), codec::Error>;

impl Saver<'_> {
    /// A variable that may have changed since the last step.
    pub(crate) fn variable<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.variable_with(name, &mut |out| codec::encode_into(value, out));
    }

    fn variable_with(&mut self, name: &str, encode: Encode<'_>) {
        if let Some(encoded) = self.encode(name, encode) {
            self.write(name, Owner::Variable(name.to_owned()), encoded, false);
        }
    }

    /// A variable that cannot be assigned: once its large value is stored, it is not even encoded again.
    pub(crate) fn constant<T: Serialize + ?Sized>(&mut self, name: &str, slot: u32, value: &T) {
        self.constant_with(name, slot, &mut |out| codec::encode_into(value, out));
    }

    fn constant_with(&mut self, name: &str, slot: u32, encode: Encode<'_>) {
        if self.known(name, slot) {
            return;
        }
        if let Some(encoded) = self.encode(name, encode) {
            self.write(name, Owner::Constant(slot), encoded, true);
        }
    }

    /// As [`constant`](Saver::constant), for a value that is encoded already.
    pub(crate) fn constant_encoded(&mut self, name: &str, slot: u32, encoded: &Bytes) {
        if !self.known(name, slot) {
            self.write(
                name,
                Owner::Constant(slot),
                Encoded::Shared(encoded.clone()),
                true,
            );
        }
    }

    /// The variable cannot be encoded; the instance will say so.
    pub(crate) fn fail(&mut self, name: &str, error: &str) {
        self.context
            .save_error
            .get_or_insert_with(|| (name.to_owned(), error.to_owned()));
    }

    fn encode(&mut self, name: &str, encode: Encode<'_>) -> Option<Encoded> {
        self.context.scratch.clear();
        match Outbox::storing(|| encode(&mut self.context.scratch)) {
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
        let side = self
            .context
            .sides
            .iter_mut()
            .find(|side| side.owner == Owner::Constant(slot));
        let Some(Side {
            number: Some(number),
            used,
            ..
        }) = side
        else {
            return false;
        };
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
        let same = context.sides.iter_mut().find(|side| {
            (side.owner == owner || side.owner == Owner::Loaded) && side.used != step && side.encoded == bytes
        });
        if let Some(side) = same {
            side.owner = owner;
            side.used = step;
            let number = match side.number {
                Some(number) => number,
                None => {
                    let number = next_side(&context.run);
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
        let mut side = Side {
            owner,
            encoded: encoded.clone(),
            number: None,
            used: step,
        };
        if constant {
            let number = next_side(&context.run);
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

/// The number of the next side record: all lines of an instance count together.
fn next_side(run: &Option<Run>) -> u32 {
    let Some(run) = run else { return 0 };
    let mut shared = run.shared.lock();
    let number = shared.next_side;
    shared.next_side += 1;
    number
}

enum Encoded {
    Scratch,
    Shared(Bytes),
}
