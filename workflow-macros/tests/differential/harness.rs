//! Runs both forms of a case and compares them.

use std::fmt::Debug;
use std::future::Future;
use std::task::{Context, Poll, Waker};

use crate::WorkflowContext;
use crate::context::Checkpoint;
use crate::runtime::{Workflow, take_log};

/// Declares cases: the calls to make, then the function. No task ever waits, so one poll runs a function to its end.
macro_rules! both {
    ($([$($call:ident $arguments:tt),*] async fn $name:ident $parameters:tt -> $output:ty { $($body:tt)* })*) => {
        mod plain {
            use super::*;
            $(pub async fn $name $parameters -> $output { $($body)* })*
        }
        mod durable {
            use super::*;
            $(#[crate::workflow] pub async fn $name $parameters -> $output { $($body)* })*
        }
        $(
            #[test]
            fn $name() {
                $(
                    crate::harness::compare(
                        stringify!($call $arguments),
                        || durable::$call $arguments.input,
                        plain::$call $arguments,
                    );
                )*
            }
        )*
    };
}

/// The output of a future that never waits; `None` when it stops for ever.
fn finish<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

pub fn compare<W: Workflow>(name: &str, input: impl Fn() -> W, plain: impl Future<Output = W::Output>)
where
    W::Output: Debug + PartialEq,
{
    take_log();
    let expected = finish(plain);
    let effects = take_log();

    let mut context = WorkflowContext::default();
    let output = finish(W::run(Some(input()), &mut context));
    assert_eq!(output, expected, "{name}, halted: {:?}", context.halted);
    assert_eq!(take_log(), effects, "the effects of {name}");

    let checkpoints = context.checkpoints;
    for (index, checkpoint) in checkpoints.iter().enumerate() {
        let point = W::POINTS[checkpoint.point];
        let mut context = WorkflowContext::resuming(checkpoint.clone());
        let output = finish(W::run(None, &mut context));
        assert_eq!(
            output, expected,
            "{name} resumed at {point}, halted: {:?}",
            context.halted
        );
        assert_eq!(
            take_log(),
            effects[checkpoint.effects..],
            "the effects of {name} resumed at {point}"
        );
        let relative = |checkpoints: &[Checkpoint]| -> Vec<Checkpoint> {
            checkpoints
                .iter()
                .map(|checkpoint| Checkpoint {
                    effects: 0,
                    ..checkpoint.clone()
                })
                .collect()
        };
        let (further, all) = (
            relative(&context.checkpoints),
            relative(&checkpoints[index + 1..]),
        );
        assert_eq!(further, all, "the checkpoints of {name} resumed at {point}");
    }

    let mut context = WorkflowContext::describing();
    assert!(finish(W::run(None, &mut context)).is_none());
    assert_eq!(context.described, W::POINTS.len(), "the points of {name}");
}
