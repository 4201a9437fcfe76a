//! Configures and opens an engine.

use std::fmt;
use std::marker::PhantomData;
#[cfg(feature = "embedded")]
use std::path::PathBuf;
use std::sync::Arc;

use super::core::{Core, Parts};
use super::{WorkflowEngine, open, registry, timers};
use crate::cluster::{self, Cluster};
use crate::store::{self, MemoryStore, Store};
use crate::task_context::States;
use crate::workflow::Registry;

/// Why an engine was not built.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No store was given.
    #[error("an engine needs a store: call `.embedded(folder)`, `.in_memory()` or `.store(store)`")]
    NoStore,
    /// Dependencies are missing or names clash; each line is one problem.
    #[error("the engine cannot run its workflows:\n  {}", problems.join("\n  "))]
    Registry {
        /// All problems.
        problems: Vec<String>,
    },
    /// A namespace that cannot be part of a key.
    #[error("{namespace:?} cannot be a namespace: use 1 to 100 bytes without control characters")]
    Namespace {
        /// The refused name.
        namespace: String,
    },
    /// The store holds records of another version.
    #[error(
        "the store has engine format {found}, this program reads {supported}; use a program of that version"
    )]
    Format {
        /// The stored version.
        found: String,
        /// The version that this program reads.
        supported: String,
    },
    /// Another engine opened the store at the same moment.
    #[error("another engine opened the store at the same moment; only one engine can run on it")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

enum Source {
    None,
    Ready(Arc<dyn Store>),
    #[cfg(feature = "embedded")]
    Embedded(PathBuf),
}

/// An engine that is being configured.
///
/// ```
/// use workflow_runtime::prelude::*;
/// #[derive(Clone)]
/// struct Mailer;
/// #[task]
/// async fn mail(State(_mailer): State<Mailer>, to: String) { let _ = to; }
/// #[workflow]
/// async fn welcome(to: String) { mail(to).await; }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// // What a task wants and the engine lacks is told before anything runs.
/// let error = WorkflowEngine::<welcome>::builder().in_memory().build().await.unwrap_err();
/// assert!(error.to_string().contains("Mailer"));
/// assert!(error.to_string().contains("`mail`"));
///
/// let engine = WorkflowEngine::<welcome>::builder().in_memory().state(Mailer).build().await.unwrap();
/// engine.start(welcome("you".into())).await.unwrap().result().await.unwrap();
/// # });
/// ```
#[must_use = "nothing runs before `build()`"]
pub struct EngineBuilder<R> {
    source: Source,
    states: States,
    namespace: String,
    waiting_in_memory: usize,
    poison_limit: u32,
    cluster: Option<Cluster>,
    registry: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for EngineBuilder<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EngineBuilder")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl<R: Registry> EngineBuilder<R> {
    pub(super) fn new() -> Self {
        EngineBuilder {
            source: Source::None,
            states: States::default(),
            namespace: "default".to_owned(),
            waiting_in_memory: 1000,
            poison_limit: 20,
            cluster: None,
            registry: PhantomData,
        }
    }

    /// Keeps everything in the embedded store in this folder, which is made when it is missing. Each step is synced to
    /// the disk before what depends on it starts.
    #[cfg(feature = "embedded")]
    pub fn embedded(mut self, folder: impl Into<PathBuf>) -> Self {
        self.source = Source::Embedded(folder.into());
        self
    }

    /// Keeps everything in memory: for tests and trials, gone with the process.
    pub fn in_memory(self) -> Self {
        self.store(MemoryStore::new())
    }

    /// Keeps everything in this store.
    pub fn store(mut self, store: impl Store) -> Self {
        self.source = Source::Ready(Arc::new(store));
        self
    }

    /// Gives tasks a dependency, one per type: a task takes it with a parameter `State(x): State<T>`.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.insert(value);
        self
    }

    /// This task needs no dependencies: something stands in for it.
    #[cfg(feature = "testing")]
    pub(crate) fn without_requirements(mut self, task: &'static str) -> Self {
        self.states.mocked.insert(task);
        self
    }

    /// Keeps the instances of this engine apart from those of other namespaces in the same store; `default` otherwise.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How many waiting instances may stay in memory, so that a message finds them at once; 1,000 otherwise. All others
    /// cost no memory.
    pub fn waiting_in_memory(mut self, instances: usize) -> Self {
        self.waiting_in_memory = instances;
        self
    }

    /// Shares the store with other engines. Without this an engine takes the whole store when it is built, from whoever
    /// had it.
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// After how many deaths of the process at one and the same step of an instance that instance is blocked, so that
    /// it cannot take the others down for ever; 20 otherwise.
    pub fn poison_limit(mut self, deaths: u32) -> Self {
        self.poison_limit = deaths.max(1);
        self
    }

    /// Opens the store, takes it over, and continues every unfinished instance.
    ///
    /// # Errors
    /// [`BuildError`] says what is wrong; nothing has run then.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub async fn build(self) -> Result<WorkflowEngine<R>, BuildError> {
        let registry::Collected {
            entries,
            inboxes,
            problems,
        } = registry::collect::<R>(&self.states);
        if !problems.is_empty() {
            return Err(BuildError::Registry { problems });
        }
        let namespace = self.namespace;
        if namespace.is_empty() || namespace.len() > 100 || namespace.chars().any(char::is_control) {
            return Err(BuildError::Namespace { namespace });
        }
        let store = match self.source {
            Source::None => return Err(BuildError::NoStore),
            Source::Ready(store) => store,
            #[cfg(feature = "embedded")]
            Source::Embedded(folder) => Arc::new(crate::store::EmbeddedStore::open(folder)?),
        };
        let (opened, membership) = match self.cluster {
            None => (open::open(store.as_ref(), &namespace).await?, None),
            Some(options) => {
                let joined = cluster::join(store.as_ref(), &namespace, options, entries.values()).await?;
                let opened = open::Opened {
                    epoch: joined.number,
                    keys: joined.keys,
                    leases: Vec::new(),
                };
                (opened, Some(joined.membership))
            }
        };
        let core = Arc::new(
            Core::new(Parts {
                store,
                keys: opened.keys,
                membership,
                epoch: opened.epoch,
                states: self.states,
                entries,
                inboxes,
                poison_limit: self.poison_limit,
                waiting_limit: self.waiting_in_memory,
            })
            .await?,
        );
        let mut shards = Vec::with_capacity(opened.leases.len());
        for (lease, clean) in opened.leases {
            shards.push((lease.shard, clean));
            core.adopt(lease);
        }
        for (shard, clean) in shards {
            open::recover(&core, shard, !clean).await?;
        }
        cluster::spawn(&core);
        tokio::spawn(timers::run(Arc::downgrade(&core)));
        Ok(WorkflowEngine::new(core))
    }
}
