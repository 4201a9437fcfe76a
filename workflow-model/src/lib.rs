//! Plain data that every part of the workflow system shares: how values are stored, what an instance is called, where it
//! stands.
//!
//! Nothing in here does I/O, so that the server, the engine and the browser use the same types.
//!
//! - [`codec`]: the format of inputs, outputs and live variables, with its specification;
//! - [`InstanceId`]: the name of an instance;
//! - [`InstanceStatus`], [`BlockedReason`], [`InstanceSummary`]: where an instance stands;
//! - [`duration`]: durations as people write them.

pub mod codec;
pub mod duration;
mod id;
mod status;

pub use id::{InstanceId, InvalidId, MAX_INSTANCE_ID_BYTES};
pub use status::{BlockedReason, InstanceStatus, InstanceSummary, StatusKind};
