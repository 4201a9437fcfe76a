//! The TiKV store passes the suite of all stores, in one region and in many.

use std::sync::Arc;

use workflow_runtime::store::{Store, TikvStore, conformance};

use super::cluster::{fresh_name, fresh_store, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite() {
    conformance::check(async || Arc::new(fresh_store("suite").await) as Arc<dyn Store>).await;
}

#[tokio::test]
async fn suite_on_one_thread() {
    conformance::check(async || Arc::new(fresh_store("single").await) as Arc<dyn Store>).await;
}

/// Regions begin within the keys that the suite uses, so that transactions have two phases and scans cross regions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suite_over_regions() {
    let (endpoints, Some(cluster)) = shared() else {
        println!("skipped: a real cluster splits when it wants to");
        return;
    };
    conformance::check(async || {
        let name = fresh_name("regions");
        let store = TikvStore::builder(endpoints.clone()).deployment(&name);
        for key in ["", "b", "c", "counter 1", "k2", "key 05", "n05"] {
            cluster.split(&name, key);
        }
        Arc::new(store.connect().await.unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reopened() {
    let name = fresh_name("reopened");
    conformance::check_reopened(async || {
        let store = TikvStore::builder(shared().0).deployment(&name).connect().await;
        Arc::new(store.unwrap()) as Arc<dyn Store>
    })
    .await;
}
