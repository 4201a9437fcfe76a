//! What an engine asks of its store, recorded, so that the same can be asked again without an engine.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use workflow_runtime::store::{Batch, CommitProfile, Store, StoreFuture, Verdict, Write};

/// The commits of a store, in their order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Trace {
    pub(crate) groups: Vec<Vec<Batch>>,
}

impl Trace {
    /// The same batches in the same order, in groups of about this size.
    pub(crate) fn regrouped(&self, size: f64) -> Trace {
        let batches: Vec<Batch> = self.groups.iter().flatten().cloned().collect();
        Trace {
            groups: batches
                .chunks((size.round() as usize).max(1))
                .map(<[Batch]>::to_vec)
                .collect(),
        }
    }

    /// Keys and values that are written.
    pub(crate) fn bytes(&self) -> usize {
        self.groups.iter().flatten().map(written_bytes).sum()
    }
}

/// The keys and values that a batch writes.
pub(crate) fn written_bytes(batch: &Batch) -> usize {
    let size = |write: &Write| match write {
        Write::Put(key, value) => key.len() + value.len(),
        Write::Delete(key) => key.len(),
    };
    batch.writes.iter().map(size).sum()
}

/// Hands everything on to a store, and keeps a copy of what is committed.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    store: Arc<dyn Store>,
    trace: Arc<Mutex<Trace>>,
}

impl Recorder {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Recorder {
            store,
            trace: Arc::default(),
        }
    }

    pub(crate) fn take(&self) -> Trace {
        std::mem::take(&mut self.trace.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for Recorder {
    fn get<'a>(&'a self, keys: &'a [Bytes]) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        self.store.get(keys)
    }

    fn scan(&self, range: Range<Bytes>, limit: usize) -> StoreFuture<'_, Vec<(Bytes, Bytes)>> {
        self.store.scan(range, limit)
    }

    fn commit<'a>(&'a self, group: &'a [Batch]) -> StoreFuture<'a, Vec<Verdict>> {
        self.trace
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .groups
            .push(group.to_vec());
        self.store.commit(group)
    }

    fn now_ms(&self) -> StoreFuture<'_, u64> {
        self.store.now_ms()
    }

    fn profile(&self) -> CommitProfile {
        self.store.profile()
    }
}
