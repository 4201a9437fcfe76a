//! Updates and their replies, queries, and messages by name, also under crashes of whoever sends and of whoever answers.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use workflow_runtime::prelude::*;
use workflow_runtime::store::{FaultPlan, FaultyStore, MemoryStore};
use workflow_runtime::{InstanceStatus, QueryError, Registry, SignalError, UpdateError, Values};

use super::{memory, open};

#[update(name = "add", reply = Vec<String>, validate = has_room)]
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Add {
    item: String,
}

fn has_room(add: &Add, values: &Values) -> Result<(), String> {
    match values.get::<usize>("room") {
        Some(0) => Err(format!("no room for the {}", add.item)),
        _ if add.item.is_empty() => Err("an item needs a name".to_owned()),
        _ => Ok(()),
    }
}

#[update(reply = u64)]
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Pay {
    Cash(u64),
    Card { number: String },
}

#[signal(name = "note")]
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text {
    text: String,
}

#[task]
async fn price(item: &str) -> Result<u64, String> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    u64::try_from(item.len()).map_err(|error| error.to_string())
}

/// Takes items until it is paid, and answers the payment when all is done.
#[workflow]
async fn cart(size: usize) -> Result<Vec<String>, String> {
    let mut items: Vec<String> = Vec::new();
    let mut notes = "n".repeat(2000);
    let payment = loop {
        publish!("room", size - items.len());
        publish!("items", items);
        select! {
            (add, responder) = receive_update::<Add>() => {
                if items.contains(&add.item) {
                    responder.reject(format!("a {} is there already", add.item));
                    continue;
                }
                items.push(add.item);
                responder.respond(items.clone());
            }
            (pay, responder) = receive_update::<Pay>() => break (pay, responder),
            note = receive::<Text>() => notes.push_str(&note.text),
        }
    };
    publish!("notes", notes);
    let (pay, responder) = payment;
    let mut total = 0;
    for item in items.clone() {
        total += price(&item).await?;
    }
    match pay {
        Pay::Cash(given) if given < total => responder.reject(format!("{given} is less than {total}")),
        Pay::Cash(given) => responder.respond(given - total),
        Pay::Card { number } => responder.respond(number.len() as u64),
    }
    sleep("1s").await;
    Ok(items)
}

/// Ends without an answer.
#[workflow]
async fn forgetful() -> u32 {
    let (_, _responder) = receive_update::<Add>().await;
    7
}

/// Tries to give the responder away.
#[task]
async fn answer(responder: Responder<Add>) {
    responder.respond(Vec::new());
}

#[workflow]
async fn delegating() {
    let (_, responder) = receive_update::<Add>().await;
    answer(responder).await;
}

/// Answers in a branch, while another one goes on.
#[workflow]
async fn branches() -> Result<u64, String> {
    let (first, second) = join!(
        async {
            let (add, responder) = receive_update::<Add>().await;
            publish!("branch", add.item);
            responder.respond(vec![add.item.clone()]);
            price(&add.item).await
        },
        async {
            let mut sum = 0;
            for n in 0..5 {
                publish!(n);
                sum += price("12").await.unwrap_or(0);
            }
            let (pay, responder) = receive_update::<Pay>().await;
            sleep("1s").await;
            if let Pay::Cash(given) = pay {
                responder.respond(given + sum);
            }
            sum
        }
    );
    Ok(first? + second)
}

/// Collects requests, and answers them one by one.
#[workflow]
async fn batched(size: usize) -> u64 {
    let mut waiting = Vec::new();
    while waiting.len() < size {
        waiting.push(receive_update::<Add>().await);
    }
    let mut sum = 0;
    for (add, responder) in waiting {
        sum += price(&add.item).await.unwrap_or(0);
        responder.respond(vec![sum.to_string()]);
    }
    sum
}

workflows! { App { cart, forgetful, delegating, branches, batched } }

fn add(item: &str) -> Add {
    Add {
        item: item.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn updates_are_answered_rejected_and_validated() {
    for waiting in [0, 1000] {
        let builder = WorkflowEngine::<App>::builder().store(memory());
        let engine = builder.waiting_in_memory(waiting).build().await.unwrap();
        let handle = engine.start(cart(2)).await.unwrap();
        assert_eq!(handle.update(add("tea")).await.unwrap(), ["tea"]);
        let again = handle.update(add("tea")).await.unwrap_err();
        assert!(matches!(&again, UpdateError::Rejected { reason } if reason == "a tea is there already"));
        let nameless = handle.update(add("")).await.unwrap_err();
        assert_eq!(
            nameless.to_string(),
            "the update was rejected: an item needs a name"
        );
        let pot = || handle.update(add("pot")).request_id("pot");
        assert_eq!(pot().await.unwrap(), ["tea", "pot"]);
        let full = handle.update(add("jug")).await.unwrap_err();
        assert_eq!(full.to_string(), "the update was rejected: no room for the jug");
        // The same request: the same reply, without a second effect and without a check.
        assert_eq!(pot().await.unwrap(), ["tea", "pot"]);
        let other = handle.update(Pay::Cash(1)).request_id("pot").await.unwrap_err();
        assert!(
            matches!(&other, UpdateError::OtherUpdate { found, .. } if found == "add"),
            "{other}"
        );
        let reply = engine.update_json(handle.id(), "Pay", json!({ "Card": { "number": "1234" } }));
        assert_eq!(reply.await.unwrap(), json!(4));
        assert_eq!(handle.result().await.unwrap().unwrap(), ["tea", "pot"]);
        // After the end.
        assert_eq!(pot().await.unwrap(), ["tea", "pot"]);
        let late = handle.update(add("jug")).request_id("late").await.unwrap_err();
        assert!(
            matches!(late, UpdateError::NotSent(SignalError::Closed { .. })),
            "{late}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_without_an_answer_is_an_error() {
    let engine = open::<App>(&memory()).await;
    let handle = engine.start(forgetful()).await.unwrap();
    let (first, second) = tokio::join!(
        handle.update(add("tea")).request_id("1").into_future(),
        handle.update(add("pot")).into_future()
    );
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(
            matches!(
                &error,
                UpdateError::Ended { .. } | UpdateError::NotSent(SignalError::Closed { .. })
            ),
            "{error}"
        );
    }
    let error = handle.update(add("tea")).request_id("1").await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has ended (completed) without an answer to the update"),
        "{error}"
    );

    let handle = engine.start(delegating()).await.unwrap();
    let error = handle.update(add("tea")).await.unwrap_err();
    assert!(matches!(&error, UpdateError::Blocked { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("a responder cannot leave the workflow"),
        "{error}"
    );
    engine.terminate(handle.id(), "no use").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_by_name_are_checked_at_the_edge() {
    let engine = open::<App>(&memory()).await;
    let handle = engine.start(cart(3)).id("one").await.unwrap();
    let id = handle.id();
    let errors = [
        engine
            .signal_json(id, "nothing", json!(1))
            .await
            .unwrap_err()
            .to_string(),
        engine
            .signal_json(id, "add", json!({ "item": "tea" }))
            .await
            .unwrap_err()
            .to_string(),
        engine
            .signal_json(id, "note", json!({ "text": 1 }))
            .await
            .unwrap_err()
            .to_string(),
        engine
            .update_json(id, "note", json!({}))
            .await
            .unwrap_err()
            .to_string(),
        engine
            .update_json(id, "Pay", json!("Cheque"))
            .await
            .unwrap_err()
            .to_string(),
        engine
            .update_json(id, "add", json!({ "item": "" }))
            .await
            .unwrap_err()
            .to_string(),
        engine
            .handle::<forgetful>(id.clone())
            .update(add("tea"))
            .await
            .unwrap_err()
            .to_string(),
    ];
    assert_eq!(
        errors,
        [
            "the workflow `cart` never receives `nothing`; it receives `note`",
            "the workflow `cart` never receives `add`; it receives `note`",
            "this is no `note`: invalid type: integer `1`, expected a string",
            "the workflow `cart` never receives `note`; it receives `Pay`, `add`",
            "this is no `Pay`: unknown variant `Cheque`, expected `Cash` or `Card`",
            "the update was rejected: an item needs a name",
            "the instance `one` is a `cart`, not a `forgetful`",
        ]
    );
    for _ in 0..2 {
        let note = engine.signal_json(id, "note", json!({ "text": "!" }));
        note.request_id("n").await.unwrap();
    }
    assert_eq!(
        engine
            .update_json(id, "add", json!({ "item": "tea" }))
            .await
            .unwrap(),
        json!(["tea"])
    );
    engine
        .update_json(id, "Pay", json!({ "Cash": 10 }))
        .await
        .unwrap();
    assert_eq!(
        handle.query::<String>("notes").await.unwrap(),
        "n".repeat(2000) + "!"
    );
}

#[tokio::test(start_paused = true)]
async fn queries_wake_nobody() {
    let store = memory();
    let engine = WorkflowEngine::<App>::builder()
        .store(store.clone())
        .waiting_in_memory(0)
        .build()
        .await
        .unwrap();
    let handle = engine.start(cart(2)).id("one").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let loads = engine.stats().loads;
    assert_eq!(handle.query::<usize>("room").await.unwrap(), 2);
    assert_eq!(handle.query::<usize>("size").await.unwrap(), 2);
    assert_eq!(engine.query_json(handle.id(), "items").await.unwrap(), json!([]));
    let error = handle.query::<usize>("rooms").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the instance `one` has no `rooms` now: it has published [\"items\", \"room\"], and its live variables are \
         [\"items\", \"notes\", \"size\"]"
    );
    let error = handle.query::<String>("room").await.unwrap_err();
    assert!(matches!(error, QueryError::Type { .. }), "{error}");
    assert_eq!((engine.stats().loads, engine.stats().in_memory), (loads, 0));

    assert_eq!(handle.update(add("tea")).await.unwrap(), ["tea"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let details = engine.describe(handle.id()).await.unwrap().unwrap();
    assert_eq!(
        (&details.published["room"], &details.published["items"]),
        (&json!(1), &json!(["tea"]))
    );
    engine.pause(handle.id(), "lunch").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        handle.status().await.unwrap(),
        InstanceStatus::Paused { .. }
    ));
    assert_eq!(handle.query::<usize>("room").await.unwrap(), 1);
    engine.terminate(handle.id(), "enough").await.unwrap();
    assert_eq!(handle.query::<usize>("room").await.unwrap(), 1);
    assert!(matches!(
        handle.query::<usize>("size").await,
        Err(QueryError::NoSuchValue { .. })
    ));
    let nobody = engine.handle::<cart>("nobody".parse().unwrap());
    assert!(matches!(
        nobody.query::<usize>("size").await,
        Err(QueryError::NotFound { .. })
    ));
}

/// Crashes at every commit in turn, before and after it. Each life, the client does everything again from the start, under
/// the same names; what it sees in the end must not depend on the crash.
pub(super) async fn everywhere<R, T>(client: impl AsyncFn(WorkflowEngine<R>, bool) -> Result<T, String>) -> T
where
    R: Registry,
    T: PartialEq + Debug,
{
    let mut reference = None;
    for crash in 0.. {
        for before in [true, false] {
            for waiting in [0, 1000] {
                let memory = memory();
                let plan = match (crash, before) {
                    (0, _) => FaultPlan::none(),
                    (crash, true) => FaultPlan::none().crash_before_commit(crash),
                    (crash, false) => FaultPlan::none().crash_after_commit(crash),
                };
                let (first, crashed) = life(&memory, plan, waiting, &client).await;
                let seen = match (first, crashed) {
                    (Some(seen), false) => seen,
                    (None, false) => panic!("no end without a crash"),
                    (_, true) => {
                        let (second, _) = life(&memory, FaultPlan::none(), waiting, &client).await;
                        second.unwrap_or_else(|| {
                            panic!("no end after a crash at commit {crash}, before it: {before}")
                        })
                    }
                };
                match &reference {
                    None => reference = Some(seen),
                    Some(reference) => assert_eq!(
                        &seen, reference,
                        "crash at commit {crash}, before it: {before}, {waiting} in memory"
                    ),
                }
                if crash > 0 && !crashed {
                    return reference.unwrap();
                }
            }
        }
    }
    unreachable!()
}

async fn life<R: Registry, T>(
    memory: &MemoryStore,
    plan: FaultPlan,
    waiting: usize,
    client: &impl AsyncFn(WorkflowEngine<R>, bool) -> Result<T, String>,
) -> (Option<T>, bool) {
    let store = Arc::new(FaultyStore::new(memory.clone(), plan));
    let builder = WorkflowEngine::<R>::builder().store(store.clone());
    let Ok(engine) = builder.waiting_in_memory(waiting).build().await else {
        return (None, store.is_crashed());
    };
    let dead = async {
        while !store.is_crashed() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let seen = tokio::select! {
        biased;
        seen = client(engine.clone(), waiting == 0) => Some(seen),
        () = dead => None,
        () = tokio::time::sleep(Duration::from_secs(24 * 3600)) => None,
    };
    engine.abort().await;
    match seen {
        Some(Ok(seen)) => (Some(seen), store.is_crashed()),
        Some(Err(_)) if store.is_crashed() => (None, true),
        Some(Err(error)) => panic!("{error}"),
        None => (None, store.is_crashed()),
    }
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn updates_and_published_values_under_crashes() {
    let seen = everywhere::<App, _>(async |engine, _| {
        let start = engine
            .start(cart(3))
            .id("one")
            .on_existing(ExistingId::ReturnExisting);
        let handle = start.await.map_err(text)?;
        let mut seen = Vec::new();
        for (number, item) in ["tea", "pot", "tea", "jug"].into_iter().enumerate() {
            match handle.update(add(item)).request_id(format!("add {number}")).await {
                Ok(items) => seen.push(items.join(" ")),
                Err(UpdateError::Rejected { reason }) => seen.push(reason),
                Err(error) => return Err(error.to_string()),
            }
            if number == 1 {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
        let note = handle.signal(Text { text: "!".to_owned() }).request_id("note");
        match note.await {
            Ok(()) | Err(SignalError::Closed { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        let paid = handle
            .update(Pay::Cash(20))
            .request_id("pay")
            .await
            .map_err(text)?;
        seen.push(paid.to_string());
        let items = handle.result().await.map_err(text)??;
        seen.push(items.join(" "));
        seen.push(
            handle
                .query::<Vec<String>>("items")
                .await
                .map_err(text)?
                .join(" "),
        );
        seen.push(handle.query::<usize>("room").await.map_err(text)?.to_string());
        Ok(seen)
    })
    .await;
    assert_eq!(
        seen,
        [
            "tea",
            "tea pot",
            "a tea is there already",
            "tea pot jug",
            "11",
            "tea pot jug",
            "tea pot jug",
            "0"
        ]
    );
}

/// An answer in a branch is not durable before the removal of its update, whatever the other branch writes meanwhile.
#[tokio::test(start_paused = true)]
async fn answers_in_branches_under_crashes() {
    let seen = everywhere::<App, _>(async |engine, _| {
        let start = engine
            .start(branches())
            .id("one")
            .on_existing(ExistingId::ReturnExisting);
        let handle = start.await.map_err(text)?;
        let paid = handle.update(Pay::Cash(20)).request_id("pay").into_future();
        let paid = tokio::spawn(paid);
        let added = handle.update(add("lamp")).request_id("add").await.map_err(text)?;
        let paid = paid.await.map_err(text)?.map_err(text)?;
        let result = handle.result().await.map_err(text)??;
        let branch = handle.query::<String>("branch").await.map_err(text)?;
        Ok((
            added,
            paid,
            result,
            branch,
            handle.query::<u32>("n").await.map_err(text)?,
        ))
    })
    .await;
    assert_eq!(seen, (vec!["lamp".to_owned()], 30, 14, "lamp".to_owned(), 4));
}

/// Responders are kept: in a variable, and as the items of a loop.
#[tokio::test(start_paused = true)]
async fn answers_much_later_under_crashes() {
    let seen = everywhere::<App, _>(async |engine, _| {
        let start = engine
            .start(batched(2))
            .id("one")
            .on_existing(ExistingId::ReturnExisting);
        let handle = start.await.map_err(text)?;
        let ask = |item: &str| handle.update(add(item)).request_id(item).into_future();
        let first = tokio::spawn(ask("lamp"));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let second = ask("vase 2").await.map_err(text)?;
        let first = first.await.map_err(text)?.map_err(text)?;
        Ok((first, second, handle.result().await.map_err(text)?))
    })
    .await;
    assert_eq!(seen, (vec!["4".to_owned()], vec!["10".to_owned()], 10));
}
