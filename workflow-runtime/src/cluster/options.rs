//! How an engine takes part in a cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::hints::Hints;
use super::members::{NodeRecovery, NodeRegistration};

/// How an engine takes part in a cluster of engines over one store; see
/// [`EngineBuilder::cluster`](crate::EngineBuilder::cluster).
///
/// ```
/// use std::time::Duration;
/// use workflow_runtime::cluster::Cluster;
/// use workflow_runtime::prelude::*;
/// use workflow_runtime::store::MemoryStore;
///
/// #[task]
/// async fn double(n: u64) -> u64 { n * 2 }
/// #[workflow]
/// async fn doubled(n: u64) -> u64 { double(n).await }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
/// // Two engines in one process; on a store that processes share they are in as many processes as you like.
/// let store = MemoryStore::new();
/// let node = |name: &str| {
///     let cluster = Cluster::node(name).lease(Duration::from_secs(5));
///     WorkflowEngine::<doubled>::builder().store(store.clone()).cluster(cluster).build()
/// };
/// let (a, b) = (node("a").await?, node("b").await?);
///
/// // Any node takes any request; whoever has the instance's shard runs it.
/// let handle = a.start(doubled(21)).id("answer").await?;
/// assert_eq!(b.handle::<doubled>("answer".parse()?).result().await?, 42);
/// assert_eq!(handle.result().await?, 42);
/// a.shutdown().await;
/// b.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "give it to `EngineBuilder::cluster`"]
pub struct Cluster {
    pub(super) registration: NodeRegistration,
    pub(super) lease: Duration,
    pub(super) grace: Duration,
    pub(super) poll: Duration,
    pub(super) hints: Option<Arc<dyn Hints>>,
}

impl Cluster {
    /// A node with this name, which is unique among the nodes that run: one that registers under the name of another
    /// replaces it at once, so a process that was killed and starts again need not wait for the end of its own lease.
    pub fn node(name: impl Into<String>) -> Self {
        Cluster {
            registration: NodeRegistration::new(name),
            lease: Duration::from_secs(10),
            grace: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            hints: None,
        }
    }

    /// For how long a node that is not heard of is taken to be alive; 10 seconds unless told, at least 100 ms. A node
    /// renews its lease four times in it. Its shards are taken over when it ends, and its own tasks are told to stop a
    /// tenth of it earlier.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(100));
        self
    }

    /// How long a task may go on when its shard is handed to another node; 5 seconds unless told. It is attempted again
    /// there under its number.
    pub fn hand_over_within(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How often an idle node looks for what others have written for its instances; 1 second unless told. With hints this
    /// matters only when one is lost.
    pub fn poll_every(mut self, period: Duration) -> Self {
        self.poll = period.max(Duration::from_millis(10));
        self
    }

    /// Where other nodes reach this one, as the implementation of [`Hints`] understands it; the node's name unless told.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.registration = self.registration.address(address);
        self
    }

    /// The build of the program, for whoever looks at the nodes; the version of the runtime unless told.
    pub fn build(mut self, build: impl Into<String>) -> Self {
        self.registration = self.registration.build(build);
        self
    }

    /// What becomes of the node's shards when it is not heard of.
    pub fn recovery(mut self, recovery: NodeRecovery) -> Self {
        self.registration = self.registration.recovery(recovery);
        self
    }

    /// How nodes wake each other without waiting for the next look at the store.
    pub fn hints(mut self, hints: impl Hints) -> Self {
        self.hints = Some(Arc::new(hints));
        self
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("registration", &self.registration)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
