//! Tests of workflows: run one on virtual time with stand-ins for its tasks ([`Kit`]); crash it at every commit, and see
//! that nothing is lost and nothing happens that should not ([`crash_everywhere`]).
//!
//! ```
//! use workflow_runtime::prelude::*;
//! use workflow_runtime::testing::{EffectLog, crash_everywhere};
//!
//! #[task]
//! async fn pay(context: &TaskContext, State(log): State<EffectLog>, cents: u64) -> u64 {
//!     log.record(context, format!("pay {cents}"));
//!     cents
//! }
//!
//! #[workflow]
//! async fn pay_all(invoices: Vec<u64>) -> u64 {
//!     let mut sum = 0;
//!     for cents in invoices {
//!         sum += pay(cents).await;
//!         sleep("1d").await;
//!     }
//!     sum
//! }
//!
//! // In a test: `#[tokio::test(start_paused = true)]`, so that the days pass at once.
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let log = EffectLog::new();
//! let report = crash_everywhere::<pay_all, _>(|| pay_all(vec![250, 700])).effects(&log).run().await;
//! assert_eq!(report.result(), Some(&950));
//! assert_eq!(report.effects(), ["pay 250", "pay 700"]);
//! // The engine opens; the instance starts and reaches its first await; three more awaits; the end.
//! assert_eq!(report.commits(), 6);
//! // Before and after each of the commits.
//! assert_eq!(report.crashes(), 12);
//! # });
//! ```

mod clock;
mod crash;
mod crash_store;
mod effects;
mod kit;
mod mock;
mod report;

pub use clock::VirtualClock;
pub use crash::{CrashEverywhere, crash_everywhere};
pub use crash_store::Crash;
pub use effects::{Effect, EffectLog};
pub use kit::{Kit, TestEngine};
pub(crate) use mock::Mock;
pub use mock::{Calls, TaskFn};
pub use report::{CrashMismatch, CrashReport};
