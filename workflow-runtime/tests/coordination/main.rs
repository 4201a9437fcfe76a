//! Locks, elections and transactions, over stores that fail and time that is virtual.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use workflow_runtime::coordination::{CoordinationError, Coordinator};
use workflow_runtime::store::{
    Batch, CommitProfile, Error, FaultPlan, FaultyStore, MemoryStore, Store, StoreFuture, Verdict,
};
use workflow_runtime::testing::VirtualClock;

const TTL: Duration = Duration::from_secs(10);

fn memory() -> MemoryStore {
    MemoryStore::with_clock(VirtualClock::new())
}

/// A store that one process cannot reach while it is cut off.
#[derive(Debug, Clone)]
struct Cut(MemoryStore, Arc<AtomicBool>);

impl Cut {
    fn check(&self) -> Result<(), Error> {
        if self.1.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("cut off".to_owned()));
        }
        Ok(())
    }
}

impl Store for Cut {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(async move {
            self.check()?;
            self.0.get(keys).await
        })
    }
    fn scan(&self, range: std::ops::Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        Box::pin(async move {
            self.check()?;
            self.0.scan(range, limit).await
        })
    }
    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            self.check()?;
            self.0.commit(group).await
        })
    }
    fn now_ms(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            self.check()?;
            self.0.now_ms().await
        })
    }
    fn profile(&self) -> CommitProfile {
        self.0.profile()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_has_one_holder_and_is_renewed() {
    let store = memory();
    let (a, b) = (Coordinator::new(store.clone()), Coordinator::new(store));
    let first = a.acquire_lock("x", TTL).await.unwrap();
    assert!(b.try_acquire_lock("x", TTL).await.unwrap().is_none());
    assert!(b.try_acquire_lock("y", TTL).await.unwrap().is_some());
    // Far longer than its time to live.
    sleep(TTL * 50).await;
    assert!(first.is_held());
    assert!(b.try_acquire_lock("x", TTL).await.unwrap().is_none());
    let waiting = tokio::spawn(async move { b.acquire_lock("x", TTL).await.unwrap().token() });
    sleep(TTL).await;
    let token = first.token();
    first.release().await.unwrap();
    let begun = Instant::now();
    assert_eq!(waiting.await.unwrap(), token + 1);
    assert!(begun.elapsed() <= Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_guard_releases_and_a_dead_process_does_so_after_the_ttl() {
    let store = memory();
    let (a, b) = (Coordinator::new(store.clone()), Coordinator::new(store.clone()));
    drop(a.acquire_lock("x", TTL).await.unwrap());
    sleep(Duration::from_millis(1)).await;
    let guard = b.try_acquire_lock("x", TTL).await.unwrap().unwrap();
    guard.release().await.unwrap();

    let cut = Arc::new(AtomicBool::new(false));
    let dead = Coordinator::new(Cut(store, cut.clone()));
    let guard = dead.acquire_lock("x", TTL).await.unwrap();
    cut.store(true, Ordering::SeqCst);
    drop(guard);
    let begun = Instant::now();
    drop(b.acquire_lock("x", TTL).await.unwrap());
    let waited = begun.elapsed();
    assert!(
        waited > TTL - Duration::from_secs(1) && waited <= TTL + Duration::from_secs(1),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_knows_before_another_has_the_lock_and_cannot_write() {
    let store = memory();
    let cut = Arc::new(AtomicBool::new(false));
    let (a, b) = (
        Coordinator::new(Cut(store.clone(), cut.clone())),
        Coordinator::new(store),
    );
    let held = a.acquire_lock("x", TTL).await.unwrap();
    cut.store(true, Ordering::SeqCst);
    let taken = tokio::spawn(async move {
        let guard = b.acquire_lock("x", TTL).await.unwrap();
        (Instant::now(), guard, b)
    });
    held.lost().await;
    let lost = Instant::now();
    assert!(!held.is_held());
    let (gained, guard, b) = taken.await.unwrap();
    assert!(lost < gained);
    assert!(guard.token() > held.token());
    cut.store(false, Ordering::SeqCst);
    // It believes what it likes; the store knows better.
    let mut late = a.begin_transaction();
    late.require(&held);
    late.put("shared", &1).unwrap();
    let error = late.commit().await.unwrap_err();
    assert!(
        matches!(&error, CoordinationError::Conflict { key } if key == "the lock `x`"),
        "{error}"
    );
    let mut good = b.begin_transaction();
    good.require(&guard);
    good.put("shared", &2).unwrap();
    good.commit().await.unwrap();
    assert_eq!(b.begin_transaction().get::<i32>("shared").await.unwrap(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_seen_resigns_and_is_replaced() {
    let store = memory();
    let node = |name: &str| Coordinator::new(store.clone()).name(name);
    let first = node("a").elect_leader("job").await.unwrap();
    let mut observer = node("c").observe_leader("job").unwrap();
    assert_eq!(observer.changed().await.unwrap().unwrap().name, "a");
    let candidate = node("b");
    let second = tokio::spawn(async move { candidate.elect_leader("job").ttl(TTL).await.unwrap() });
    sleep(Duration::from_secs(100)).await;
    assert!(first.is_leader());
    assert_eq!(node("c").leader("job").await.unwrap().unwrap().name, "a");
    let token = first.token();
    first.resign().await.unwrap();
    let second = second.await.unwrap();
    assert!(second.token() > token);
    let leader = loop {
        if let Some(leader) = observer.changed().await.unwrap() {
            break leader;
        }
    };
    assert_eq!((leader.name.as_str(), leader.token), ("b", second.token()));
}

#[tokio::test(start_paused = true)]
async fn wrong_input_is_told() {
    let coordinator = Coordinator::new(memory());
    let error = coordinator
        .acquire_lock("x", Duration::from_millis(1))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("1ms"), "{error}");
    let error = coordinator.acquire_lock("", TTL).await.unwrap_err();
    assert!(error.to_string().contains("0 bytes"), "{error}");
    let mut transaction = coordinator.begin_transaction();
    transaction.put("k", &"text".to_owned()).unwrap();
    transaction.commit().await.unwrap();
    let error = coordinator.begin_transaction().get::<u64>("k").await.unwrap_err();
    assert!(error.to_string().contains("`k`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_sees_one_state_of_the_world() {
    let coordinator = Coordinator::new(memory());
    let set = async |a: i32, b: i32| {
        let mut both = coordinator.begin_transaction();
        both.put("a", &a).unwrap();
        both.put("b", &b).unwrap();
        both.commit().await.unwrap();
    };
    set(1, 1).await;
    let mut reader = coordinator.begin_transaction();
    assert_eq!(reader.get::<i32>("a").await.unwrap(), Some(1));
    set(2, 2).await;
    let error = reader.get::<i32>("b").await.unwrap_err();
    assert!(matches!(error, CoordinationError::Conflict { .. }), "{error}");

    let mut own = coordinator.begin_transaction();
    own.put("c", &3).unwrap();
    own.delete("a").unwrap();
    let found = own.scan::<i32>("", 10).await.unwrap();
    assert_eq!(found, [(Bytes::from("b"), 2), (Bytes::from("c"), 3)]);
    assert_eq!(own.get::<i32>("a").await.unwrap(), None);
}

/// Whatever the store does: transfers keep the sum, each counter counts each success once, and a lock has one holder.
#[test]
fn seeded_faults_break_nothing() {
    for seed in 0..150 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(faults(seed));
    }
}

async fn faults(seed: u64) {
    let store = memory();
    let counted = AtomicU64::new(0);
    let inside = AtomicBool::new(false);
    let work = async |process: u64| {
        let plan = FaultPlan::seeded(seed * 10 + process);
        let coordinator = Coordinator::new(FaultyStore::new(store.clone(), plan));
        for _ in 0..20 {
            let done = coordinator
                .transaction(async |transaction| {
                    let count = transaction.get::<u64>("count").await?.unwrap_or(0);
                    transaction.put("count", &(count + 1))?;
                    Ok::<_, CoordinationError>(())
                })
                .await;
            match done {
                Ok(()) => {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                Err(CoordinationError::Store(Error::Unavailable(_)) | CoordinationError::Conflict { .. }) => {
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
            if let Ok(guard) = coordinator.acquire_lock("lock", TTL).await {
                assert!(!inside.swap(true, Ordering::SeqCst), "seed {seed}: two holders");
                sleep(Duration::from_millis(500)).await;
                assert!(guard.is_held(), "seed {seed}");
                inside.store(false, Ordering::SeqCst);
                let _ = guard.release().await;
            }
        }
    };
    tokio::join!(work(1), work(2), work(3));
    let count = Coordinator::new(store)
        .begin_transaction()
        .get::<u64>("count")
        .await
        .unwrap()
        .unwrap_or(0);
    assert_eq!(count, counted.load(Ordering::SeqCst), "seed {seed}");
}
