//! Tests of the TiKV store on a cluster: the one that `tests/tikv-cluster` serves, or the one that `TIKV_PD_ENDPOINTS`
//! names (`127.0.0.1:2379,..`). A real cluster has no switches for faults: tests that need them are skipped there.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

#[path = "tikv/cluster.rs"]
mod cluster;
#[path = "tikv/conformance.rs"]
mod conformance;
#[path = "tikv/connect.rs"]
mod connect;
#[path = "tikv/crash.rs"]
mod crash;
#[path = "tikv/engines.rs"]
mod engines;
#[path = "tikv/faults.rs"]
mod faults;
#[path = "tikv/isolation.rs"]
mod isolation;
#[path = "tikv/ledger.rs"]
mod ledger;
#[path = "tikv/restarts.rs"]
mod restarts;
mod suite;
