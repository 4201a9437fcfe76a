//! What the lines below the main one may have in the store.
//!
//! A branch whose line is dropped, because another one has decided a select, cannot remove what it has stored. The
//! ledger knows it: a key is entered before the batch that puts it, and struck out behind the batch that deletes it, so
//! that a batch whose line was dropped in the middle of it counts too.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Run, Scope};
use crate::keys::Kind;
use crate::record::{self, StateRecord};
use crate::store::{Batch, Write};

/// The keys that lines may have in the store, by line.
#[derive(Debug, Default)]
pub(crate) struct Ledger(BTreeMap<Scope, BTreeSet<Bytes>>);

/// The scopes within `scope`, itself included or not.
pub(super) fn within<V>(map: &BTreeMap<Scope, V>, scope: &Scope, itself: bool) -> Vec<Scope> {
    map.range(scope.clone()..)
        .map(|(other, _)| other)
        .take_while(|other| other.is_within(scope))
        .filter(|other| itself || *other != scope)
        .cloned()
        .collect()
}

impl Ledger {
    pub(crate) fn enter(&mut self, scope: &Scope, key: Bytes) {
        self.0.entry(scope.clone()).or_default().insert(key);
    }

    /// A key is stored by the line that deletes it, or by one that it is a branch of.
    fn strike(&mut self, scope: &Scope, key: &Bytes) {
        let mut scope = scope.clone();
        loop {
            if let Some(keys) = self.0.get_mut(&scope)
                && keys.remove(key)
            {
                if keys.is_empty() {
                    self.0.remove(&scope);
                }
                return;
            }
            if scope.is_main() {
                return;
            }
            scope = scope.above();
        }
    }

    /// Takes out what the lines below `scope` may have.
    fn take_below(&mut self, scope: &Scope) -> Vec<Bytes> {
        let below = within(&self.0, scope, false);
        below
            .iter()
            .filter_map(|scope| self.0.remove(scope))
            .flatten()
            .collect()
    }

    /// Everything that lines may have.
    pub(super) fn keys(&self) -> Vec<Bytes> {
        self.0.values().flatten().cloned().collect()
    }
}

impl Run {
    /// Enters what a batch of this line puts.
    pub(crate) fn enter(&self, batch: &Batch) {
        if self.scope.is_main() {
            return;
        }
        let mut shared = self.shared.lock();
        for write in &batch.writes {
            if let Write::Put(key, _) = write
                && matches!(
                    self.core.keys.kind_of(key),
                    Some(Kind::Position | Kind::Side | Kind::Timer | Kind::Branch | Kind::Attempts)
                )
            {
                shared.ledger.enter(&self.scope, key.clone());
            }
        }
    }

    /// Strikes out what a batch of this line has deleted.
    pub(super) fn strike(&self, deleted: &[Bytes]) {
        let mut shared = self.shared.lock();
        for key in deleted {
            shared.ledger.strike(&self.scope, key);
        }
    }

    /// The branches are behind this line: its next batch removes what they left.
    pub(crate) fn forget_below(&mut self) {
        let mut shared = self.shared.lock();
        let shared = &mut *shared;
        for scope in within(&shared.done, &self.scope, false) {
            shared.done.remove(&scope);
        }
        for scope in within(&shared.attempts, &self.scope, false) {
            shared.attempts.remove(&scope);
        }
        for scope in within(&shared.given, &self.scope, false) {
            shared.given.remove(&scope);
        }
        for scope in within(&shared.positions, &self.scope, false) {
            shared.positions.remove(&scope);
        }
        let left = shared.ledger.take_below(&self.scope);
        self.obsolete.extend(left);
    }

    /// The large values that a position refers to.
    pub(crate) fn take_sides(&self, state: &StateRecord) -> Vec<(u32, Bytes)> {
        let mut shared = self.shared.lock();
        state
            .sides()
            .filter_map(|number| Some((number, shared.sides.remove(&number)?)))
            .collect()
    }

    /// A line below the main one goes on: the deaths of the process at the main line's step are forgotten.
    pub(crate) fn note_progress(&self, batch: &mut Batch) {
        if self.scope.is_main() {
            return;
        }
        let mut shared = self.shared.lock();
        let main = Scope::default();
        let Some(attempts) = shared
            .attempts
            .get_mut(&main)
            .filter(|attempts| attempts.crashes > 0)
        else {
            return;
        };
        let key = self.core.keys.of(Kind::Attempts, &self.id);
        attempts.crashes = 0;
        // That an operator let the step begin anew stays true.
        batch.writes.push(if attempts.retried_ms.is_some() {
            Write::Put(key, record::encode(&*attempts))
        } else {
            shared.attempts.remove(&main);
            Write::Delete(key)
        });
    }
}
