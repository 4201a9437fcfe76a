//! Many engines over one store: who is there, who runs which shard, and how they wake each other.
//!
//! The store is the only authority. A node registers a record and renews it; a shard belongs to the node that its lease
//! record names, and changes hands by a conditional write of that record, which fences the former holder. Times are
//! compared by the store's clock only. Hints between nodes change nothing but latency.

mod assign;
mod health;
mod hints;
mod members;
mod membership;
mod options;
mod orphans;
mod poll;

pub use self::health::{HealthCheck, HealthError, HealthManager, NodeEvent, RegisteredNode};
pub use self::hints::{Hint, HintReceiver, Hints, InProcessHints};
pub use self::members::{NodeInfo, NodeRecovery, NodeRegistration, NodeState};
pub use self::options::Cluster;

pub(crate) use self::membership::{Membership, join, leave, spawn};
pub(crate) use self::orphans::{claim_of, give_up, offer};
