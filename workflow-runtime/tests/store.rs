//! Tests of the stores on real files, processes and disks.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

#[path = "store/conformance.rs"]
mod conformance;
#[cfg(unix)]
#[path = "store/crash.rs"]
mod crash;
#[cfg(target_os = "linux")]
#[path = "store/disk.rs"]
mod disk;
#[path = "store/engines.rs"]
mod engines;
#[path = "store/folder.rs"]
mod folder;
#[cfg(unix)]
#[path = "store/idle.rs"]
mod idle;
mod suite;
