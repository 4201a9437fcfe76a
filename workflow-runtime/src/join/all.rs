//! Any number of operations of one type at once: `join_all`.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::branch::{branch, enlist_branch};
use super::encoding::{BranchWriter, JOIN, branches, parts};
use crate::Durable;
use crate::context::WorkflowContext;
use crate::halt::Halt;
use crate::operation::{Description, Operation};
use crate::run::{Lines, Run};
use crate::store::Batch;

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
        run.forget_below();
        Ok(outputs.into_iter().flatten().collect())
    }
}

impl<O> fmt::Debug for JoinAll<O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JoinAll").finish_non_exhaustive()
    }
}
