//! Ids, lists, status.

use std::collections::BTreeSet;

use workflow_runtime::prelude::*;
use workflow_runtime::{BuildError, InstanceStatus, ListFilter, ResultError, StartError};

use super::super::support::Note;
use super::{memory, open};

#[task]
async fn twice(n: u64) -> u64 {
    n * 2
}

#[workflow]
async fn double(n: u64) -> u64 {
    twice(n).await
}

#[workflow]
async fn wait_for_note(n: i64) -> i64 {
    n + receive::<Note>().await.0
}

#[workflow]
async fn refuse(n: u64) -> Result<u64, String> {
    let n = twice(n).await;
    Err(format!("{n} is too much"))
}

workflows! {
    pub App { double, wait_for_note, refuse }
}

#[tokio::test(start_paused = true)]
async fn existing_ids() {
    let engine = open::<App>(&memory()).await;
    let id = "one".to_owned();
    let first = engine.start(double(1)).id(&id).await.unwrap();
    assert_eq!(first.result().await.unwrap(), 2);

    let error = engine.start(double(5)).id(&id).await.unwrap_err();
    assert!(
        matches!(&error, StartError::AlreadyExists { id } if id.as_str() == "one"),
        "{error}"
    );
    assert!(
        error.to_string().contains("ReturnExisting"),
        "the error names the ways out: {error}"
    );

    let same = engine
        .start(double(5))
        .id(&id)
        .on_existing(ExistingId::ReturnExisting)
        .await
        .unwrap();
    assert_eq!(same.result().await.unwrap(), 2, "the new arguments are dropped");

    let again = engine
        .start(double(5))
        .id(&id)
        .on_existing(ExistingId::RestartClosed)
        .await
        .unwrap();
    assert_eq!(again.result().await.unwrap(), 10);
    assert_eq!(first.result().await.unwrap(), 10, "an id names its last instance");

    // An instance that is open is not replaced.
    engine.start(wait_for_note(1)).id("open").await.unwrap();
    let error = engine
        .start(wait_for_note(2))
        .id("open")
        .on_existing(ExistingId::RestartClosed)
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::AlreadyExists { .. }), "{error}");
    engine
        .start(wait_for_note(2))
        .id("open")
        .on_existing(ExistingId::ReturnExisting)
        .await
        .unwrap();

    let error = engine
        .start(double(1))
        .id("open")
        .on_existing(ExistingId::ReturnExisting)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("`wait_for_note`"), "{error}");
    for id in ["", "a\nb"] {
        let error = engine.start(double(1)).id(id).await.unwrap_err();
        assert!(matches!(error, StartError::InvalidId(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_starts_of_one_id() {
    for policy in [ExistingId::Reject, ExistingId::ReturnExisting] {
        let engine = open::<App>(&memory()).await;
        let starts: Vec<_> = (0..20)
            .map(|n| {
                let engine = engine.clone();
                tokio::spawn(async move { engine.start(double(n)).id("one").on_existing(policy).await })
            })
            .collect();
        let mut started = Vec::new();
        for start in starts {
            match start.await.unwrap() {
                Ok(handle) => started.push(handle.result().await.unwrap()),
                Err(error) => assert!(matches!(error, StartError::AlreadyExists { .. }), "{error}"),
            }
        }
        let distinct: BTreeSet<u64> = started.iter().copied().collect();
        assert_eq!(distinct.len(), 1, "{policy:?}: {started:?}");
        assert_eq!(
            started.len(),
            if policy == ExistingId::Reject { 1 } else { 20 },
            "{policy:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn generated_ids_differ_and_sort_by_time() {
    let store = memory();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let engine = open::<App>(&store).await;
        for n in 0..10 {
            ids.push(engine.start(double(n)).await.unwrap().id().to_string());
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        engine.abort().await;
    }
    let sorted: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(sorted.into_iter().collect::<Vec<_>>(), ids);
}

#[tokio::test(start_paused = true)]
async fn lists_have_pages_and_filters() {
    let engine = open::<App>(&memory()).await;
    let mut expected = BTreeSet::new();
    for n in 0..30_u64 {
        let id = format!("order {n}");
        expected.insert(id.clone());
        if n % 3 == 0 {
            engine.start(wait_for_note(1)).id(id).await.unwrap();
        } else {
            engine
                .start(double(n))
                .id(id)
                .await
                .unwrap()
                .result()
                .await
                .unwrap();
        }
    }
    for limit in [1, 7, 29, 30, 31, 1000] {
        let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let mut filter = ListFilter::default().limit(limit);
            if let Some(after) = after {
                filter = filter.after(after);
            }
            let page = engine.list(filter).await.unwrap();
            assert!(page.instances.len() <= limit);
            found.extend(page.instances.into_iter().map(|instance| instance.id.to_string()));
            pages += 1;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found.len(), 30, "no instance twice with pages of {limit}");
        assert_eq!(
            found.into_iter().collect::<BTreeSet<_>>(),
            expected,
            "pages of {limit}"
        );
        assert_eq!(pages, 30_usize.div_ceil(limit), "pages of {limit}");
    }
    for (filter, count) in [
        (ListFilter::default().workflow("double"), 20),
        (ListFilter::default().workflow("wait_for_note"), 10),
        (ListFilter::default().workflow("other"), 0),
        (ListFilter::default().open_only(), 10),
        (ListFilter::default().closed_only(), 20),
        (ListFilter::default().workflow("double").open_only(), 0),
    ] {
        assert_eq!(
            engine.list(filter.clone()).await.unwrap().instances.len(),
            count,
            "{filter:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn status_says_where_an_instance_stands() {
    let engine = open::<App>(&memory()).await;
    let waiting = engine.start(wait_for_note(1)).await.unwrap();
    match waiting.status().await.unwrap() {
        InstanceStatus::Waiting { point, on } => {
            assert_eq!((point.as_str(), on.as_str()), ("receive", "signal `note`"));
        }
        other => panic!("{other}"),
    }
    waiting.signal(Note(3)).await.unwrap();
    assert_eq!(waiting.result().await.unwrap(), 4);
    assert_eq!(waiting.status().await.unwrap(), InstanceStatus::Completed);

    let failed = engine.start(refuse(4)).await.unwrap();
    assert_eq!(failed.result().await.unwrap(), Err("8 is too much".to_owned()));
    let error = "8 is too much".to_owned();
    assert_eq!(failed.status().await.unwrap(), InstanceStatus::Failed { error });
    let summary = engine
        .list(ListFilter::default().workflow("refuse"))
        .await
        .unwrap()
        .instances
        .remove(0);
    assert_eq!(summary.steps, 1);
    assert!(summary.closed_ms >= Some(summary.created_ms));

    let nobody = workflow_runtime::InstanceId::new("nobody").unwrap();
    assert_eq!(engine.status(&nobody).await.unwrap(), None);
    let handle = engine.handle::<double>(nobody.clone());
    assert!(matches!(handle.result().await, Err(ResultError::NotFound { .. })));
    let nobody = engine.handle::<wait_for_note>(nobody);
    assert!(matches!(
        nobody.signal(Note(1)).await,
        Err(workflow_runtime::SignalError::NotFound { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_apart() {
    let store = memory();
    let one = WorkflowEngine::<App>::builder()
        .store(store.clone())
        .namespace("one")
        .build()
        .await
        .unwrap();
    one.start(wait_for_note(1)).id("same").await.unwrap();
    one.abort().await;
    let two = WorkflowEngine::<App>::builder()
        .store(store.clone())
        .namespace("two")
        .build()
        .await
        .unwrap();
    assert!(
        two.list(ListFilter::default())
            .await
            .unwrap()
            .instances
            .is_empty()
    );
    assert_eq!(
        two.start(double(2))
            .id("same")
            .await
            .unwrap()
            .result()
            .await
            .unwrap(),
        4
    );
    two.abort().await;
    for bad in ["", "a\u{0}b"] {
        let error = WorkflowEngine::<App>::builder()
            .store(store.clone())
            .namespace(bad)
            .build()
            .await
            .unwrap_err();
        assert!(matches!(error, BuildError::Namespace { .. }), "{error}");
    }
}

#[derive(Clone)]
struct Mailer;
#[derive(Clone)]
struct Printer;

#[task]
async fn mail(State(_mailer): State<Mailer>, n: u64) -> u64 {
    n
}
#[task]
async fn print(State(_printer): State<Printer>, State(_mailer): State<Mailer>, n: u64) -> u64 {
    n
}
#[workflow]
async fn publish(n: u64) -> u64 {
    if n > 3 { mail(n).await } else { print(n).await }
}

mod other {
    use workflow_runtime::prelude::*;
    #[workflow(name = "publish")]
    pub(super) async fn another(n: u64) -> u64 {
        n
    }
}

workflows! {
    pub Clash { publish, other::another }
}

#[tokio::test]
async fn build_lists_everything_that_is_missing() {
    let error = WorkflowEngine::<publish>::builder()
        .in_memory()
        .build()
        .await
        .unwrap_err();
    let BuildError::Registry { problems } = &error else {
        panic!("{error}")
    };
    assert_eq!(problems.len(), 2, "one line for each dependency: {problems:?}");
    let mailer = problems
        .iter()
        .find(|problem| problem.contains("Mailer"))
        .unwrap();
    assert!(
        mailer.contains("`mail`") && mailer.contains("`print`"),
        "{mailer}"
    );

    let builder = WorkflowEngine::<Clash>::builder()
        .in_memory()
        .state(Mailer)
        .state(Printer);
    let error = builder.build().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("two workflows have the name `publish`"),
        "{error}"
    );

    let error = WorkflowEngine::<double>::builder().build().await.unwrap_err();
    assert!(matches!(error, BuildError::NoStore), "{error}");
}
