//! What is known of the branches of a pending step, readable.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value as Json;
use workflow_model::{InstanceId, codec};

use super::core::Core;
use super::describe::{FailedAttempts, json, variables};
use crate::block::captures_of;
use crate::join::branches_of;
use crate::keys::Kind;
use crate::operation;
use crate::record::{AttemptsRecord, Position, StateRecord};
use crate::run::Scope;
use crate::store::Error;

/// One branch of what an instance awaits: an operation of a `join!`, `select!` or the like, or an `async` block.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BranchDetails {
    /// The number of the branch, counted from 0, in each join or select around it, outermost first. Empty for a block that
    /// the workflow awaits by itself; a block that is awaited within a branch has the path of that branch.
    pub path: Vec<u32>,
    /// What it awaits, in words. Operations of a `join_all` with a limit may not have begun.
    pub awaits: String,
    /// What it gave, when it has ended.
    pub output: Option<Json>,
    /// The durable points that a block has reached.
    pub steps: u64,
    /// The point at which a block is.
    pub point: Option<String>,
    /// The variables that the rest of a block needs, by name: at its beginning those that it mentions.
    pub variables: BTreeMap<String, Json>,
    /// The failed attempts of the pending task.
    pub attempts: Option<FailedAttempts>,
}

/// A branch, and the line in which its pending task runs.
struct Found {
    details: BranchDetails,
    task: Option<Scope>,
}

/// What branches have in the store.
struct Stored<'a> {
    done: BTreeMap<Scope, Bytes>,
    attempts: BTreeMap<Scope, AttemptsRecord>,
    positions: BTreeMap<Scope, Position>,
    sides: &'a [(Bytes, Bytes)],
}

/// The branches of the pending step, outermost first.
pub(super) async fn branches(
    core: &Core,
    id: &InstanceId,
    state: &StateRecord,
    sides: &[(Bytes, Bytes)],
) -> Result<Vec<BranchDetails>, Error> {
    let found = find(core, id, state, sides).await?;
    Ok(found.into_iter().map(|found| found.details).collect())
}

/// The line in which the pending task of the branch with this path runs; `None` if no task is pending there.
pub(super) async fn line_of_task(
    core: &Core,
    id: &InstanceId,
    state: &StateRecord,
    path: &[u32],
) -> Result<Option<Scope>, Error> {
    let found = find(core, id, state, &[]).await?;
    let tasks = found.into_iter().filter(|found| found.details.path == path);
    Ok(tasks.filter_map(|found| found.task).next_back())
}

async fn find(
    core: &Core,
    id: &InstanceId,
    state: &StateRecord,
    sides: &[(Bytes, Bytes)],
) -> Result<Vec<Found>, Error> {
    if !operation::has_branches(&state.operation) {
        return Ok(Vec::new());
    }
    let read = async |kind| {
        let records = core.read_all(core.keys.numbered_range(kind, id)).await?;
        let scoped = |(key, value): (Bytes, Bytes)| {
            Some((core.keys.scope_of(id, &key).and_then(Scope::parse)?, value))
        };
        Ok::<_, Error>(records.into_iter().filter_map(scoped).collect::<Vec<_>>())
    };
    let attempts = read(Kind::Attempts).await?.into_iter();
    let positions = read(Kind::Position).await?.into_iter();
    let stored = Stored {
        done: read(Kind::Branch).await?.into_iter().collect(),
        attempts: attempts
            .filter_map(|(scope, value)| Some((scope, codec::decode(&value).ok()?)))
            .collect(),
        positions: positions
            .filter_map(|(scope, value)| Some((scope, Position::read(value).ok()?)))
            .collect(),
        sides,
    };
    let mut found = Vec::new();
    let main = Place {
        scope: Scope::default(),
        path: Vec::new(),
        above: vec![state.step],
    };
    stored.of_operation(&state.operation, &main, &mut found);
    Ok(found)
}

/// The place of an operation.
struct Place {
    scope: Scope,
    path: Vec<u32>,
    /// The steps of the lines around it, its own last.
    above: Vec<u64>,
}

impl Stored<'_> {
    fn of_operation(&self, encoded: &Bytes, place: &Place, found: &mut Vec<Found>) {
        if operation::is_block(encoded) {
            return self.of_block(encoded, place, found);
        }
        let (parts, _) = branches_of(encoded);
        for (index, part) in (0u32..).zip(&parts) {
            let inner = Place {
                scope: place.scope.branch(index),
                path: place.path.iter().copied().chain([index]).collect(),
                above: place.above.clone(),
            };
            let output = self.done.get(&inner.scope).map(|output| json(output));
            if output.is_some() || !operation::is_block(part) {
                let ended = output.is_some();
                let is_pending = !ended && operation::is_task(part);
                let details = BranchDetails {
                    path: inner.path.clone(),
                    awaits: operation::describe_encoded(part),
                    output,
                    steps: 0,
                    point: None,
                    variables: BTreeMap::new(),
                    attempts: self.attempts(&inner.scope),
                };
                found.push(Found {
                    details,
                    task: is_pending.then(|| inner.scope.clone()),
                });
                if ended {
                    continue;
                }
            }
            self.of_operation(part, &inner, found);
        }
    }

    fn of_block(&self, encoded: &Bytes, place: &Place, found: &mut Vec<Found>) {
        let scope = place.scope.branch(0);
        let position = self.positions.get(&scope);
        let position = position.filter(|position| position.above == place.above);
        let operation = position.map_or(encoded, |position| &position.state.operation);
        let captures = || captures_of(encoded).into_iter();
        let is_pending = position.is_some() && operation::is_task(operation);
        let details = BranchDetails {
            path: place.path.clone(),
            awaits: operation::describe_encoded(operation),
            output: None,
            steps: position.map_or(0, |position| position.state.step),
            point: position.map(|position| position.state.point.clone()),
            variables: match position {
                Some(position) => variables(&position.state, self.sides),
                None => captures().map(|(name, value)| (name, json(&value))).collect(),
            },
            attempts: self.attempts(&scope),
        };
        found.push(Found {
            details,
            task: is_pending.then(|| scope.clone()),
        });
        if let Some(position) = position {
            let inner = Place {
                scope,
                path: place.path.clone(),
                above: place.above.iter().copied().chain([position.state.step]).collect(),
            };
            self.of_operation(&position.state.operation, &inner, found);
        }
    }

    fn attempts(&self, scope: &Scope) -> Option<FailedAttempts> {
        self.attempts.get(scope).map(FailedAttempts::of)
    }
}
