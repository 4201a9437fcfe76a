//! Runs both forms of a case and compares them.

use std::fmt::Debug;
use std::future::Future;

use workflow_runtime::store::MemoryStore;
use workflow_runtime::testing::{VirtualClock, crash_everywhere};
use workflow_runtime::{Workflow, WorkflowCall, WorkflowEngine};

use crate::tasks::take_log;

/// Declares cases: the calls to make, then the function.
macro_rules! both {
    ($([$($call:ident $arguments:tt),*] async fn $name:ident $parameters:tt -> $output:ty { $($body:tt)* })*) => {
        mod plain {
            use super::*;
            #[allow(unused_imports)]
            use futures_util::future::join_all;
            $(pub async fn $name $parameters -> $output { $($body)* })*
        }
        mod durable {
            use super::*;
            #[allow(unused_imports)]
            use workflow_runtime::join_all;
            $(#[workflow_runtime::workflow] pub async fn $name $parameters -> $output { $($body)* })*
        }
        $(
            #[test]
            fn $name() {
                $(
                    crate::harness::compare(
                        stringify!($call $arguments),
                        || durable::$call $arguments,
                        plain::$call $arguments,
                    );
                )*
            }
        )*
    };
}

/// At most so many commits of a case are crashed at.
const PLACES: usize = 24;

pub fn compare<W: Workflow>(
    name: &str,
    call: impl Fn() -> WorkflowCall<W> + 'static,
    plain: impl Future<Output = W::Output>,
) where
    W::Output: Debug + PartialEq,
{
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        take_log();
        let expected = plain.await;
        let effects = take_log();

        let store = MemoryStore::with_clock(VirtualClock::new());
        let engine = WorkflowEngine::<W>::builder().store(store).build().await.unwrap();
        let output = engine.start(call()).await.unwrap().result().await.unwrap();
        engine.shutdown().await;
        assert_eq!(output, expected, "{name}");
        assert_eq!(take_log(), effects, "the effects of {name}");

        let report = crash_everywhere::<W, W>(call).at_most(PLACES).run().await;
        assert_eq!(report.result(), Some(&expected), "{name} under crashes");
    });
}
