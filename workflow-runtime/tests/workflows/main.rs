//! Workflows over the whole language, each one crashed at every commit and compared with a plain async function; the
//! engine's behaviour; random programs; a process that is killed again and again.

#[macro_use]
mod support;
mod concurrency;
mod engine;
mod language;
mod property;
