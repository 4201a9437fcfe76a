//! Orders to all instances that match a filter.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::store::{FaultPlan, FaultyStore, MemoryStore, Store};
use workflow_runtime::testing::EffectLog;
use workflow_runtime::{BulkError, BulkReport, InstanceId, InstanceStatus, ListFilter, StatusKind};

use super::memory;

#[derive(Clone, Serialize, Deserialize)]
struct Go;
impl Signal for Go {
    const NAME: &'static str = "go";
}

#[task]
async fn tidied(State(log): State<EffectLog>, n: u32) {
    log.note(format!("tidied {n}"));
}

#[task]
async fn broken(State(log): State<EffectLog>, n: u32) -> u32 {
    assert!(log.texts().contains(&"mended".to_owned()), "broken {n}");
    n
}

/// Asked to stop, it cleans up for an hour; asked twice, it would not get to its end.
#[workflow]
async fn worker(n: u32) -> u32 {
    if receive::<Go>().cancellable().await.is_err() {
        sleep("1h").await;
        tidied(n).await;
    }
    n
}

#[workflow]
async fn blocker(n: u32) -> u32 {
    broken(n).await
}

workflows! { App { worker, blocker } }

async fn open<S: Store>(store: S, log: &EffectLog) -> Option<WorkflowEngine<App>> {
    let builder = WorkflowEngine::<App>::builder().store(store).state(log.clone());
    builder.waiting_in_memory(100).build().await.ok()
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

async fn count(engine: &WorkflowEngine<App>, filter: ListFilter) -> usize {
    let (mut count, mut filter) = (0, filter.limit(1000));
    loop {
        let page = engine.list(filter.clone()).await.unwrap();
        count += page.instances.len();
        match page.next {
            Some(next) => filter = filter.after(next),
            None => return count,
        }
    }
}

fn counts(report: &BulkReport) -> (u64, u64, u64) {
    (report.ordered, report.skipped, report.failed)
}

#[tokio::test(start_paused = true)]
async fn each_verb_by_each_part_of_a_filter() {
    let (store, log) = (memory(), EffectLog::new());
    let engine = open(store.clone(), &log).await.unwrap();
    for n in 0..40 {
        engine.start(worker(n)).id(format!("east-{n}")).await.unwrap();
        engine.start(worker(n)).id(format!("west-{n}")).await.unwrap();
    }
    for n in 0..10 {
        engine.start(blocker(n)).id(format!("blocked-{n}")).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let all = ListFilter::default;
    let east = all().id_prefix("east-");
    assert_eq!(count(&engine, east.clone()).await, 40);
    assert_eq!(count(&engine, all().status(StatusKind::Blocked)).await, 10);
    assert_eq!(
        count(
            &engine,
            all().status(StatusKind::Blocked).status(StatusKind::Waiting)
        )
        .await,
        90
    );
    // A page behind one of another prefix is some page, and no panic.
    assert!(count(&engine, east.clone().after(id("zz"))).await <= 40);

    let report = engine.bulk("pause", east.clone()).pause("night").await.unwrap();
    assert_eq!(counts(&report), (40, 0, 0));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(count(&engine, all().status(StatusKind::Paused)).await, 40);
    let report = engine
        .bulk("pause again", all().workflow("worker"))
        .pause("night")
        .await
        .unwrap();
    assert_eq!(
        counts(&report),
        (40, 40, 0),
        "those that are paused already are skipped"
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = engine
        .bulk("morning", all().status(StatusKind::Paused))
        .resume()
        .await
        .unwrap();
    assert_eq!(counts(&report), (80, 0, 0));
    tokio::time::sleep(Duration::from_secs(1)).await;

    log.note("mended");
    let report = engine.bulk("mended", all()).retry().await.unwrap();
    assert_eq!(counts(&report), (10, 80, 0));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        count(&engine, all().workflow("blocker").status(StatusKind::Completed)).await,
        10
    );

    // Times are the store's; what is started later than a bulk order is none of its business.
    let start = |engine: &WorkflowEngine<App>, name: &str| engine.start(worker(7)).id(name.to_owned());
    let now = store.now_ms().await.unwrap();
    let time = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    tokio::time::sleep(Duration::from_secs(60)).await;
    start(&engine, "late").await.unwrap();
    let late = all().started_from(time(now + 1000));
    assert_eq!(count(&engine, late.clone()).await, 1);
    let old = all()
        .started_before(time(now))
        .workflow("worker")
        .id_prefix("west-");
    let report = engine.bulk("end", old).terminate("over").await.unwrap();
    assert_eq!(counts(&report), (40, 0, 0));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(count(&engine, all().status(StatusKind::Terminated)).await, 40);

    // The name is the order's.
    let again = engine.bulk("end", late).terminate("over").await.unwrap_err();
    assert!(matches!(again, BulkError::OtherOrder { .. }), "{again}");
    assert!(matches!(
        engine.bulk("", all()).resume().await,
        Err(BulkError::Name(_))
    ));
}

/// A crash before or after each commit of a bulk order, and then the same call again: everybody gets the order once.
#[tokio::test(start_paused = true)]
async fn a_crash_in_the_middle_and_the_same_call_again() {
    const WORKERS: u32 = 150;
    let mut point = 0;
    let mut crashes = 0;
    loop {
        let (store, log) = (memory(), EffectLog::new());
        let engine = open(store.clone(), &log).await.unwrap();
        for n in 0..WORKERS {
            engine.start(worker(n)).id(format!("w-{n}")).await.unwrap();
        }
        // One that is paused is ended at once.
        engine.pause(&id("w-0"), "later").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        engine.shutdown().await;
        point += 1;
        let plan = match point % 2 {
            0 => FaultPlan::none().crash_after_commit(point * 3 / 2),
            _ => FaultPlan::none().crash_before_commit(point * 3 / 2 + 1),
        };
        let faulty = Arc::new(FaultyStore::new(store.clone(), plan));
        let ask = |engine: WorkflowEngine<App>| async move {
            let filter = ListFilter::default().workflow("worker");
            engine.bulk("evening", filter).cancel("go home").await
        };
        let first = match open(faulty.clone(), &log).await {
            None => None,
            Some(engine) => {
                let answer = tokio::time::timeout(Duration::from_secs(60), ask(engine.clone())).await;
                engine.abort().await;
                Some(answer)
            }
        };
        let crashed = faulty.is_crashed();
        let engine = open(store.clone(), &log).await.unwrap();
        let report = ask(engine.clone()).await.unwrap();
        assert_eq!(
            counts(&report),
            (u64::from(WORKERS), 0, 0),
            "point {point}: {first:?}"
        );
        assert_eq!(ask(engine.clone()).await.unwrap(), report);
        tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
        assert_eq!(count(&engine, ListFilter::default().open_only()).await, 0);
        let mut texts = log.texts();
        texts.sort();
        texts.dedup();
        assert_eq!(
            texts.len(),
            usize::try_from(WORKERS).unwrap() - 1,
            "point {point}"
        );
        assert!(matches!(
            engine.status(&id("w-0")).await.unwrap().unwrap(),
            InstanceStatus::Cancelled { .. }
        ));
        for n in 1..WORKERS {
            let status = engine.status(&id(&format!("w-{n}"))).await.unwrap().unwrap();
            assert_eq!(status, InstanceStatus::Completed, "point {point}, worker {n}");
        }
        if !crashed {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 20, "{crashes}");
}

/// Two who ask for the same order at once share the work; a store that fails gives an error, and the call is repeated.
#[tokio::test(start_paused = true)]
async fn askers_share_one_order() {
    for seed in 0..60 {
        let (store, log) = (memory(), EffectLog::new());
        let engine = open(store.clone(), &log).await.unwrap();
        for n in 0..100 {
            engine.start(worker(n)).id(format!("w-{n}")).await.unwrap();
        }
        engine.shutdown().await;
        let faulty = Arc::new(FaultyStore::new(store.clone(), FaultPlan::seeded(seed)));
        let Some(engine) = open(faulty, &log).await else {
            continue;
        };
        let ask = || {
            let engine = engine.clone();
            async move {
                for _ in 0..500 {
                    match engine
                        .bulk("evening", ListFilter::default())
                        .cancel("go home")
                        .await
                    {
                        Ok(report) => return report,
                        Err(BulkError::Store(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
                        Err(error) => panic!("{error}"),
                    }
                }
                panic!("the store never answered")
            }
        };
        let (one, two) = tokio::join!(ask(), ask());
        assert_eq!(one, two);
        assert_eq!(counts(&one), (100, 0, 0), "seed {seed}");
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        let mut texts = log.texts();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 100, "seed {seed}");
        engine.abort().await;
        let engine = open(store.clone(), &log).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        assert_eq!(
            count(&engine, ListFilter::default().status(StatusKind::Completed)).await,
            100
        );
    }
}

/// Memory does not grow with the number of instances.
#[tokio::test(start_paused = true)]
async fn thousands_of_instances_pass_through_the_memory() {
    const COUNT: u32 = 10_000;
    let (store, log): (MemoryStore, _) = (memory(), EffectLog::new());
    let engine = open(store.clone(), &log).await.unwrap();
    for n in 0..COUNT {
        engine.start(worker(n)).id(format!("w-{n}")).await.unwrap();
    }
    let watched = {
        let engine = engine.clone();
        async move {
            let mut most = 0;
            loop {
                most = most.max(engine.stats().in_memory);
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_micros(100)) => {}
                    () = tokio::task::yield_now() => {}
                }
                if most == usize::MAX {
                    return most;
                }
                MOST.fetch_max(most, std::sync::atomic::Ordering::SeqCst);
            }
        }
    };
    let watching = tokio::spawn(watched);
    let report = engine
        .bulk("all", ListFilter::default())
        .terminate("over")
        .await
        .unwrap();
    watching.abort();
    assert_eq!(counts(&report), (u64::from(COUNT), 0, 0));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(count(&engine, ListFilter::default().open_only()).await, 0);
    let most = MOST.load(std::sync::atomic::Ordering::SeqCst);
    assert!(most < 2_500, "{most} instances in memory at once");
}

static MOST: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
