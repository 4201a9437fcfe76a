//! Several engines over one store, in one process and virtual time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod membership;
mod messages;
mod simulation;
mod support;
mod upgrade;
