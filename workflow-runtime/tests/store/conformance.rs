//! Every store passes the suite.

use std::sync::Arc;

use workflow_runtime::store::{
    Durability, EmbeddedStore, FaultPlan, FaultyStore, MemoryStore, Store, conformance,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    conformance::check(async || Arc::new(MemoryStore::new()) as Arc<dyn Store>).await;
    let shared = MemoryStore::new();
    conformance::check_reopened(async || Arc::new(shared.clone()) as Arc<dyn Store>).await;
}

#[tokio::test]
async fn memory_on_one_thread() {
    conformance::check(async || Arc::new(MemoryStore::new()) as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_without_faults() {
    let make = || FaultyStore::new(MemoryStore::new(), FaultPlan::none());
    conformance::check(async || Arc::new(make()) as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_synced() {
    embedded(Durability::Synced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_relaxed() {
    embedded(Durability::Relaxed).await;
}

async fn embedded(durability: Durability) {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let store = EmbeddedStore::builder(folder.path().join(name))
            .durability(durability)
            .open();
        Arc::new(store.unwrap()) as Arc<dyn Store>
    };
    let mut number = 0;
    conformance::check(|| {
        number += 1;
        std::future::ready(open(&format!("{number}")))
    })
    .await;
    conformance::check_reopened(async || open("reopened")).await;
}
