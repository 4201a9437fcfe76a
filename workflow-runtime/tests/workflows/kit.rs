//! The test kit finds what it is there to find.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use workflow_runtime::prelude::*;
use workflow_runtime::testing::{Crash, EffectLog, crash_everywhere};

use super::support::Note;

/// Something outside that a task changes each time it runs.
#[derive(Clone, Default)]
struct Outside(Arc<AtomicU32>);

#[task]
async fn count(context: &TaskContext, State(outside): State<Outside>, State(log): State<EffectLog>) -> u32 {
    let before = outside.0.fetch_add(1, Ordering::SeqCst);
    log.record(context, "count");
    before
}

#[task]
async fn count_aloud(context: &TaskContext, State(outside): State<Outside>, State(log): State<EffectLog>) {
    let before = outside.0.fetch_add(1, Ordering::SeqCst);
    log.record(context, format!("count {before}"));
}

#[workflow]
async fn counts() -> u32 {
    count().await + count().await
}

#[workflow]
async fn counts_aloud() {
    count_aloud().await;
    count_aloud().await;
}

#[workflow]
async fn waits_for_ever() {
    receive::<Note>().await;
}

#[workflow]
async fn breaks(n: u32) -> u32 {
    sleep("1s").await;
    10 / n
}

#[tokio::test(start_paused = true)]
async fn a_result_that_depends_on_a_repeat() {
    let (log, outside) = (EffectLog::new(), Outside::default());
    let kit = || {
        let (state, reset) = (outside.clone(), outside.clone());
        crash_everywhere::<counts, _>(counts)
            .effects(&log)
            .engine(move |builder| builder.state(state.clone()))
            .before_each_run(move || reset.0.store(0, Ordering::SeqCst))
    };
    let text = kit().check().await.unwrap_err().to_string();
    // Commits: the engine, the start, the first task's end; before the last one its task runs again.
    for part in [
        "`counts` with a crash before commit 3",
        "Returned(3) instead of Returned(1)",
        "without a crash: [count (step 1), count (step 2)]",
        "life 1: [count (step 1)]",
        "life 2: [count (step 1), count (step 2)]",
        "`.only([Crash::Before(3)])`",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let again = kit()
        .only([Crash::Before(3)])
        .check()
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(again, text);
    let report = kit().only([Crash::After(3)]).run().await;
    assert_eq!((report.runs(), report.crashes()), (2, 1));
    assert_eq!(
        report.to_string(),
        "`counts`: 4 commits, 2 effects, 2 runs with 1 crashes; each run gave 1"
    );
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_is_another_one_when_it_is_repeated() {
    let (log, outside) = (EffectLog::new(), Outside::default());
    let (state, reset) = (outside.clone(), outside);
    let kit = crash_everywhere::<counts_aloud, _>(counts_aloud)
        .effects(&log)
        .engine(move |builder| builder.state(state.clone()))
        .before_each_run(move || reset.0.store(0, Ordering::SeqCst));
    let text = kit.check().await.unwrap_err().to_string();
    assert!(
        text.contains("with a crash before commit 3: other effects"),
        "{text}"
    );
    assert!(
        text.contains("life 2: [count 1 (step 1), count 2 (step 2)]"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_that_never_comes() {
    let kit = crash_everywhere::<waits_for_ever, _>(waits_for_ever).time_limit(Duration::from_secs(3600));
    let text = kit.check().await.unwrap_err().to_string();
    assert!(
        text.starts_with("`waits_for_ever` without a crash: no end within 3600s"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_block_is_a_failure_unless_it_is_expected() {
    let text = crash_everywhere::<breaks, _>(|| breaks(0))
        .check()
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("`breaks` is blocked without any crash"), "{text}");
    let report = crash_everywhere::<breaks, _>(|| breaks(0))
        .may_block()
        .twice()
        .run()
        .await;
    assert!(
        report
            .blocked()
            .is_some_and(|reason| reason.contains("divide by zero")),
        "{report}"
    );
    assert_eq!(
        crash_everywhere::<breaks, _>(|| breaks(3)).run().await.result(),
        Some(&3)
    );
}

#[tokio::test(start_paused = true)]
async fn fewer_places_are_spread_evenly() {
    let report = |places| crash_everywhere::<breaks, _>(|| breaks(3)).at_most(places).run();
    // The engine, the start, the end: six places.
    for (places, crashes) in [(1, 1), (2, 2), (5, 5), (6, 6), (100, 6)] {
        assert_eq!(report(places).await.crashes(), crashes);
    }
}
