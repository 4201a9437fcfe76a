//! Children: what their parent's end means for them, and theirs for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use workflow_runtime::prelude::*;
use workflow_runtime::store::{FaultPlan, FaultyStore, MemoryStore};
use workflow_runtime::testing::EffectLog;
use workflow_runtime::{InstanceId, InstanceStatus, ListFilter, ResultError};

use super::memory;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum Trouble {
    #[error("stopped: {0}")]
    Stopped(String),
    #[error("bad number {0}")]
    Bad(u32),
}

impl From<ChildFailure> for Trouble {
    fn from(failure: ChildFailure) -> Self {
        Trouble::Stopped(failure.to_string())
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Go;
impl Signal for Go {
    const NAME: &'static str = "go";
}

#[task]
async fn note(context: &TaskContext, State(log): State<EffectLog>, text: String) {
    log.record(context, text);
}

/// Cleans up when it is asked to stop.
#[workflow]
async fn tidy(name: String) -> String {
    match sleep("30d").cancellable().await {
        Ok(()) => "slept".to_owned(),
        Err(Cancelled { .. }) => {
            note(format!("tidied {name}")).await;
            sleep("1h").await;
            note(format!("left {name}")).await;
            "tidied".to_owned()
        }
    }
}

#[workflow]
async fn stubborn(n: u32) -> u32 {
    receive::<Go>().await;
    n
}

#[workflow]
async fn fallible(n: u32) -> Result<u32, Trouble> {
    receive::<Go>().await;
    if n == 0 { Err(Trouble::Bad(n)) } else { Ok(n) }
}

/// Starts three children and ends before they do.
#[workflow]
async fn family(how: u32) -> Result<u32, Trouble> {
    let one = tidy("one".to_owned()).id("cancelled").start().await;
    let two = stubborn(2)
        .id("terminated")
        .parent_close_policy(ParentClosePolicy::Terminate)
        .start()
        .await;
    let three = stubborn(3)
        .id("abandoned")
        .parent_close_policy(ParentClosePolicy::Abandon)
        .start()
        .await;
    let four = stubborn(4).id("detached").detached().await;
    assert_eq!([one.id(), two.id(), three.id(), four.id()].len(), 4);
    match how {
        0 => Ok(1),
        1 => Err(Trouble::Bad(1)),
        2 => panic!("blocked"),
        _ => {
            sleep("1h").await;
            Ok(2)
        }
    }
}

#[workflow]
async fn dynasty(depth: u32) -> u32 {
    if depth == 0 {
        tidy("leaf".to_owned()).id("leaf").await;
    } else {
        dynasty(depth - 1).id(format!("dynasty-{}", depth - 1)).await;
    }
    depth
}

#[workflow]
async fn awaits(n: u32) -> Result<u32, Trouble> {
    fallible(n).id("child").await
}

#[workflow]
async fn awaits_mutely(n: u32) -> u32 {
    stubborn(n).id("child").await
}

#[workflow]
async fn awaits_results(n: u32) -> Result<(u32, u32), Trouble> {
    let started = stubborn(n).id("started").start().await;
    let (one, two) = join!(stubborn(n).id("child").result(), started.result());
    Ok((one.unwrap_or(100), two?))
}

#[workflow]
async fn square(n: u64) -> u64 {
    n * n
}

#[workflow]
async fn squares_at_once(count: u64) -> u64 {
    join_all((0..count).map(square)).await.into_iter().sum()
}

#[workflow]
async fn squares_one_by_one(count: u64) -> u64 {
    let mut started = Vec::new();
    for n in 0..count {
        started.push(square(n).start().await);
    }
    let mut sum = 0;
    for child in started {
        sum += child.await;
    }
    sum
}

/// Leaves thousands of open children.
#[workflow]
async fn crowd(count: u32) -> u32 {
    join_all((0..count).map(|n| stubborn(n).start())).await;
    count
}

workflows! { App {
    tidy, stubborn, fallible, family, dynasty, awaits, awaits_mutely, awaits_results, square, squares_at_once,
    squares_one_by_one, crowd
} }

async fn open(store: &MemoryStore, log: &EffectLog) -> WorkflowEngine<App> {
    WorkflowEngine::<App>::builder()
        .store(store.clone())
        .state(log.clone())
        .build()
        .await
        .unwrap()
}

fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

async fn status(engine: &WorkflowEngine<App>, text: &str) -> InstanceStatus {
    engine.status(&id(text)).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_parents_end_reaches_its_children_by_their_policies() {
    for how in 0..6 {
        let (store, log) = (memory(), EffectLog::new());
        let engine = open(&store, &log).await;
        let handle = engine.start(family(how)).id("parent").await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        match how {
            0 | 1 => {}
            // A blocked parent has not ended: its children go on until somebody ends it.
            2 => {
                assert!(matches!(handle.result().await, Err(ResultError::Blocked { .. })));
                assert!(matches!(
                    status(&engine, "terminated").await,
                    InstanceStatus::Waiting { .. }
                ));
                engine.terminate(handle.id(), "hopeless").await.unwrap();
            }
            3 => engine.terminate(handle.id(), "enough").await.unwrap(),
            4 => engine.cancel(handle.id(), "enough").await.unwrap(),
            _ => {}
        }
        let _ = handle.result().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let InstanceStatus::Terminated { reason } = status(&engine, "terminated").await else {
            panic!("{how}: {}", status(&engine, "terminated").await)
        };
        assert!(reason.starts_with("its parent `parent` has ended: "), "{reason}");
        assert_eq!(log.texts(), ["tidied one"], "{how}");
        for left in ["abandoned", "detached"] {
            assert!(
                matches!(status(&engine, left).await, InstanceStatus::Waiting { .. }),
                "{how}"
            );
        }
        tokio::time::sleep(Duration::from_secs(3601)).await;
        assert_eq!(status(&engine, "cancelled").await, InstanceStatus::Completed);
        assert_eq!(log.texts(), ["tidied one", "left one"], "{how}");

        // The links are there to see, also when all is over.
        let details = engine.describe(&id("parent")).await.unwrap().unwrap();
        let children: Vec<_> = details.children.iter().map(|child| child.id.as_str()).collect();
        assert_eq!(children, ["abandoned", "cancelled", "terminated"]);
        assert_eq!(details.children[0].policy, ParentClosePolicy::Abandon);
        let details = engine.describe(&id("cancelled")).await.unwrap().unwrap();
        assert_eq!(details.parent, Some(id("parent")));
        let filter = ListFilter::default().parent(id("parent"));
        let page = engine.list(filter.clone().limit(2)).await.unwrap();
        assert_eq!(page.instances.len(), 2);
        let rest = engine
            .list(filter.clone().after(page.next.unwrap()))
            .await
            .unwrap();
        assert_eq!((rest.instances.len(), rest.next), (1, None));
        assert_eq!(rest.instances[0].parent, Some(id("parent")));
        let page = engine.list(filter.open_only()).await.unwrap();
        assert_eq!(page.instances.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_goes_down_the_whole_tree() {
    let (store, log) = (memory(), EffectLog::new());
    let engine = open(&store, &log).await;
    let handle = engine.start(dynasty(4)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    engine.cancel(handle.id(), "abdication").await.unwrap();
    let _ = handle.result().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for depth in 0..4 {
        assert!(
            matches!(
                status(&engine, &format!("dynasty-{depth}")).await,
                InstanceStatus::Cancelled { .. }
            ),
            "{depth}"
        );
    }
    assert_eq!(log.texts(), ["tidied leaf"]);
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(status(&engine, "leaf").await, InstanceStatus::Completed);
}

/// A child that is blocked or paused is ended, too.
#[tokio::test(start_paused = true)]
async fn stopped_children_are_told() {
    let (store, log) = (memory(), EffectLog::new());
    let engine = open(&store, &log).await;
    let handle = engine.start(family(9)).id("parent").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    engine.pause(&id("cancelled"), "later").await.unwrap();
    engine.pause(&id("terminated"), "later").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    engine.terminate(handle.id(), "over").await.unwrap();
    let _ = handle.result().await;
    assert!(matches!(
        status(&engine, "cancelled").await,
        InstanceStatus::Cancelled { .. }
    ));
    assert!(matches!(
        status(&engine, "terminated").await,
        InstanceStatus::Terminated { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn failures_of_children_are_typed() {
    let (store, log) = (memory(), EffectLog::new());
    let engine = open(&store, &log).await;
    let child = id("child");
    let handle = engine.start(awaits(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.terminate(&child, "no").await.unwrap();
    let stopped = |how: &str| {
        Err(Trouble::Stopped(format!(
            "the child workflow `child` was {how}: no"
        )))
    };
    assert_eq!(handle.result().await.unwrap(), stopped("terminated"));

    let (store, log) = (memory(), EffectLog::new());
    let engine = open(&store, &log).await;
    let handle = engine.start(awaits(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.cancel(&child, "no").await.unwrap();
    assert_eq!(handle.result().await.unwrap(), stopped("cancelled"));

    // An output that cannot say it blocks the parent; a retry finds the child's end again.
    let (store, log) = (memory(), EffectLog::new());
    let engine = open(&store, &log).await;
    let handle = engine.start(awaits_mutely(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.cancel(&child, "no").await.unwrap();
    for _ in 0..2 {
        let error = handle.result().await.unwrap_err();
        assert!(error.to_string().contains("`child` was cancelled: no"), "{error}");
        engine.retry(handle.id()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let (store, log) = (memory(), EffectLog::new());
    let engine = open(&store, &log).await;
    let handle = engine.start(awaits_results(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.cancel(&child, "no").await.unwrap();
    engine.handle::<stubborn>(id("started")).signal(Go).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), Ok((100, 5)));
}

/// A crash at each commit of the parent's end, of its children's orders and of their ends.
#[tokio::test(start_paused = true)]
async fn children_are_told_once_whatever_crashes() {
    for evicting in [false, true] {
        let mut point = 0;
        loop {
            point += 1;
            let (store, log) = (memory(), EffectLog::new());
            let plan = match point % 2 {
                0 => FaultPlan::none().crash_after_commit(point / 2),
                _ => FaultPlan::none().crash_before_commit(point / 2 + 1),
            };
            let faulty = std::sync::Arc::new(FaultyStore::new(store.clone(), plan));
            let limit = if evicting { 0 } else { 1000 };
            let first = WorkflowEngine::<App>::builder()
                .store(faulty.clone())
                .state(log.clone())
                .waiting_in_memory(limit);
            if let Ok(engine) = first.build().await {
                let _ = engine.start(family(0)).id("parent").await;
                tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
                engine.abort().await;
            }
            let crashed = faulty.is_crashed();
            let engine = open(&store, &log).await;
            let handle = engine
                .start(family(0))
                .id("parent")
                .on_existing(ExistingId::ReturnExisting)
                .await
                .unwrap();
            assert_eq!(handle.result().await.unwrap(), Ok(1));
            tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
            assert_eq!(
                status(&engine, "cancelled").await,
                InstanceStatus::Completed,
                "point {point}"
            );
            assert!(matches!(
                status(&engine, "terminated").await,
                InstanceStatus::Terminated { .. }
            ));
            assert!(matches!(
                status(&engine, "abandoned").await,
                InstanceStatus::Waiting { .. }
            ));
            // A second order to cancel would have ended its cleaning up; a task may run twice around a crash.
            let mut texts = log.texts();
            texts.dedup();
            assert_eq!(texts, ["tidied one", "left one"], "point {point}");
            engine.abort().await;
            // The deployment and its leases; five instances, of which three have ended; two waiting; three links.
            assert_eq!(store.len(), 3 + 64 + 5 + 3 + 2 + 3, "point {point}");
            if !crashed {
                break;
            }
        }
        assert!(point > 20, "{point}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restarted_parent_has_children_of_its_own() {
    let (store, log) = (memory(), EffectLog::new());
    let engine = open(&store, &log).await;
    for round in 0..3 {
        let handle = engine
            .start(squares_one_by_one(3))
            .id("parent")
            .on_existing(ExistingId::RestartClosed)
            .await
            .unwrap();
        assert_eq!(handle.result().await.unwrap(), 5);
        let details = engine.describe(handle.id()).await.unwrap().unwrap();
        assert_eq!(details.children.len(), 3, "round {round}");
        if round == 2 {
            assert_eq!(details.children[0].id.as_str(), "parent~2/1");
        }
    }
}

/// Thousands of children of one parent: time and writes grow with their number, not with its square.
#[tokio::test(start_paused = true)]
async fn thousands_of_children() {
    let sum = |count: u64| (0..count).map(|n| n * n).sum::<u64>();
    for at_once in [true, false] {
        let mut times = Vec::new();
        for count in [500, 5_000] {
            let (store, log) = (memory(), EffectLog::new());
            let engine = open(&store, &log).await;
            let begin = std::time::Instant::now();
            let result = if at_once {
                engine.start(squares_at_once(count)).await.unwrap().result().await
            } else {
                engine
                    .start(squares_one_by_one(count))
                    .await
                    .unwrap()
                    .result()
                    .await
            };
            assert_eq!(result.unwrap(), sum(count));
            times.push(begin.elapsed().as_secs_f64());
            let instances = usize::try_from(count).unwrap() + 1;
            assert_eq!(store.len(), 3 + 64 + 2 * instances + instances - 1);
        }
        println!("at once: {at_once}: {times:?}");
        // Ten times the children, with room for a busy machine.
        assert!(times[1] < times[0] * 40.0, "{times:?}");
    }
    let (store, log) = (memory(), EffectLog::new());
    let engine = open(&store, &log).await;
    let begin = Instant::now();
    let handle = engine.start(crowd(5_000)).id("crowd").await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 5_000);
    assert!(begin.elapsed() < Duration::from_secs(60));
    let page = engine
        .list(ListFilter::default().parent(id("crowd")).open_only())
        .await
        .unwrap();
    assert!(page.instances.len() < 100, "all were told before the result was");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let page = engine
        .list(ListFilter::default().parent(id("crowd")).open_only())
        .await
        .unwrap();
    assert_eq!(page.instances.len(), 0);
}
