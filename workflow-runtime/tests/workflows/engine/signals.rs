//! Messages and timers, while the instance runs, waits, or nothing runs at all.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use workflow_runtime::prelude::*;
use workflow_runtime::testing::{EffectLog, crash_everywhere};
use workflow_runtime::{InstanceId, SignalError};

use super::super::support::Note;
use super::{memory, open};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done;
impl Signal for Done {
    const NAME: &'static str = "done";
}

#[task]
async fn work(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[workflow]
async fn three_notes(seconds: u64) -> Vec<i64> {
    work(seconds).await;
    let mut notes = Vec::new();
    for _ in 0..3 {
        notes.push(receive::<Note>().await.0);
    }
    receive::<Done>().await;
    notes
}

#[workflow]
async fn alarm(text: String) -> i64 {
    sleep(text).await;
    1
}

workflows! {
    pub App { three_notes, alarm }
}

/// Messages keep their order, wait until they are received, and do not stand in the way of those with another name.
#[tokio::test(start_paused = true)]
async fn messages_before_during_and_after_the_wait() {
    for waiting_in_memory in [0, 1000] {
        let store = memory();
        let builder = WorkflowEngine::<App>::builder().store(store.clone()).waiting_in_memory(waiting_in_memory);
        let engine = builder.build().await.unwrap();
        let handle = engine.start(three_notes(10)).await.unwrap();
        // While a task runs.
        handle.signal(Done).await.unwrap();
        handle.signal(Note(1)).await.unwrap();
        handle.signal(Note(2)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(engine.stats().in_memory, waiting_in_memory.min(1));
        // While it waits.
        handle.signal(Note(3)).await.unwrap();
        assert_eq!(handle.result().await.unwrap(), [1, 2, 3]);
        let error = handle.signal(Note(4)).await.unwrap_err();
        assert!(matches!(error, SignalError::Closed { .. }), "{error}");
        engine.shutdown().await;
    }
}

/// A message is stored by one engine and received under the next one.
#[tokio::test(start_paused = true)]
async fn messages_survive_the_engine() {
    let store = memory();
    let engine = open::<App>(&store).await;
    let handle = engine.start(three_notes(10)).id("one").await.unwrap();
    handle.signal(Note(1)).await.unwrap();
    engine.abort().await;

    let engine = open::<App>(&store).await;
    let handle = engine.handle::<three_notes>(handle.id().clone());
    handle.signal(Note(2)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    engine.shutdown().await;

    let engine = open::<App>(&store).await;
    let handle = engine.handle::<three_notes>(handle.id().clone());
    handle.signal(Note(3)).await.unwrap();
    handle.signal(Done).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn many_senders_at_once() {
    let engine = open::<App>(&memory()).await;
    let handle = engine.start(three_notes(1)).await.unwrap();
    let senders: Vec<_> = (0..3)
        .map(|n| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.signal(Note(n)).await })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap().unwrap();
    }
    handle.signal(Done).await.unwrap();
    let mut notes = handle.result().await.unwrap();
    notes.sort_unstable();
    assert_eq!(notes, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn messages_under_crashes() {
    let log = EffectLog::new();
    let script = || {
        crash_everywhere::<App, _>(|| three_notes(10))
            .effects(&log)
            .signal(Note(1))
            .pause(Duration::from_secs(20))
            .signal(Done)
            .signal(Note(2))
            .pause(Duration::from_secs(1))
            .signal(Note(3))
    };
    let report = script().run().await;
    assert_eq!(report.result(), Some(&vec![1, 2, 3]));
    script().evicting().run().await;
    script().evicting().twice().at_most(12).run().await;
}

#[tokio::test(start_paused = true)]
async fn timers_fire_on_time_and_not_before() {
    for (text, seconds) in [("0s", 0.0), ("1ms", 0.001), ("1500ms", 1.5), ("1h 30m", 5400.0), ("2d", 172_800.0)] {
        for waiting_in_memory in [0, 1000] {
            let builder = WorkflowEngine::<App>::builder().store(memory()).waiting_in_memory(waiting_in_memory);
            let engine = builder.build().await.unwrap();
            let begin = Instant::now();
            engine.start(alarm(text.to_owned())).await.unwrap().result().await.unwrap();
            let elapsed = begin.elapsed().as_secs_f64();
            assert!(elapsed >= seconds, "{text} took {elapsed} s");
            assert!(elapsed <= seconds + 0.05, "{text} took {elapsed} s");
        }
    }
}

/// What became due while nothing ran happens at once, and what is not due yet keeps its time.
#[tokio::test(start_paused = true)]
async fn timers_go_on_while_nothing_runs() {
    let store = memory();
    let engine = open::<App>(&store).await;
    for (id, text) in [("short", "1h"), ("long", "3h")] {
        engine.start(alarm(text.to_owned())).id(id).await.unwrap();
    }
    engine.abort().await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;

    let begin = Instant::now();
    let engine = open::<App>(&store).await;
    for (id, hours) in [("short", 0), ("long", 1)] {
        let handle = engine.handle::<alarm>(InstanceId::new(id).unwrap());
        assert_eq!(handle.result().await.unwrap(), 1);
        let minutes = begin.elapsed().as_secs() / 60;
        assert_eq!(minutes, hours * 60, "`{id}`");
    }
}
