//! One branch of a join or select: it runs on a line of its own and writes how it ended.

use bytes::Bytes;
use workflow_model::codec;

use super::encoding::timers_of;
use crate::Durable;
use crate::context::WorkflowContext;
use crate::halt::Halt;
use crate::operation::Operation;
use crate::run::{Lines, Outbox, Run};
use crate::store::{Batch, Condition, Write};

/// Adds what a branch writes together with the step that makes it.
pub(super) fn enlist_branch<O: Operation>(
    run: &Run,
    index: u32,
    operation: &O,
    batch: &mut Batch,
) -> Result<(), Halt> {
    let branch = run.branch(index);
    operation.parking(&branch)?.enlist(&branch, batch);
    operation.enlist(&branch, batch)
}

/// Performs one branch of a join and stores its result.
pub(super) async fn branch<O: Operation>(
    run: &Run,
    lines: &Lines,
    index: u32,
    operation: O,
    encoded: Bytes,
) -> Result<O::Output, Halt>
where
    O::Output: Durable,
{
    let branch = run.branch(index);
    let done = branch.shared.lock().done.get(&branch.scope).cloned();
    let output = match done {
        Some(done) => decode(&branch, &done)?,
        None => {
            let key = branch.branch_key();
            let mut context = WorkflowContext::starting(branch);
            let output = operation.perform(&mut context, encoded).await?;
            let value = encode(&output)?;
            let branch = context.run()?;
            let mut batch = branch.batch();
            branch.note_progress(&mut batch);
            batch.writes.insert(0, Write::Put(key, value.clone()));
            branch.commit_ready(batch, true).await?;
            let scope = branch.scope.clone();
            branch.shared.lock().done.insert(scope, value);
            output
        }
    };
    lines.ended();
    Ok(output)
}

fn encode<T: Durable>(output: &T) -> Result<Bytes, Halt> {
    Outbox::storing(|| codec::encode(output))
        .map(Bytes::from)
        .map_err(|error| Halt::Unencodable {
            variable: "the result of a branch".to_owned(),
            error: error.to_string(),
        })
}

pub(super) fn decode<T: Durable>(run: &Run, encoded: &[u8]) -> Result<T, Halt> {
    let decoded = run.shared.outbox.restore(|| codec::decode(encoded));
    decoded.map_err(|error| Halt::undecodable("the result of a branch", error))
}

/// What a branch of this line gave before the instance was loaded.
pub(super) fn stored_output<T: Durable>(run: &Run, index: u32) -> Result<Option<T>, Halt> {
    let stored = run.shared.lock().done.get(&run.scope.branch(index)).cloned();
    stored.map(|stored| decode(run, &stored)).transpose()
}

/// Removes the timers of operations that nobody waits for any more.
pub(super) fn forget_timers(run: &mut Run, operations: &[Bytes]) {
    let timers = operations.iter().flat_map(timers_of);
    let keys: Vec<Bytes> = timers
        .map(|due_ms| run.core.keys.timer(&run.id, due_ms))
        .collect();
    run.obsolete.extend(keys);
}

/// The winner of a select that was decided before, and its output. It counts once: the same select may come again.
pub(super) fn stored_winner(run: &Run) -> Result<Option<(u32, Bytes)>, Halt> {
    let stored = run.shared.lock().done.remove(&run.winner_scope());
    stored.map(|stored| split_winner(&stored)).transpose()
}

fn split_winner(stored: &Bytes) -> Result<(u32, Bytes), Halt> {
    match stored.first_chunk::<4>() {
        Some(index) => Ok((u32::from_be_bytes(*index), stored.slice(4..))),
        None => Err(Halt::undecodable(
            "the winner of a select",
            "the record is cut off",
        )),
    }
}

/// A branch of a select that has ended, with what its line consumed.
pub(super) struct Contender {
    index: u32,
    value: Bytes,
    context: WorkflowContext,
}

/// Performs one branch of a select.
pub(super) async fn contender<O: Operation>(
    run: &Run,
    index: u32,
    operation: O,
    encoded: Bytes,
) -> Result<Contender, Halt>
where
    O::Output: Durable,
{
    let mut context = WorkflowContext::starting(run.branch(index));
    let output = operation.perform(&mut context, encoded).await?;
    let value = encode(&output)?;
    Ok(Contender {
        index,
        value,
        context,
    })
}

impl Contender {
    /// Writes that this branch is the winner; no other branch runs any more.
    pub(super) async fn win(mut self) -> Result<(u32, Bytes), Halt> {
        let mut stored = self.index.to_be_bytes().to_vec();
        stored.extend_from_slice(&self.value);
        let branch = self.context.run()?;
        let key = branch.winner_key_above();
        let mut batch = branch.batch();
        batch.conditions.push(Condition::Absent(key.clone()));
        batch.writes.insert(0, Write::Put(key, stored.into()));
        branch.commit_ready(batch, true).await?;
        Ok((self.index, self.value))
    }
}
