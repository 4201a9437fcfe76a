//! Processes that are killed in the middle of their commits: clients, and the cluster.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use workflow_runtime::store::TikvStore;

use super::cluster::{Cluster, fresh_name};
use super::ledger::{self, Tally};

const ENDPOINT: &str = "WORKFLOW_TEST_TIKV_ENDPOINT";
const NAME: &str = "WORKFLOW_TEST_TIKV_NAME";
const CHILD: &str = "crash::child_commits_until_it_is_killed";
const COUNTERS: usize = 8;

fn counter(number: usize) -> String {
    format!("counter {number}")
}

/// The child's part; does nothing when run as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_commits_until_it_is_killed() {
    let (Ok(endpoint), Ok(name)) = (std::env::var(ENDPOINT), std::env::var(NAME)) else {
        return;
    };
    let store = TikvStore::builder([endpoint])
        .deployment(name)
        .connect()
        .await
        .unwrap();
    let tasks: Vec<_> = (0..COUNTERS)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let counter = counter(number);
                let mut tally = Tally::default();
                for from in ledger::read(&store, &counter).await.unwrap().. {
                    ledger::advance(&store, &counter, from, true, &mut tally).await;
                    let mut output = std::io::stdout().lock();
                    writeln!(output, "acknowledged {number} {}", from + 1).unwrap();
                    output.flush().unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// A client dies at any moment of its transactions. Nothing that it acknowledged is lost, nothing is torn, and its locks
/// hold nobody up for longer than their time to live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_clients_lose_nothing_and_hold_up_nobody() {
    let Some(cluster) = Cluster::own(false) else {
        return;
    };
    let name = fresh_name("killed");
    // Two phases: between them a client leaves locks.
    cluster.split(&name, "m");
    let mut acknowledged = [0; COUNTERS];
    for round in 0..6_u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--nocapture"])
            .env(ENDPOINT, cluster.endpoint())
            .env(NAME, &name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: &str| {
            // The test harness's own words may come before the first number on its line.
            if let Some((_, numbers)) = line.split_once("acknowledged ")
                && let Some((number, value)) = numbers.split_once(' ')
            {
                acknowledged[number.parse::<usize>().unwrap()] = value.parse::<u64>().unwrap();
            }
        };
        for _ in 0..40 + 13 * round {
            note(&lines.next().expect("the child runs until it is killed").unwrap());
        }
        if round % 2 == 1 {
            // It dies while its commit is on the way: prewritten, and never committed.
            cluster.inject("KvCommit", "lose-request", 0, 1000, 0);
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            note(&line.unwrap());
        }
        cluster.clear_faults();
        let begin = Instant::now();
        let store = cluster.store(&name).connect().await.unwrap();
        for (number, acknowledged) in acknowledged.iter().enumerate() {
            let found = ledger::read(&store, &counter(number)).await.unwrap();
            assert!(
                (*acknowledged..=acknowledged + 1).contains(&found),
                "round {round}, counter {number}: {found}, but {acknowledged} is acknowledged"
            );
        }
        let waited = begin.elapsed();
        assert!(
            waited < Duration::from_secs(12),
            "round {round}: locks of a dead client for {waited:?}"
        );
    }
}

/// The whole cluster is killed, TiKV and PD, while a client commits to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_cluster_loses_nothing() {
    let Some(mut cluster) = Cluster::own(true) else {
        return;
    };
    let name = fresh_name("cluster");
    cluster.split(&name, "m");
    let store = cluster.store(&name).request_timeout(Duration::from_millis(500));
    let store = store.connect().await.unwrap();
    let tasks: Vec<_> = (0..COUNTERS)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { ledger::alone(&store, &counter(number), 150).await })
        })
        .collect();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.kill_and_start();
    }
    for task in tasks {
        let tally = task.await.unwrap();
        assert_eq!(tally.applied, 150);
    }
    for number in 0..COUNTERS {
        assert_eq!(ledger::read(&store, &counter(number)).await.unwrap(), 150);
    }
}
