//! Engines do the same on every store; those on TiKV are in `tests/tikv.rs`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use workflow_runtime::store::{EmbeddedStore, Error, MemoryStore, Store};

use super::suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory() {
    let shared = MemoryStore::new();
    suite::check(async || Arc::new(shared.clone()) as Arc<dyn Store>).await;
    let shared = MemoryStore::new();
    suite::check_take_over(async || Arc::new(shared.clone()) as Arc<dyn Store>).await;
}

/// Opens a folder. What an aborted engine has spawned may hold its store for a moment longer.
async fn open(folder: &Path) -> EmbeddedStore {
    for _ in 0..1000 {
        match EmbeddedStore::open(folder) {
            Err(Error::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("the engine before does not let go of its store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    let folder = tempfile::tempdir().unwrap();
    suite::check(async || Arc::new(open(folder.path()).await) as Arc<dyn Store>).await;
    // Within one process two engines can share an open store.
    let folder = tempfile::tempdir().unwrap();
    let shared = Arc::new(EmbeddedStore::open(folder.path()).unwrap());
    suite::check_take_over(async || shared.clone() as Arc<dyn Store>).await;
}
