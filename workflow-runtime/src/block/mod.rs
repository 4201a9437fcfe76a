//! `async` blocks of a workflow: operations with steps of their own.
//!
//! A block runs on a line of its own, with its own position, live variables and step count. What it mentions of the
//! variables around it are its captures; they are stored as the block's input, together with the step that awaits it.
//! Each of its steps writes the position record of its line and nothing else. Where it ends, the line around it removes
//! that record with its next batch.
//!
//! Invariant: a resumed workflow does not run the code that made a block, so a block's code is found by its type alone.

mod captures;
mod code;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

pub use self::captures::{
    Captured, CapturedVariable, Captures, OwnedCapture, ReferenceCaptured, ValueCaptured,
};
pub use self::code::{BlockCode, Code, CodeSlot};
use crate::context::WorkflowContext;
use crate::halt::Halt;
use crate::operation::{BLOCK, Description, Operation, expect, write_head};
use crate::run::Run;

/// An `async` block of a workflow: an operation that can be awaited, alone or among others.
#[must_use = "nothing runs unless this is awaited"]
pub struct Block<M, C, T> {
    captures: Captures<C>,
    code: PhantomData<fn() -> (M, T)>,
}

impl<M, C, T> fmt::Debug for Block<M, C, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Block").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<M: BlockCode, C: 'static, T: Send + 'static> Operation for Block<M, C, T> {
    type Output = T;

    fn describe(description: &mut Description, point: usize) {
        description.operations.push((point, "an async block".to_owned()));
        let Some(code) = code::find::<M, C, T>() else {
            return;
        };
        let mut context = WorkflowContext::describing();
        drop(code(PhantomData, &mut context));
        description.absorb(context.into_description(), point);
    }

    fn encode(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), String> {
        write_head(out, BLOCK, "");
        self.captures.write(out)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        expect(encoded, BLOCK, "")?;
        Ok(Block {
            captures: Captures::stored(),
            code: PhantomData,
        })
    }

    async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<T, Halt> {
        let Some(code) = code::find::<M, C, T>() else {
            return Err(Halt::no_such_point());
        };
        let around = context.run()?;
        let mut inner = enter(around, &encoded)?;
        let halts = inner.halts();
        let output = loop {
            if let Some(output) = code(PhantomData, &mut inner) {
                break output;
            }
            let mut arrives = pin!(inner.arrive());
            std::future::poll_fn(|polling| match arrives.as_mut().poll(polling) {
                Poll::Ready(()) => Poll::Ready(Ok(())),
                Poll::Pending => match halts.take() {
                    Some(halt) => Poll::Ready(Err(halt)),
                    None => Poll::Pending,
                },
            })
            .await?;
        };
        inner.end_block(around)?;
        Ok(output)
    }
}

/// The context of a block's line: where it stood, if it has reached a point, else at its beginning.
fn enter(around: &Run, encoded: &Bytes) -> Result<WorkflowContext, Halt> {
    let mut line = around.block();
    let position = line.shared.lock().positions.remove(&line.scope);
    // One of an earlier block at the same place says nothing.
    if let Some(position) = position.filter(|position| position.above[..] == line.above[..]) {
        line.step = position.state.step;
        let sides = line.take_sides(&position.state);
        return WorkflowContext::resuming(line, &position.state, sides).map_err(|(halt, _)| halt);
    }
    let stored = expect(encoded, BLOCK, "")
        .map(|rest| encoded.slice_ref(rest))
        .and_then(captures::read)
        .map_err(|error| Halt::undecodable("the captures of an async block", error))?;
    Ok(WorkflowContext::beginning(line, stored))
}

/// The captures of a stored block; nothing when it is another operation.
pub(crate) fn captures_of(encoded: &Bytes) -> Vec<(String, Bytes)> {
    let rest = expect(encoded, BLOCK, "").map(|rest| encoded.slice_ref(rest));
    rest.and_then(captures::read).unwrap_or_default()
}
