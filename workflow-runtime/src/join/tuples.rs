//! A few operations of different types at once: `join!`, `try_join!` and `select!`.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

use super::branch::{branch, contender, decode, enlist_branch, forget_timers, stored_output, stored_winner};
use super::encoding::{BranchWriter, JOIN, SELECT, TRY_JOIN, branches, parts};
use crate::Durable;
use crate::context::WorkflowContext;
use crate::halt::Halt;
use crate::operation::{Description, Operation};
use crate::run::{Lines, Run};
use crate::store::Batch;

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
debug!(Join, TryJoin, Select);

/// Operations of different types, side by side.
trait Branches: Sized {
    fn describe(description: &mut Description, point: usize);
    fn encode(&mut self, name: &str, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String>;
    fn decode(name: &str, encoded: &[u8]) -> Result<Self, String>;
    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt>;
}

/// What the three of them have in common.
macro_rules! forward {
    ($type:ident, $name:ident, $tuple:ty) => {
        fn describe(description: &mut Description, point: usize) {
            <$tuple as Branches>::describe(description, point);
        }

        fn encode(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
            self.0.encode($name, now_ms, out)
        }

        fn decode(encoded: &[u8]) -> Result<Self, String> {
            <$tuple as Branches>::decode($name, encoded).map($type)
        }

        fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
            self.0.enlist(run, batch)
        }
    };
}

macro_rules! tuples {
    ($($either:ident $count:literal: $($operation:ident $variant:ident $output:ident $future:ident $place:tt),*;)*) => { $(
        impl<$($operation: Operation),*> Branches for ($($operation,)*) {
            fn describe(description: &mut Description, point: usize) {
                $($operation::describe(description, point);)*
            }

            fn encode(&mut self, name: &str, now_ms: u64, out: &mut Vec<u8>) -> Result<(), String> {
                let mut writer = BranchWriter::new(name, now_ms, out);
                $(writer.branch(&mut self.$place)?;)*
                Ok(())
            }

            fn decode(name: &str, encoded: &[u8]) -> Result<Self, String> {
                let parts = branches(name, &Bytes::copy_from_slice(encoded))?;
                if parts.len() != $count {
                    return Err(format!("the stored {name} has {} branches, the code has {}", parts.len(), $count));
                }
                Ok(($($operation::decode(&parts[$place])?,)*))
            }

            fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
                $(enlist_branch(run, $place, &self.$place, batch)?;)*
                Ok(())
            }
        }

        impl<$($operation: Operation),*> Operation for Join<($($operation,)*)>
        where $($operation::Output: Durable),*
        {
            type Output = ($($operation::Output,)*);

            forward!(Join, JOIN, ($($operation,)*));

            async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
                let parts = parts(JOIN, &encoded, $count)?;
                let run = context.run()?;
                let lines = Lines::split(run, $count);
                let outputs = tokio::try_join!(
                    $(branch(run, &lines, $place, self.0.$place, parts[$place].clone())),*
                )?;
                drop(lines);
                run.forget_below();
                Ok(outputs)
            }
        }

        impl<$($operation, $output,)* E> Operation for TryJoin<($($operation,)*)>
        where
            $($operation: Operation<Output = Result<$output, E>>, $output: Durable,)*
            E: Durable,
        {
            type Output = Result<($($output,)*), E>;

            forward!(TryJoin, TRY_JOIN, ($($operation,)*));

            async fn perform(self, context: &mut WorkflowContext, encoded: Bytes) -> Result<Self::Output, Halt> {
                let parts = parts(TRY_JOIN, &encoded, $count)?;
                let run = context.run()?;
                // A failure that was stored before a crash decides; the children of the others may be cancelled already.
                let failed = 'stored: {
                    $(if let Some(Err(error)) = stored_output::<$operation::Output>(run, $place)? {
                        break 'stored Some(error);
                    })*
                    None
                };
                let outcome = match failed {
                    Some(error) => Err(Stop::Failed(error)),
                    None => {
                        let lines = Lines::split(run, $count);
                        tokio::try_join!(
                            $(or_stop(branch(run, &lines, $place, self.0.$place, parts[$place].clone()))),*
                        )
                    }
                };
                if matches!(outcome, Err(Stop::Failed(_))) {
                    run.give_up_children(&parts, None).await?;
                }
                run.give_back(&run.scope);
                forget_timers(run, &parts);
                run.forget_below();
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

            forward!(Select, SELECT, ($($operation,)*));

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
                run.give_up_children(&parts, Some(winner)).await?;
                run.give_back(&run.scope);
                forget_timers(run, &parts);
                run.forget_below();
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
