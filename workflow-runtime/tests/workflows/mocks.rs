//! The engine for tests: virtual time, stand-ins for tasks, plans for later, crashes and faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::store::FaultPlan;
use workflow_runtime::testing::{Kit, crash_everywhere};
use workflow_runtime::{BuildError, ListFilter};

/// Something that no test has.
#[derive(Clone)]
struct Bank;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Receipt {
    card: String,
    cents: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Refusal {
    Declined,
    Busy,
    Lost(String),
}

impl From<TaskFailure> for Refusal {
    fn from(failure: TaskFailure) -> Self {
        Refusal::Lost(failure.to_string())
    }
}

#[task(timeout = "1m", retry(max_attempts = 4, backoff = fixed("10s"), never = Refusal::Declined))]
async fn charge(State(_bank): State<Bank>, card: &str, cents: u64) -> Result<Receipt, Refusal> {
    panic!("nobody charges {card} with {cents} in a test")
}

#[task]
async fn rate(context: &TaskContext) -> u64 {
    panic!("nobody asks for rates in a test: {context:?}")
}

#[task]
async fn sum(values: &[u64], State(_bank): State<Bank>) -> u64 {
    panic!("nobody sums {values:?} in a test")
}

#[task(blocking)]
#[allow(clippy::too_many_arguments)]
fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) -> u8 {
    a + b + c + d + e + f + g + h
}

#[derive(Clone, Serialize, Deserialize)]
struct Approval {
    by: String,
}
impl Signal for Approval {
    const NAME: &'static str = "approval";
}

#[workflow]
async fn order(card: String) -> Result<String, Refusal> {
    let percent = rate().await;
    let total = sum(&[100 * percent, 50]).await;
    let receipt = charge(&card, total).await?;
    let eight = many(1, 1, 1, 1, 1, 1, 1, 1).await;
    match receive::<Approval>().timeout("30d").await {
        Ok(approval) => Ok(format!("{} cents, {eight}, by {}", receipt.cents, approval.by)),
        Err(Elapsed) => Ok("expired".to_owned()),
    }
}

fn kit(charges: &Arc<AtomicU32>) -> Kit<order> {
    let charges = charges.clone();
    Kit::<order>::new()
        .mock(rate, |_| async { 3 })
        .mock(sum, |input| async move { input.values.iter().sum() })
        .mock(many, |input| async move { input.a + input.h })
        .mock(charge, move |input| {
            let busy = charges.fetch_add(1, Ordering::SeqCst) < 2;
            async move {
                match input.card.as_str() {
                    "0000" => Err(Refusal::Declined),
                    "slow" => std::future::pending().await,
                    "hot" => panic!("melted"),
                    _ if busy => Err(Refusal::Busy),
                    _ => Ok(Receipt {
                        card: input.card,
                        cents: input.cents,
                    }),
                }
            }
        })
}

/// A plain test: the kit pauses the clock itself.
#[tokio::test]
async fn a_mock_has_the_attempts_and_limits_of_its_task() {
    let begin = std::time::Instant::now();
    for (card, expected, attempts, seconds) in [
        ("4111", Ok("expired".to_owned()), 3, 30 * 86_400 + 20),
        ("0000", Err(Refusal::Declined), 1, 0),
        (
            "slow",
            Err(Refusal::Lost("task `charge` did not finish within 60s".into())),
            4,
            270,
        ),
        (
            "hot",
            Err(Refusal::Lost("task `charge` panicked: melted".into())),
            4,
            30,
        ),
    ] {
        let engine = kit(&Arc::default()).open().await;
        assert_eq!(engine.run(order(card.to_owned())).await, expected);
        assert_eq!(engine.elapsed().as_secs(), seconds, "{card}");
        let charges = engine.calls(charge);
        assert_eq!(charges.count(), attempts);
        assert!(
            charges
                .inputs()
                .iter()
                .all(|input| input.card == card && input.cents == 350)
        );
        assert_eq!(engine.calls(sum).inputs()[0].values, [300, 50]);
        charges.clear();
        assert_eq!(engine.calls(charge).count(), 0);
    }
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn messages_come_at_their_moments_whatever_crashes() {
    let mut engine = kit(&Arc::default()).open().await;
    let handle = engine.start(order("4111".into())).id("one").await.unwrap();
    engine.at("3d", &handle, |handle| async move {
        handle.signal(Approval { by: "Ada".into() }).await.unwrap();
    });
    engine.at(Duration::from_secs(60), &handle, |handle| async move {
        assert!(handle.status().await.unwrap().to_string().contains("waiting"));
    });
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    engine.crash().await;
    let handle = engine.handle::<order>("one".parse().unwrap());
    assert_eq!(
        handle.result().await.unwrap(),
        Ok("350 cents, 2, by Ada".to_owned())
    );
    assert_eq!(engine.elapsed().as_secs(), 3 * 86_400);
    engine.done().await;
    // A mock is there in each life, and its calls are kept.
    assert_eq!(engine.calls(charge).count(), 3);
    assert_eq!(
        engine.list(ListFilter::default()).await.unwrap().instances.len(),
        1
    );
    assert!(engine.store().len() > 3);
}

#[tokio::test]
async fn what_goes_wrong_in_a_plan_is_heard() {
    let engine = kit(&Arc::default()).open().await;
    let handle = engine.start(order("4111".into())).await.unwrap();
    engine.at("1h", &handle, |_| async { panic!("planned") });
    let waiting = tokio::spawn(async move { engine.done().await });
    let panic = waiting.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"planned"));
}

#[tokio::test]
async fn faults_of_the_store_change_nothing() {
    for seed in 0..40 {
        let engine = kit(&Arc::default())
            .faults(FaultPlan::seeded(seed).read_error(0.0))
            .open()
            .await;
        let handle = loop {
            let start = engine.start(order("4111".into())).id("one");
            if let Ok(handle) = start.on_existing(ExistingId::ReturnExisting).await {
                break handle;
            }
        };
        assert_eq!(
            handle.result().await.unwrap(),
            Ok("expired".to_owned()),
            "seed {seed}"
        );
    }
}

/// All of it at once: mocks, messages, faults, and a crash at every commit.
#[tokio::test(start_paused = true)]
async fn mocks_messages_faults_and_crashes() {
    for seed in 0..4 {
        let report = crash_everywhere::<order, _>(|| order("4111".into()))
            .mock(rate, |_| async { 3 })
            .mock(sum, |input| async move { input.values.iter().sum() })
            .mock(many, |_| async { 8 })
            .mock(charge, |input| async move {
                Ok(Receipt {
                    card: input.card,
                    cents: input.cents,
                })
            })
            .pause(Duration::from_secs(86_400))
            .signal(Approval { by: "Grace".into() })
            .faults(FaultPlan::seeded(seed))
            .run()
            .await;
        assert_eq!(report.result(), Some(&Ok("350 cents, 8, by Grace".to_owned())));
        assert!(report.crashes() > 10, "{report}");
    }
}

#[tokio::test]
async fn what_is_not_mocked_is_wanted() {
    let panics = |kit: Kit<order>| async move {
        let error = tokio::spawn(async move { kit.open().await }).await.unwrap_err();
        *error.into_panic().downcast::<String>().unwrap()
    };
    let text = panics(Kit::<order>::new().mock(sum, |_| async { 1 })).await;
    assert!(
        text.contains("Bank") && text.contains("`charge`") && !text.contains("`sum`"),
        "{text}"
    );
    let engine = kit(&Arc::default()).open().await;
    let unmocked = tokio::spawn(async move {
        let _ = engine.calls(unrelated);
    });
    let text = *unmocked
        .await
        .unwrap_err()
        .into_panic()
        .downcast::<String>()
        .unwrap();
    assert!(text.contains("`unrelated` has no mock"), "{text}");
    // Outside of the kit a dependency is wanted as ever.
    let built = WorkflowEngine::<order>::builder().in_memory().build().await;
    assert!(matches!(built, Err(BuildError::Registry { .. })));
}

#[task]
async fn unrelated(n: u32) -> u32 {
    n
}

#[test]
fn a_runtime_with_several_threads_is_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    let opened = runtime.block_on(async { tokio::spawn(async { kit(&Arc::default()).open().await }).await });
    let text = opened.unwrap_err().into_panic();
    let text = text.downcast_ref::<&str>().unwrap();
    assert!(text.contains("a plain `#[tokio::test]`"), "{text}");
}
