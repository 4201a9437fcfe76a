//! What the engine does with instances: starts, failures, blocks, messages, timers, shutdowns, and a store that fails.

mod blocked;
mod bulk;
mod children;
mod children_given_up;
mod children_wait;
mod control;
mod early;
mod faults;
mod liveness;
mod messages;
mod signals;
mod starts;
mod tasks;
mod volume;

use workflow_runtime::store::MemoryStore;
use workflow_runtime::testing::VirtualClock;
use workflow_runtime::{Registry, WorkflowEngine};

/// A store on virtual time.
fn memory() -> MemoryStore {
    MemoryStore::with_clock(VirtualClock::new())
}

/// An engine on a store that may have been used before.
async fn open<R: Registry>(store: &MemoryStore) -> WorkflowEngine<R> {
    WorkflowEngine::builder()
        .store(store.clone())
        .build()
        .await
        .unwrap()
}
