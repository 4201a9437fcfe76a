//! `#[task]` and `#[workflow]`: compile ordinary async functions into durable tasks and resumable state machines.
//!
//! The macros are re-exported by `workflow-runtime`, whose documentation shows their use. The passes, one module each:
//! `attributes` and `signature` read and check what is written around the body; `body` turns a workflow's body
//! into a state machine; `task` and `workflow` emit the items.

mod attributes;
mod body;
mod cfg;
mod codes;
mod diag;
mod input;
mod signature;
mod stand_in;
mod task;
#[cfg(test)]
mod tests;
mod workflow;

use proc_macro::TokenStream;

/// Makes an async function a durable task: a step with effects, which a workflow awaits.
///
/// The function's arguments are the task's stored input and its output is stored with the workflow's next step, so both
/// must implement serde's `Serialize` and `Deserialize`. Arguments may be references (`&str`, `&[T]`, `&T`).
/// A parameter `context: &TaskContext` receives the attempt's context, a parameter `State(x): State<T>` a dependency
/// that was given to the engine.
///
/// # Attributes
/// - `name = "charge"`: the stored name; by default the function's.
/// - `retry(max_attempts = 5, backoff = exponential("100ms", max = "30s"))`: attempts in all, and the pause between
///   them: `fixed("1s")`, `linear("1s", max = "1m")` or `exponential("100ms", factor = 2.0, max = "30s")`.
/// - `timeout = "10s"`: limit for one attempt.
/// - `blocking`: runs on a thread where blocking is fine; the function need not be async.
///
/// Awaited outside of a workflow a task just runs.
#[proc_macro_attribute]
pub fn task(attributes: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(&attributes.into(), &item.into()).into()
}

/// Compiles an async function into a checked, resumable state machine.
///
/// At each `.await` the runtime stores where the function is and the values that the rest of it needs; after a crash it
/// continues at that line. Only durable operations can be awaited: tasks, timers, signals.
///
/// # Attributes
/// - `name = "orders"`: the stored name; by default the function's.
///
/// Inside the body, `#[point("name")]` on a statement names its await, which is otherwise named after what it awaits.
#[proc_macro_attribute]
pub fn workflow(attributes: TokenStream, item: TokenStream) -> TokenStream {
    workflow::expand(&attributes.into(), &item.into()).into()
}
