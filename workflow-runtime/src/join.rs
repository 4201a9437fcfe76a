//! Several operations at once: all of them, all unless one fails, or the first.
//!
//! Starting them is one write. Each branch that ends writes its result as a record of its own, together with what it
//! consumed; the step behind the join removes these records. The winner of a select is written when no other branch
//! runs any more, so it is decided once, and what a loser consumed comes back.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use workflow_model::codec;

use crate::Durable;
use crate::context::WorkflowContext;
use crate::halt::Halt;
use crate::operation::{
    BRANCHES, Description, IntoDuration, Operation, Parking, Sleep, expect, sleep, timer_due, write_head,
};
use crate::run::{Lines, Outbox, Run};
use crate::store::{Batch, Condition, Write};

/// Writes the operations of a join or select.
struct BranchWriter<'a> {
    now_ms: u64,
    out: &'a mut Vec<u8>,
}

impl<'a> BranchWriter<'a> {
    fn new(name: &str, now_ms: u64, out: &'a mut Vec<u8>) -> Self {
        write_head(out, BRANCHES, name);
        BranchWriter { now_ms, out }
    }

    fn branch<O: Operation>(&mut self, operation: &mut O) -> Result<(), String> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        operation.encode(self.now_ms, self.out)?;
        let length =
            u32::try_from(self.out.len() - start - 4).map_err(|_| "a branch is larger than 4 GiB")?;
        self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// The encodings of the branches.
fn branches(name: &str, encoded: &Bytes) -> Result<Vec<Bytes>, String> {
    let rest = expect(encoded, BRANCHES, name)?;
    let mut rest = encoded.slice_ref(rest);
    let mut branches = Vec::new();
    while !rest.is_empty() {
        let length = rest.first_chunk::<4>().map(|length| u32::from_be_bytes(*length));
        match length.and_then(|length| usize::try_from(length).ok()) {
            Some(length) if length <= rest.len() - 4 => {
                branches.push(rest.slice(4..4 + length));
                rest = rest.split_off(4 + length);
            }
            _ => return Err(format!("the stored {name} is cut off")),
        }
    }
    Ok(branches)
}

fn parts(name: &str, encoded: &Bytes, count: usize) -> Result<Vec<Bytes>, Halt> {
    let parts = branches(name, encoded).map_err(|error| Halt::undecodable("the operation", error))?;
    if parts.len() == count {
        Ok(parts)
    } else {
        let error = format!(
            "the stored {name} has {} branches, the code has {count}",
            parts.len()
        );
        Err(Halt::undecodable("the operation", error))
    }
}

fn enlist_branch<O: Operation>(run: &Run, index: u32, operation: &O, batch: &mut Batch) -> Result<(), Halt> {
    let branch = run.branch(index);
    operation.parking(&branch)?.enlist(&branch, batch);
    operation.enlist(&branch, batch)
}

/// Performs one branch of a join and stores its result.
async fn branch<O: Operation>(
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

fn decode<T: Durable>(run: &Run, encoded: &[u8]) -> Result<T, Halt> {
    let decoded = run.shared.outbox.restore(|| codec::decode(encoded));
    decoded.map_err(|error| Halt::undecodable("the result of a branch", error))
}

/// The branches are behind the instance: the next batch removes what they left. `open` are the encodings of those that
/// may not have ended.
fn forget_branches(run: &mut Run, count: u32, open: &[Bytes]) {
    for index in 0..count {
        let branch = run.branch(index);
        let mut shared = run.shared.lock();
        let scopes: Vec<_> = shared
            .done
            .keys()
            .filter(|scope| scope.is_within(&branch.scope))
            .cloned()
            .collect();
        for scope in scopes {
            shared.done.remove(&scope);
            run.obsolete.push(branch.at(&scope).branch_key());
        }
        let scopes: Vec<_> = shared
            .attempts
            .keys()
            .filter(|scope| scope.is_within(&branch.scope))
            .cloned()
            .collect();
        for scope in scopes {
            if let Some(attempts) = shared.attempts.remove(&scope)
                && attempts.timer
            {
                run.obsolete.push(run.core.keys.timer(&run.id, attempts.due_ms));
            }
            run.obsolete.push(branch.at(&scope).attempts_key());
        }
    }
    open.iter().for_each(|encoded| forget_timers(run, encoded));
}

/// Removes the timers of operations that nobody waits for any more.
fn forget_timers(run: &mut Run, encoded: &Bytes) {
    let timers = timers_of(encoded);
    run.obsolete.extend(
        timers
            .into_iter()
            .map(|due_ms| run.core.keys.timer(&run.id, due_ms)),
    );
}

/// The times of all timers in a stored operation.
pub(crate) fn timers_of(encoded: &Bytes) -> Vec<u64> {
    let inner = [JOIN, TRY_JOIN, SELECT]
        .iter()
        .flat_map(|name| branches(name, encoded).unwrap_or_default());
    timer_due(encoded)
        .into_iter()
        .chain(inner.flat_map(|inner| timers_of(&inner)))
        .collect()
}

const JOIN: &str = "join";
const TRY_JOIN: &str = "try_join";
const SELECT: &str = "select";

/// All of several operations; made by `join!`.
#[must_use = "nothing runs unless this is awaited"]
pub struct Join<T>(pub(crate) T);

/// All of several operations unless one fails; made by `try_join!`.
#[must_use = "nothing runs unless this is awaited"]
pub struct TryJoin<T>(pub(crate) T);

/// The first of several operations; made by `select!`.
#[must_use = "nothing runs unless this is awaited"]
pub struct Select<T>(pub(crate) T);

macro_rules! debug {
    ($($name:ident),*) => { $(impl<T> fmt::Debug for $name<T> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.debug_struct(stringify!($name)).finish_non_exhaustive()
        }
    })* };
}
debug!(Join, TryJoin, Select, JoinAll);

macro_rules! tuples {
    ($($either:ident $count:literal: $($operation:ident $variant:ident $output:ident $future:ident $place:tt),*;)*) => { $(
        impl<$($operation: Operation),*> Operation for Join<($($operation,)*)>
        where $($operation::Output: Durable),*
        {
            type Output = ($($operation::Output,)*);

            fn describe(description: &mut Description, point: usize) {
                $($operation::describe(description, point);)*
            }

            fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
                let mut writer = BranchWriter::new(JOIN, now_ms, out);
                $(writer.branch(&mut self.0.$place)?;)*
                Ok(())
            }

            fn decode(encoded: &[u8]) -> Result<Self, String> {
                let parts = branches(JOIN, &Bytes::copy_from_slice(encoded))?;
                if parts.len() != $count {
                    return Err(format!("the stored join has {} branches, the code has {}", parts.len(), $count));
                }
                Ok(Join(($($operation::decode(&parts[$place])?,)*)))
            }

            fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
                $(enlist_branch(run, $place, &self.0.$place, batch)?;)*
                Ok(())
            }

            async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
                let parts = parts(JOIN, &encoded, $count)?;
                let run = context.run()?;
                let lines = Lines::split(run, $count);
                let outputs = tokio::try_join!(
                    $(branch(run, &lines, $place, self.0.$place, parts[$place].clone())),*
                )?;
                drop(lines);
                forget_branches(run, $count, &[]);
                Ok(outputs)
            }
        }

        impl<$($operation, $output,)* E> Operation for TryJoin<($($operation,)*)>
        where
            $($operation: Operation<Output = Result<$output, E>>, $output: Durable,)*
            E: Durable,
        {
            type Output = Result<($($output,)*), E>;

            fn describe(description: &mut Description, point: usize) {
                $($operation::describe(description, point);)*
            }

            fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
                let mut writer = BranchWriter::new(TRY_JOIN, now_ms, out);
                $(writer.branch(&mut self.0.$place)?;)*
                Ok(())
            }

            fn decode(encoded: &[u8]) -> Result<Self, String> {
                let parts = branches(TRY_JOIN, &Bytes::copy_from_slice(encoded))?;
                if parts.len() != $count {
                    return Err(format!("the stored try_join has {} branches, the code has {}", parts.len(), $count));
                }
                Ok(TryJoin(($($operation::decode(&parts[$place])?,)*)))
            }

            fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
                $(enlist_branch(run, $place, &self.0.$place, batch)?;)*
                Ok(())
            }

            async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
                let parts = parts(TRY_JOIN, &encoded, $count)?;
                let run = context.run()?;
                let lines = Lines::split(run, $count);
                let outcome = tokio::try_join!(
                    $(or_stop(branch(run, &lines, $place, self.0.$place, parts[$place].clone()))),*
                );
                drop(lines);
                run.give_back(&run.scope);
                forget_branches(run, $count, &parts);
                match outcome {
                    Ok(outputs) => Ok(Ok(outputs)),
                    Err(Stop::Failed(error)) => Ok(Err(error)),
                    Err(Stop::Halted(halt)) => Err(halt),
                }
            }
        }

        /// The output of the operation that ended first.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $either<$($variant),*> {
            $(
                /// The branch of this number, counted from 0, was the first.
                $variant($variant),
            )*
        }

        impl<$($operation: Operation),*> Operation for Select<($($operation,)*)>
        where $($operation::Output: Durable),*
        {
            type Output = $either<$($operation::Output),*>;

            fn describe(description: &mut Description, point: usize) {
                $($operation::describe(description, point);)*
            }

            fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
                let mut writer = BranchWriter::new(SELECT, now_ms, out);
                $(writer.branch(&mut self.0.$place)?;)*
                Ok(())
            }

            fn decode(encoded: &[u8]) -> Result<Self, String> {
                let parts = branches(SELECT, &Bytes::copy_from_slice(encoded))?;
                if parts.len() != $count {
                    return Err(format!("the stored select has {} branches, the code has {}", parts.len(), $count));
                }
                Ok(Select(($($operation::decode(&parts[$place])?,)*)))
            }

            fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
                $(enlist_branch(run, $place, &self.0.$place, batch)?;)*
                Ok(())
            }

            async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
                let parts = parts(SELECT, &encoded, $count)?;
                let run = context.run()?;
                let (winner, value) = match stored_winner(run)? {
                    Some(winner) => winner,
                    None => {
                        // The first to end wins, in the order in which they stand; it is written once no other one
                        // runs, so that a store that fails cannot turn the order around.
                        let lines = Lines::split(run, $count);
                        let shared = &*run;
                        let winner = {
                        $(let mut $future = pin!(contender(shared, $place, self.0.$place, parts[$place].clone()));)*
                        std::future::poll_fn(|polling| {
                            $(if let Poll::Ready(outcome) = $future.as_mut().poll(polling) {
                                return Poll::Ready(outcome);
                            })*
                            Poll::Pending
                        })
                        .await?
                        };
                        drop(lines);
                        winner.win().await?
                    }
                };
                let scope = run.scope.clone();
                run.give_back(&scope);
                run.obsolete.push(run.winner_key());
                forget_branches(run, $count, &parts);
                match winner {
                    $($place => Ok($either::$variant(decode(run, &value)?)),)*
                    other => Err(Halt::undecodable("the winner of a select", format!("there is no branch {other}"))),
                }
            }
        }
    )* };
}

tuples! {
    Either2 2: A A TA a 0, B B TB b 1;
    Either3 3: A A TA a 0, B B TB b 1, C C TC c 2;
    Either4 4: A A TA a 0, B B TB b 1, C C TC c 2, D D TD d 3;
    Either5 5: A A TA a 0, B B TB b 1, C C TC c 2, D D TD d 3, F F TF f 4;
    Either6 6: A A TA a 0, B B TB b 1, C C TC c 2, D D TD d 3, F F TF f 4, G G TG g 5;
    Either7 7: A A TA a 0, B B TB b 1, C C TC c 2, D D TD d 3, F F TF f 4, G G TG g 5, H H TH h 6;
    Either8 8: A A TA a 0, B B TB b 1, C C TC c 2, D D TD d 3, F F TF f 4, G G TG g 5, H H TH h 6, I I TI i 7;
}

/// Why a `try_join!` ends before all of its branches have.
enum Stop<E> {
    Failed(E),
    Halted(Halt),
}

async fn or_stop<T, E>(branch: impl Future<Output = Result<Result<T, E>, Halt>>) -> Result<T, Stop<E>> {
    branch.await.map_err(Stop::Halted)?.map_err(Stop::Failed)
}

/// The winner of a select that was decided before, and its output. It counts once: the same select may come again.
fn stored_winner(run: &Run) -> Result<Option<(u32, Bytes)>, Halt> {
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
struct Contender {
    index: u32,
    value: Bytes,
    context: WorkflowContext,
}

/// Performs one branch of a select.
async fn contender<O: Operation>(
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
    async fn win(mut self) -> Result<(u32, Bytes), Halt> {
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

/// Generated code for `join!`.
#[doc(hidden)]
pub fn join<T>(operations: T) -> Join<T> {
    Join(operations)
}

/// Generated code for `try_join!`.
#[doc(hidden)]
pub fn try_join<T>(operations: T) -> TryJoin<T> {
    TryJoin(operations)
}

/// Generated code for `select!`.
#[doc(hidden)]
pub fn select<T>(operations: T) -> Select<T> {
    Select(operations)
}

/// Any number of operations of one type, all of which are awaited.
#[must_use = "nothing runs unless this is awaited"]
pub struct JoinAll<O> {
    operations: Vec<O>,
    limit: usize,
}

/// Awaits all of `operations`; the outputs come in their order.
///
/// ```
/// use workflow_runtime::prelude::*;
///
/// #[task]
/// async fn thumbnail(photo: u64) -> u64 { photo * 10 }
///
/// #[workflow]
/// async fn album(photos: Vec<u64>) -> u64 {
///     let calls = photos.into_iter().map(thumbnail);
///     let thumbnails = join_all(calls).concurrency(4).await;
///     thumbnails.into_iter().sum()
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<album>::builder().in_memory().build().await.unwrap();
/// let handle = engine.start(album(vec![1, 2, 3])).await.unwrap();
/// assert_eq!(handle.result().await.unwrap(), 60);
/// # });
/// ```
pub fn join_all<O: Operation>(operations: impl IntoIterator<Item = O>) -> JoinAll<O> {
    JoinAll {
        operations: operations.into_iter().collect(),
        limit: usize::MAX,
    }
}

impl<O> JoinAll<O> {
    /// Runs at most so many at a time; 0 counts as 1. Timers and children of the others have begun all the same.
    pub fn concurrency(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }
}

impl<O: Operation> Operation for JoinAll<O>
where
    O::Output: Durable,
{
    type Output = Vec<O::Output>;

    fn describe(description: &mut Description, point: usize) {
        O::describe(description, point);
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        let mut writer = BranchWriter::new(JOIN, now_ms, out);
        // The limit travels in front, as a branch of eight bytes.
        writer.out.extend_from_slice(&8u32.to_be_bytes());
        writer.out.extend_from_slice(&(self.limit as u64).to_be_bytes());
        self.operations
            .iter_mut()
            .try_for_each(|operation| writer.branch(operation))
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        let parts = branches(JOIN, &Bytes::copy_from_slice(encoded))?;
        let (limit, parts) = parts.split_first().ok_or("the stored join has no limit")?;
        let limit = limit.first_chunk::<8>().ok_or("the stored join has no limit")?;
        let operations = parts
            .iter()
            .map(|part| O::decode(part))
            .collect::<Result<_, _>>()?;
        Ok(JoinAll {
            operations,
            limit: usize::try_from(u64::from_be_bytes(*limit)).unwrap_or(usize::MAX),
        })
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        for (index, operation) in (0..).zip(&self.operations) {
            enlist_branch(run, index, operation, batch)?;
        }
        Ok(())
    }

    async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
        let count = self.operations.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let parts = parts(JOIN, &encoded, count + 1)?;
        let run = context.run()?;
        let mut outputs: Vec<Option<O::Output>> = (0..count).map(|_| None).collect();
        {
            // Lines that have not begun are none that could hold the instance in memory.
            let lines = Lines::split(run, count.min(self.limit));
            let (shared, lines) = (&*run, &lines);
            let mut waiting = (0u32..).zip(self.operations).zip(parts.into_iter().skip(1));
            let mut running = FuturesUnordered::new();
            let one = |((index, operation), encoded)| async move {
                let output = branch(shared, lines, index, operation, encoded).await?;
                Ok::<_, Halt>((index, output))
            };
            running.extend(waiting.by_ref().take(self.limit).map(one));
            while let Some(ended) = running.next().await {
                let (index, output) = ended?;
                if let Some(slot) = outputs.get_mut(usize::try_from(index).unwrap_or(usize::MAX)) {
                    *slot = Some(output);
                }
                if let Some(next) = waiting.next() {
                    lines.begins();
                    running.push(one(next));
                }
            }
        }
        forget_branches(run, u32::try_from(count).unwrap_or(u32::MAX), &[]);
        Ok(outputs.into_iter().flatten().collect())
    }
}

/// The time was over before the operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("the operation did not end in time")]
pub struct Elapsed;

/// An operation with a limit; see [`OperationExt::timeout`].
#[must_use = "nothing runs unless this is awaited"]
#[derive(Debug)]
pub struct Timeout<O>(Select<(O, Sleep)>);

/// What every operation can do.
pub trait OperationExt: Operation + Sized {
    /// Gives the operation up when it has not ended after this time, whatever happens to the process meanwhile.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use workflow_runtime::prelude::*;
    ///
    /// #[signal]
    /// #[derive(Serialize, Deserialize)]
    /// struct Answer(u32);
    ///
    /// #[workflow]
    /// async fn question() -> Option<u32> {
    ///     match receive::<Answer>().timeout("20ms").await {
    ///         Ok(answer) => Some(answer.0),
    ///         Err(Elapsed) => None,
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<question>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(question()).await.unwrap();
    /// assert_eq!(handle.result().await.unwrap(), None);
    /// # });
    /// ```
    fn timeout(self, limit: impl IntoDuration) -> Timeout<Self> {
        Timeout(Select((self, sleep(limit))))
    }

    /// Gives `Err(Cancelled)` when the instance is asked to stop while it waits here; without it such a request ends the
    /// instance. See [`WorkflowEngine::cancel`](crate::WorkflowEngine::cancel).
    fn cancellable(self) -> Cancellable<Self> {
        Cancellable(self)
    }
}

impl<O: Operation> OperationExt for O {}

impl<O: Operation> Operation for Timeout<O>
where
    O::Output: Durable,
{
    type Output = Result<O::Output, Elapsed>;

    fn describe(description: &mut Description, point: usize) {
        O::describe(description, point);
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        self.0.encode(now_ms, out)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        Select::decode(encoded).map(Timeout)
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        self.0.enlist(run, batch)
    }

    async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
        Ok(match self.0.perform(context, encoded).await? {
            Either2::A(output) => Ok(output),
            Either2::B(()) => Err(Elapsed),
        })
    }
}

/// The instance was asked to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("the workflow was cancelled: {reason}")]
pub struct Cancelled {
    /// Why, in the words of whoever asked.
    pub reason: String,
}

/// An operation that can tell of a cancellation; see [`OperationExt::cancellable`].
#[must_use = "nothing runs unless this is awaited"]
#[derive(Debug)]
pub struct Cancellable<O>(O);

#[diagnostic::do_not_recommend]
impl<O: Operation> Operation for Cancellable<O> {
    type Output = Result<O::Output, Cancelled>;

    fn describe(description: &mut Description, point: usize) {
        O::describe(description, point);
    }

    fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
        self.0.encode(now_ms, out)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        O::decode(encoded).map(Cancellable)
    }

    fn parking(&self, run: &Run) -> Result<Parking, Halt> {
        self.0.parking(run)
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        self.0.enlist(run, batch)
    }

    fn cancelled(reason: &str) -> Option<Self::Output> {
        Some(Err(Cancelled {
            reason: reason.to_owned(),
        }))
    }

    async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
        let outcome = self.0.perform(context, encoded.clone()).await;
        if let Err(Halt::Cancelled { .. }) = outcome {
            // Nobody waits for it any more.
            let run = context.run()?;
            forget_timers(run, &encoded);
            let scope = run.scope.clone();
            run.give_back(&scope);
            forget_branches(run, u32::try_from(branch_count(&encoded)).unwrap_or(0), &[]);
        }
        outcome.map(Ok)
    }
}

fn branch_count(encoded: &Bytes) -> usize {
    [JOIN, TRY_JOIN, SELECT]
        .iter()
        .map(|name| branches(name, encoded).map_or(0, |branches| branches.len()))
        .sum()
}
