//! Engines on the TiKV store pass the suite of all stores; and a cluster that restarts under them changes nothing.

use std::sync::Arc;
use std::time::Duration;

use workflow_runtime::store::{Store, TikvStore};

use super::cluster::{Cluster, fresh_name, shared};
use super::suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines() {
    let name = fresh_name("engines");
    let open = async || {
        let store = TikvStore::builder(shared().0).deployment(&name).connect().await;
        Arc::new(store.unwrap()) as Arc<dyn Store>
    };
    suite::check(open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn take_over() {
    let name = fresh_name("takeover");
    let open = async || {
        let store = TikvStore::builder(shared().0).deployment(&name).connect().await;
        Arc::new(store.unwrap()) as Arc<dyn Store>
    };
    suite::check_take_over(open).await;
}

/// TiKV restarts and regions split while the suite runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_while_tikv_restarts() {
    engines_in_trouble(|cluster| cluster.restart_store(100)).await;
}

/// PD restarts and regions split while the suite runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_while_pd_restarts() {
    engines_in_trouble(|cluster| cluster.restart_pd(100)).await;
}

async fn engines_in_trouble(restart: fn(&Cluster)) {
    let Some(cluster) = Cluster::own(false) else {
        return;
    };
    let cluster = Arc::new(cluster);
    let name = fresh_name("trouble");
    let troubles = tokio::task::spawn_blocking({
        let (cluster, name) = (cluster.clone(), name.clone());
        move || {
            for round in 0..4 {
                std::thread::sleep(Duration::from_millis(600));
                // Among the engine's keys: namespace, then two bytes of shard.
                cluster.split(&name, &format!("w\u{1}default\0\0{}", char::from(round * 13 + 5)));
                restart(&cluster);
            }
        }
    });
    suite::check(async || {
        let store = cluster.store(&name).request_timeout(Duration::from_millis(500));
        Arc::new(store.connect().await.unwrap()) as Arc<dyn Store>
    })
    .await;
    troubles.await.unwrap();
}
