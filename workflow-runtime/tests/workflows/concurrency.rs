//! Joins, selects, limits and children, crashed at every commit.

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::testing::{EffectLog, crash_everywhere};

#[derive(Clone, Serialize, Deserialize)]
struct Approval {
    by: String,
}
impl Signal for Approval {
    const NAME: &'static str = "approval";
}

#[derive(Clone, Serialize, Deserialize)]
struct Note(u32);
impl Signal for Note {
    const NAME: &'static str = "note";
}

#[task]
async fn work(context: &TaskContext, State(log): State<EffectLog>, name: &str, n: u32) -> u32 {
    log.record(context, format!("{name} {n}"));
    n * 10
}

#[task]
async fn quiet(n: u32) -> u32 {
    n * 10
}

#[task(retry(max_attempts = 3, backoff = fixed("1h")))]
async fn fragile(context: &TaskContext, n: u32) -> Result<u32, String> {
    if context.attempt() < 3 { Err(format!("attempt {}", context.attempt())) } else { Ok(n) }
}

#[task]
async fn checked(n: u32) -> Result<u32, String> {
    if n % 2 == 0 { Ok(n) } else { Err(format!("{n} is odd")) }
}

#[workflow]
async fn joined(n: u32) -> u32 {
    let before = quiet(n).await;
    let (a, (), b) = join!(quiet(before), sleep("2h"), quiet(n + 1));
    let (c, d) = join!(fragile(a), quiet(b));
    c.unwrap_or(0) + quiet(d).await
}

#[tokio::test(start_paused = true)]
async fn a_join_keeps_what_its_branches_have_done() {
    for waiting in [0, 1000] {
        let report = crash_everywhere::<joined, _>(|| joined(1))
            .engine(move |builder| builder.waiting_in_memory(waiting))
            .twice()
            .run()
            .await;
        assert_eq!(report.result(), Some(&(100 + 2000)));
    }
}

#[workflow]
async fn fanned_out(numbers: Vec<u32>) -> (Vec<u32>, u32) {
    let tens = join_all(numbers.into_iter().map(quiet)).concurrency(3).await;
    let sum = quiet(tens.iter().sum::<u32>()).await;
    (tens, sum)
}

#[tokio::test(start_paused = true)]
async fn a_fan_out_gives_its_outputs_in_order() {
    let report = crash_everywhere::<fanned_out, _>(|| fanned_out((0..7).collect())).twice().run().await;
    assert_eq!(report.result(), Some(&((0..7).map(|n| n * 10).collect(), 2100)));
}

#[workflow]
async fn tried(a: u32, b: u32) -> Result<u32, String> {
    let (a, b) = try_join!(checked(a), checked(b))?;
    Ok(quiet(a + b).await)
}

#[tokio::test(start_paused = true)]
async fn a_try_join_ends_with_its_first_error() {
    let report = crash_everywhere::<tried, _>(|| tried(2, 4)).twice().run().await;
    assert_eq!(report.result(), Some(&Ok(60)));
    let report = crash_everywhere::<tried, _>(|| tried(2, 5)).twice().run().await;
    assert_eq!(report.result(), Some(&Err("5 is odd".to_owned())));
}

#[workflow]
async fn approved(item: String) -> String {
    let outcome = select! {
        approval = receive::<Approval>() => {
            let checked = quiet(1).await;
            format!("{item} approved by {} ({checked})", approval.by)
        }
        () = sleep("2d") => format!("{item} expired"),
    };
    let note = receive::<Note>().await;
    format!("{outcome}, note {}", note.0)
}

#[tokio::test(start_paused = true)]
async fn a_select_is_decided_once() {
    for waiting in [0, 1000] {
        let report = crash_everywhere::<approved, _>(|| approved("lamp".to_owned()))
            .engine(move |builder| builder.waiting_in_memory(waiting))
            .signal(Note(7))
            .signal(Approval { by: "Ada".to_owned() })
            .twice()
            .run()
            .await;
        assert_eq!(report.result().map(String::as_str), Some("lamp approved by Ada (10), note 7"));
        let report = crash_everywhere::<approved, _>(|| approved("lamp".to_owned()))
            .engine(move |builder| builder.waiting_in_memory(waiting))
            .pause(std::time::Duration::from_secs(3 * 86_400))
            .signal(Note(8))
            .twice()
            .run()
            .await;
        assert_eq!(report.result().map(String::as_str), Some("lamp expired, note 8"));
    }
}

#[workflow]
async fn nested(n: u32) -> Vec<u32> {
    let limited = receive::<Note>().timeout("1h");
    let (first, mut found) = join!(limited, join_all((0..2).map(quiet)));
    found.push(first.map_or(0, |note| note.0 + n));
    let (either, last) = join!(sleep("3h").timeout("1h"), quiet(n));
    found.push(last + u32::from(either == Err(Elapsed)));
    found
}

#[tokio::test(start_paused = true)]
async fn branches_nest() {
    let report = crash_everywhere::<nested, _>(|| nested(1))
        .engine(|builder| builder.waiting_in_memory(0))
        .signal(Note(5))
        .twice()
        .run()
        .await;
    assert_eq!(report.result(), Some(&vec![0, 10, 6, 11]));
}

#[workflow]
async fn part(n: u32) -> Result<u32, String> {
    sleep("1h").await;
    if n == 13 { return Err("unlucky".to_owned()) }
    Ok(quiet(n).await)
}

#[workflow]
async fn whole(numbers: Vec<u32>) -> Result<u32, String> {
    let mut handles = Vec::new();
    for n in &numbers {
        handles.push(part(*n).start().await);
    }
    let first = part(numbers[0]).await?;
    let (x, y) = join!(part(5), part(13));
    let mut sum = first + x? + u32::from(y.is_err());
    for handle in handles {
        sum += handle.await?;
    }
    let deep = factorial(4).await;
    Ok(sum + deep)
}

#[workflow]
async fn factorial(n: u32) -> u32 {
    if n == 0 { 1 } else { n * factorial(n - 1).await }
}

#[tokio::test(start_paused = true)]
async fn children_are_started_once_and_their_ends_are_not_lost() {
    for waiting in [0, 1000] {
        let report = crash_everywhere::<whole, _>(|| whole(vec![1, 2]))
            .engine(move |builder| builder.waiting_in_memory(waiting))
            .run()
            .await;
        assert_eq!(report.result(), Some(&Ok(10 + 50 + 1 + 10 + 20 + 24)));
    }
}

#[workflow]
async fn in_branches(n: u32) -> u32 {
    let (a, b) = join!(work("left", n), work("right", n + 1));
    a + b
}

#[tokio::test(start_paused = true)]
async fn each_branch_has_a_key_of_its_own() {
    let log = EffectLog::new();
    let engine = WorkflowEngine::<in_branches>::builder().in_memory().state(log.clone()).build().await.unwrap();
    let handle = engine.start(in_branches(1)).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 30);
}
