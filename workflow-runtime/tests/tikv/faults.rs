//! Every request of a commit is lost, delayed, refused, or answered into the void: no step is lost or taken twice.

use std::time::Duration;

use workflow_runtime::store::{Store, TikvStore};

use super::cluster::{Cluster, fresh_name};
use super::ledger::{self, Tally};

/// More than the client sends again by itself, so that the store gets to see the fault.
const PERSISTENT: u32 = 12;

async fn connect(cluster: &Cluster, name: &str) -> TikvStore {
    let store = cluster
        .store(name)
        .request_timeout(Duration::from_millis(400))
        .patience(Duration::from_secs(15));
    store.connect().await.unwrap()
}

/// Runs counters under one fault, in one region and over two.
async fn under(rpc: &str, kind: &str, skip: u32, count: u32, milliseconds: u32) -> Tally {
    let Some(cluster) = Cluster::own(false) else {
        return Tally::default();
    };
    let mut all = Tally::default();
    for is_split in [false, true] {
        let name = fresh_name("fault");
        if is_split {
            cluster.split(&name, "m");
        }
        let store = connect(&cluster, &name).await;
        ledger::alone(&store, "warm", 2).await;
        let before = cluster.injected();
        cluster.inject(rpc, kind, skip, count, milliseconds);
        for counter in ["one", "two"] {
            let tally = ledger::alone(&store, counter, 4).await;
            all.applied += tally.applied;
            all.unknown += tally.unknown;
        }
        // In one region nothing is committed by a request of its own.
        if rpc != "KvCommit" || is_split {
            assert!(cluster.injected() > before, "{rpc} {kind}: no fault was injected");
        }
        cluster.clear_faults();
        assert_eq!(ledger::read(&store, "one").await.unwrap(), 4);
    }
    all
}

macro_rules! faults {
    ($($name:ident: $rpc:literal $kind:literal $skip:literal $count:expr, $milliseconds:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let tally = under($rpc, $kind, $skip, $count, $milliseconds).await;
                assert_eq!(tally.unknown, 0, "the store found out what became of each commit");
            }
        )*
    };
}

faults! {
    prewrite_answer_lost_once: "KvPrewrite" "lose-answer" 1 1, 0;
    prewrite_answers_lost: "KvPrewrite" "lose-answer" 1 PERSISTENT, 0;
    prewrites_lost: "KvPrewrite" "lose-request" 1 PERSISTENT, 0;
    prewrites_late: "KvPrewrite" "late" 1 PERSISTENT, 700;
    prewrites_hang: "KvPrewrite" "hang" 1 3, 5000;
    prewrites_delayed: "KvPrewrite" "delay" 1 2, 600;
    prewrites_busy: "KvPrewrite" "busy" 1 PERSISTENT, 0;
    prewrites_at_no_leader: "KvPrewrite" "not-leader" 1 PERSISTENT, 0;
    commit_answer_lost_once: "KvCommit" "lose-answer" 0 1, 0;
    commit_answers_lost: "KvCommit" "lose-answer" 0 PERSISTENT, 0;
    commits_lost: "KvCommit" "lose-request" 0 PERSISTENT, 0;
    commits_late: "KvCommit" "late" 0 PERSISTENT, 700;
    commits_hang: "KvCommit" "hang" 0 2, 5000;
    commits_busy: "KvCommit" "busy" 0 PERSISTENT, 0;
    commits_at_no_leader: "KvCommit" "not-leader" 0 PERSISTENT, 0;
    reads_lost: "KvBatchGet" "lose-request" 1 PERSISTENT, 0;
    reads_hang: "KvBatchGet" "hang" 1 2, 5000;
    reads_busy: "KvBatchGet" "busy" 1 PERSISTENT, 0;
    timestamps_lost: "Tso" "lose-request" 1 2, 0;
    timestamps_delayed: "Tso" "delay" 1 2, 3000;
}

/// The requests that find out what became of a commit fail too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finding_out_is_disturbed() {
    let Some(cluster) = Cluster::own(false) else {
        return;
    };
    let name = fresh_name("finding");
    cluster.split(&name, "m");
    let store = connect(&cluster, &name).await;
    ledger::alone(&store, "warm", 2).await;
    for (round, kind) in ["lose-answer", "lose-request", "busy", "late"]
        .into_iter()
        .enumerate()
    {
        for commit in ["KvPrewrite", "KvCommit"] {
            cluster.inject(commit, "lose-answer", 0, PERSISTENT, 0);
            for rpc in [
                "KvCheckTxnStatus",
                "KvResolveLock",
                "KvBatchGet",
                "KvBatchRollback",
            ] {
                cluster.inject(rpc, kind, 0, 5, 300);
            }
            let tally = ledger::alone(&store, &format!("{commit} {round}"), 3).await;
            assert_eq!(tally.unknown, 0, "{kind}");
            cluster.clear_faults();
        }
    }
}

/// The store says that it does not know, and what a later read finds is final: a request that arrives after that read
/// changes nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_is_decided_by_the_next_read() {
    let Some(cluster) = Cluster::own(false) else {
        return;
    };
    for is_split in [false, true] {
        let name = fresh_name("unknown");
        if is_split {
            cluster.split(&name, "m");
        }
        let store = cluster
            .store(&name)
            .request_timeout(Duration::from_millis(200))
            .patience(Duration::from_millis(400));
        let store = store.connect().await.unwrap();
        ledger::alone(&store, "warm", 2).await;
        // The write arrives two seconds late; what asks for its outcome is lost for longer than patience lasts.
        cluster.inject("KvPrewrite", "late", 0, 40, 2000);
        cluster.inject("KvCheckTxnStatus", "lose-request", 0, 1000, 0);
        let mut tally = Tally::default();
        {
            let mut step = std::pin::pin!(ledger::advance(&store, "late", 0, true, &mut tally));
            // Not answered while nobody can find out.
            let early = tokio::time::timeout(Duration::from_millis(1200), step.as_mut()).await;
            assert!(early.is_err(), "the store knew what it could not know");
            cluster.clear_faults();
            step.await;
        }
        assert!(tally.unknown > 0, "{tally:?}");
        assert_eq!(tally.applied, 1);
        // Everything that was late has arrived by now.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(
            ledger::read(&store, "late").await.unwrap(),
            1,
            "split: {is_split}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_does_not_go_back_when_pd_restarts() {
    let Some(cluster) = Cluster::own(false) else {
        return;
    };
    let store = connect(&cluster, &fresh_name("clock")).await;
    let mut latest_ms = 0;
    for _ in 0..3 {
        for _ in 0..50 {
            let now_ms = store.now_ms().await.unwrap();
            assert!(
                now_ms >= latest_ms,
                "the clock went back from {latest_ms} to {now_ms}"
            );
            latest_ms = now_ms;
        }
        cluster.restart_pd(50);
    }
}
