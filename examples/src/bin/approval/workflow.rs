//! A purchase request: it waits for its approvals, can be amended meanwhile, and tells how it stands.

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

use crate::messages::{Amend, Approval, Decision};

/// What is wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) item: String,
    pub(crate) cents: u64,
    pub(crate) by: String,
}

/// What was ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) item: String,
    pub(crate) cents: u64,
    pub(crate) approved_by: Vec<String>,
}

/// How a request stands; published for queries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) needed: usize,
    pub(crate) approved_by: Vec<String>,
}

/// Places the order with the dealer.
#[task(retry(max_attempts = 5, backoff = exponential("100ms", max = "10s")))]
async fn place(order: Order) -> Result<Order, String> {
    Ok(order)
}

/// How many people have to approve such a sum.
fn needed(cents: u64) -> usize {
    match cents {
        0..=10_000 => 1,
        10_001..=200_000 => 2,
        _ => 3,
    }
}

/// A request that is approved, refused, or expires after two weeks without a word.
#[workflow]
pub(crate) async fn purchase(request: Request) -> Result<Order, String> {
    let Request { item, mut cents, by } = request;
    publish!(item);
    let mut approved_by: Vec<String> = Vec::new();
    while approved_by.len() < needed(cents) {
        publish!(
            "standing",
            Standing {
                needed: needed(cents),
                approved_by: approved_by.clone()
            }
        );
        select! {
            approval = receive::<Approval>() => match approval.decision {
                Decision::Refuse { reason } => return Err(format!("{} refuses: {reason}", approval.by)),
                // Nobody approves their own request, or twice.
                Decision::Approve if approval.by == by || approved_by.contains(&approval.by) => {}
                Decision::Approve => approved_by.push(approval.by),
            },
            (amend, responder) = receive_update::<Amend>() => {
                if amend.cents > cents && !approved_by.is_empty() {
                    responder.reject("it was approved for less: make a new request");
                } else {
                    cents = amend.cents;
                    responder.respond(needed(cents));
                }
            },
            () = sleep("14d") => return Err("nobody decided for two weeks".to_owned()),
        }
    }
    place(Order {
        item,
        cents,
        approved_by,
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use workflow_runtime::testing::crash_everywhere;

    use super::*;

    fn request() -> Request {
        Request {
            item: "laptop".to_owned(),
            cents: 150_000,
            by: "Grace".to_owned(),
        }
    }

    fn approval(by: &str) -> Approval {
        Approval {
            by: by.to_owned(),
            decision: Decision::Approve,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_approved_request_is_ordered() {
        let engine = WorkflowEngine::<purchase>::builder()
            .in_memory()
            .build()
            .await
            .unwrap();
        let handle = engine.start(purchase(request())).await.unwrap();
        for by in ["Grace", "Ada", "Ada", "Barbara"] {
            handle.signal(approval(by)).await.unwrap();
        }
        assert_eq!(
            handle.result().await.unwrap().unwrap().approved_by,
            ["Ada", "Barbara"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_can_be_amended_until_it_is_approved() {
        let engine = WorkflowEngine::<purchase>::builder()
            .in_memory()
            .build()
            .await
            .unwrap();
        let handle = engine.start(purchase(request())).await.unwrap();
        assert_eq!(handle.update(Amend { cents: 300_000 }).await.unwrap(), 3);
        handle.signal(approval("Ada")).await.unwrap();
        let error = handle.update(Amend { cents: 400_000 }).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the update was rejected: it was approved for less: make a new request"
        );
        assert_eq!(
            handle.query::<Standing>("standing").await.unwrap().approved_by,
            ["Ada"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_for_two_weeks_ends_it_whatever_crashes() {
        let report = crash_everywhere::<purchase, _>(|| purchase(request()))
            .time_limit(Duration::from_secs(60 * 24 * 3600))
            .evicting()
            .run()
            .await;
        assert_eq!(
            report.result(),
            Some(&Err("nobody decided for two weeks".to_owned()))
        );
    }
}
