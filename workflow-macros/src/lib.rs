//! `#[task]` and `#[workflow]`: compile ordinary async functions into durable tasks and resumable state machines.
//!
//! The macros are re-exported by `workflow-runtime`, whose documentation shows their use. The passes, one module each:
//! `attributes` and `signature` read and check what is written around the body; `body` turns a workflow's body
//! into a state machine; `receives` finds the messages that it receives; `task`, `workflow` and `message` emit the items.

mod attributes;
mod body;
mod cfg;
mod codes;
mod diag;
mod input;
mod message;
mod receives;
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

/// Makes a struct or enum a message that a workflow receives: implements `Signal`.
///
/// The type derives serde's `Serialize` and `Deserialize` itself, as every type does that is stored.
///
/// # Attributes
/// - `name = "approval"`: the stored name; by default the type's. Name it when the type may be renamed while messages
///   are under way.
#[proc_macro_attribute]
pub fn signal(attributes: TokenStream, item: TokenStream) -> TokenStream {
    message::signal(&attributes.into(), &item.into()).into()
}

/// Makes a struct or enum a request that a workflow receives and answers: implements `Update`.
///
/// The type and the reply derive serde's `Serialize` and `Deserialize` themselves.
///
/// # Attributes
/// - `reply = Receipt`: what the sender gets. Required.
/// - `name = "add_item"`: the stored name; by default the type's.
/// - `validate = check`: a function `fn(&Request, &Values) -> Result<(), E>`, where `E: Display`, that refuses a request
///   before it is stored.
#[proc_macro_attribute]
pub fn update(attributes: TokenStream, item: TokenStream) -> TokenStream {
    message::update(&attributes.into(), &item.into()).into()
}
