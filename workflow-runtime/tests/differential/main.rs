//! Every case is one async function, compiled twice: as it stands, and as a workflow. The workflow must give the same
//! result with the same effects in the same order; then it is crashed before and after each of its commits, and must
//! give the same result every time.

#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "tests"
)]

#[macro_use]
mod harness;
mod tasks;

#[allow(
    clippy::all,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    unused,
    while_true,
    reason = "the cases exercise unusual code on purpose"
)]
mod cases {
    mod concurrency;
    mod control;
    mod evaluation;
    mod loops;
    mod scopes;
}
