//! Workflows over the whole language, each one crashed at every commit and compared with a plain async function; the
//! engine's behaviour; random programs; a process that is killed again and again.

#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    clippy::manual_is_multiple_of,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

#[macro_use]
mod support;
mod blocks;
mod chaos;
mod concurrency;
mod engine;
mod kill;
mod kit;
mod language;
mod mocks;
mod property;
