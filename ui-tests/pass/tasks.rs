//! Every kind of parameter, attribute and output of a task.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;
use workflow_runtime::{TaskCall, WorkflowCall};

/// A dependency.
#[derive(Debug, Clone)]
pub struct Rates(Arc<[u64]>);

/// Data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    id: u64,
    names: Vec<String>,
}

/// An error with a place for failures without an output.
#[derive(Debug, Serialize, Deserialize)]
pub enum OrderError {
    /// The task failed.
    Failed(String),
    /// Too much.
    TooMuch(u64),
}

impl std::fmt::Display for OrderError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl From<TaskFailure> for OrderError {
    fn from(failure: TaskFailure) -> Self {
        OrderError::Failed(failure.to_string())
    }
}

/// Every kind of parameter at once.
#[task(
    name = "everything",
    retry(max_attempts = 3, backoff = exponential("1ms", factor = 1.5, max = "10ms")),
    timeout = "1m 30s",
)]
#[allow(clippy::too_many_arguments, reason = "one of each kind")]
pub async fn everything(
    context: &TaskContext,
    State(rates): State<Rates>,
    State(_): State<u8>,
    order: &Order,
    text: &str,
    numbers: &[u64],
    orders: &[Order],
    owned: Vec<Order>,
    (left, right): (u64, u64),
    mut counter: u64,
    optional: Option<u64>,
    _: bool,
) -> Result<u64, OrderError> {
    counter += optional.unwrap_or_default() + u64::from(context.attempt());
    let sizes = order.names.len() + text.len() + numbers.len() + orders.len() + owned.len();
    let sum = sizes as u64 + left + right + counter + rates.0.iter().sum::<u64>();
    if sum > 1_000_000 { Err(OrderError::TooMuch(sum)) } else { Ok(sum) }
}

/// Runs on a thread where blocking is fine.
#[task(blocking, retry(backoff = fixed("1ms")))]
pub fn blocking(n: u64) -> u64 {
    n + 1
}

/// A blocking task may be async.
#[task(blocking, retry(max_attempts = 2, backoff = linear("1ms", max = "1s")))]
pub async fn async_blocking(n: &u64) -> u64 {
    n + 1
}

/// No parameters, no output.
#[task]
pub async fn silent() {}

/// An output whose error has no `Display`.
#[task]
pub async fn opaque(n: u64) -> Result<u64, Vec<u8>> {
    Ok(n)
}

/// A path from the root, a raw identifier, an array.
#[task(name = "raw names")]
pub async fn r#type(r#match: u64, list: [u64; 2], time: ::std::time::Duration) -> u64 {
    r#match + list[0] + time.as_secs()
}

#[derive(Serialize, Deserialize)]
struct ByHand {
    side: u64,
}

impl Task for ByHand {
    const NAME: &'static str = "by_hand";
    type Output = u64;

    async fn run(self, _: &TaskContext) -> u64 {
        self.side * self.side
    }
}

/// Awaits them all.
#[workflow]
pub async fn all(order: Order) -> Result<u64, OrderError> {
    let numbers = [1, 2, 3];
    let orders = vec![order.clone()];
    let sum =
        everything(&order, "text", &numbers, &orders, orders.clone(), (1, 2), 0, None, true).await?;
    silent().await;
    let opaque = opaque(1).await.unwrap_or_default();
    let raw = r#type(1, [2, 3], std::time::Duration::from_secs(1)).await;
    let squared = TaskCall::new(ByHand { side: 3 }).await;
    Ok(sum + blocking(1).await + async_blocking(&1).await + opaque + raw + squared)
}

/// Runs them, in a workflow and by themselves.
pub(crate) fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let order = Order { id: 1, names: vec!["a".into()] };
    let expected = 1 + 4 + 3 + 1 + 1 + 3 + 1 + 10;
    runtime.block_on(async {
        let engine = WorkflowEngine::<all>::builder().in_memory().state(Rates([4, 6].into())).state(1_u8);
        let engine = engine.build().await.expect("an engine");
        let call: WorkflowCall<all> = all(order.clone());
        let handle = engine.start(call).await.expect("a start");
        let output = handle.result().await.expect("an output");
        assert!(matches!(output, Ok(sum) if sum == expected + 2 + 2 + 1 + 4 + 9), "{output:?}");

        let context = TaskContext::detached("everything").with_state(Rates([4, 6].into())).with_state(1_u8);
        let call = everything(&order, "text", &[1, 2, 3], std::slice::from_ref(&order), vec![order.clone()], (1, 2), 0, None, true);
        let sum = call.run_in(&context).await.expect("arguments");
        assert!(matches!(sum, Ok(sum) if sum == expected), "{sum:?}");
        assert_eq!(blocking(1).await, 2);
        assert_eq!(order.id, 1);
    });
}
