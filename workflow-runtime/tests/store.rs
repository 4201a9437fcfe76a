//! Tests of the stores on real files, processes and disks.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

#[path = "store/conformance.rs"]
mod conformance;
