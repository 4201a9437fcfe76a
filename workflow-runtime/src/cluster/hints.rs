//! Hints between nodes: that there is something to look at. Lost, late or repeated ones change nothing but latency.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::{Deserialize, Serialize};
use workflow_model::InstanceId;

use crate::engine::core::Core;

/// What one node tells another. It is a value of serde's, for whoever sends it over a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Hint {
    /// There is a record for this instance, which the receiver runs.
    Instance {
        /// The instance.
        id: InstanceId,
    },
    /// The sender waits for the end of this instance, which the receiver runs.
    Watch {
        /// The instance.
        id: InstanceId,
        /// Where the end is to be told.
        address: String,
    },
    /// This instance has ended.
    Ended {
        /// The instance.
        id: InstanceId,
    },
    /// Nodes have come or gone, or shards have changed hands.
    Members,
}

/// Carries hints between nodes.
///
/// Implement it over the network that you have: [`send`](Hints::send) must not block, and may drop whatever it cannot send.
pub trait Hints: Send + Sync + fmt::Debug + 'static {
    /// Hints that come for `address` are to be given to `receiver` from now on. Called once when the node joins.
    fn listen(&self, address: &str, receiver: HintReceiver);

    /// Sends a hint to the node that listens at `address`.
    fn send(&self, address: &str, hint: Hint);
}

/// Takes the hints that come for a node.
#[derive(Clone)]
pub struct HintReceiver {
    core: Weak<Core>,
}

impl HintReceiver {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        HintReceiver {
            core: Arc::downgrade(core),
        }
    }

    /// Hands a hint to the node; false when the node is gone.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn receive(&self, hint: Hint) -> bool {
        let Some(core) = self.core.upgrade() else {
            return false;
        };
        super::poll::receive(&core, hint);
        true
    }
}

impl fmt::Debug for HintReceiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HintReceiver").finish_non_exhaustive()
    }
}

/// Hints between the nodes of one process. Clones share the nodes.
///
/// ```
/// use workflow_runtime::cluster::{Cluster, InProcessHints};
///
/// let hints = InProcessHints::default();
/// let (a, b) = (Cluster::node("a").hints(hints.clone()), Cluster::node("b").hints(hints));
/// # let _ = (a, b);
/// ```
#[derive(Debug, Clone, Default)]
pub struct InProcessHints {
    nodes: Arc<Mutex<BTreeMap<String, HintReceiver>>>,
}

impl Hints for InProcessHints {
    fn listen(&self, address: &str, receiver: HintReceiver) {
        self.nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(address.to_owned(), receiver);
    }

    fn send(&self, address: &str, hint: Hint) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(receiver) = nodes.get(address).cloned() else {
            return;
        };
        if !receiver.receive(hint) {
            nodes.remove(address);
        }
    }
}
