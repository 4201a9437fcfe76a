//! Everything that is known of one instance, readable: what an operator looks at when it is stuck.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value as Json;
use workflow_model::{InstanceId, InstanceStatus, codec};

use super::branches::{BranchDetails, branches};
use super::core::{Core, decode};
use super::{WorkflowEngine, children, handle};
use crate::child::ParentClosePolicy;
use crate::keys::{Keys, Kind};
use crate::operation;
use crate::receive;
use crate::record::{
    AttemptsRecord, CLOSING, ChildRecord, InstanceRecord, OutcomeRecord, StateRecord, Value,
};
use crate::store::Error;

/// One instance, with its values as JSON.
///
/// Values that an operator cannot be shown, because their bytes are damaged, are `{"unreadable": "why"}`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InstanceDetails {
    /// The instance.
    pub id: InstanceId,
    /// The name of its workflow.
    pub workflow: String,
    /// Where it stands.
    pub status: InstanceStatus,
    /// When it was started, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When it ended, was blocked or was paused.
    pub stopped_ms: Option<u64>,
    /// The instance that started it.
    pub parent: Option<InstanceId>,
    /// Its children, by id: the first 100. [`ListFilter::parent`](crate::ListFilter::parent) lists all of them, with
    /// their status.
    pub children: Vec<ChildLink>,
    /// The children that it waits for, when its code has returned and they have not ended: the first 100. See
    /// [`ParentClosePolicy::Wait`].
    pub waits_for: Vec<InstanceId>,
    /// Its arguments.
    pub input: Json,
    /// What it returned, also while it waits for children.
    pub output: Option<Json>,
    /// The durable points that it has reached.
    pub steps: u64,
    /// The point at which it is.
    pub point: Option<String>,
    /// What it awaits there, in words.
    pub awaits: Option<String>,
    /// The variables that the rest of the code needs, by name.
    pub variables: BTreeMap<String, Json>,
    /// What it has published, by name; see [`publish!`](crate::publish).
    pub published: BTreeMap<String, Json>,
    /// The failed attempts of the pending task, and its progress.
    pub attempts: Option<FailedAttempts>,
    /// The branches of what it awaits there, each with its own position and variables.
    pub branches: Vec<BranchDetails>,
    /// The names of the messages that it has not received yet, oldest first.
    pub messages: Vec<String>,
}

/// A child of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildLink {
    /// The child.
    pub id: InstanceId,
    /// The name of its workflow.
    pub workflow: String,
    /// What happens to it when its parent ends.
    pub policy: ParentClosePolicy,
}

/// How many children are shown.
const CHILDREN: usize = 100;

/// The failed attempts of a pending task.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FailedAttempts {
    /// How many have failed.
    pub failed: u32,
    /// The error of the last one.
    pub error: String,
    /// When the next one may begin, in milliseconds since the Unix epoch.
    pub next_ms: u64,
    /// How often the process died while the task was pending.
    pub crashes: u32,
    /// What the task reported last with [`TaskContext::heartbeat`](crate::TaskContext::heartbeat).
    pub progress: Option<Json>,
}

impl FailedAttempts {
    pub(super) fn of(record: &AttemptsRecord) -> Self {
        FailedAttempts {
            failed: record.failed,
            error: record.error.clone(),
            next_ms: record.due_ms,
            crashes: record.crashes,
            progress: record.progress.as_deref().map(json),
        }
    }
}

impl<R> WorkflowEngine<R> {
    /// Everything that is known of an instance; `None` when there is none. It is read from the store and does not wake
    /// the instance.
    ///
    /// ```
    /// use serde_json::json;
    /// use workflow_runtime::prelude::*;
    ///
    /// #[workflow]
    /// async fn order(item: String) -> u32 {
    ///     let mut reminders = 0;
    ///     loop {
    ///         sleep("30d").await;
    ///         reminders += 1;
    ///         if reminders > 3 { return item.len() as u32 }
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<order>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(order("lamp".into())).await.unwrap();
    /// let details = engine.describe(handle.id()).await.unwrap().unwrap();
    /// assert_eq!(details.point.as_deref(), Some("sleep"));
    /// assert_eq!(details.variables["item"], json!("lamp"));
    /// assert_eq!(details.variables["reminders"], json!(0));
    /// # });
    /// ```
    ///
    /// # Errors
    /// When the store fails, or the instance's own record is damaged.
    pub async fn describe(&self, id: &InstanceId) -> Result<Option<InstanceDetails>, Error> {
        describe(self.core(), id).await
    }
}

async fn describe(core: &Core, id: &InstanceId) -> Result<Option<InstanceDetails>, Error> {
    let kinds = [Kind::Instance, Kind::Outcome, Kind::State, Kind::Attempts];
    let keys = kinds.map(|kind| core.keys.of(kind, id));
    let found = core.store.get(&keys).await?;
    let [Some(instance), outcome, state, attempts] = &found[..] else {
        return Ok(None);
    };
    let instance: InstanceRecord = decode(&keys[0], instance)?;
    let outcome = outcome
        .as_ref()
        .map(|value| decode::<OutcomeRecord>(&keys[1], value))
        .transpose()?;
    let attempts = attempts
        .as_ref()
        .map(|value| decode::<AttemptsRecord>(&keys[3], value))
        .transpose()?;
    let status = match &outcome {
        Some(outcome) => handle::ended(outcome.end.clone()),
        None => handle::open(core, &instance, state.clone()),
    };
    let state = state.clone().and_then(|state| StateRecord::read(state).ok());
    let steps = outcome
        .as_ref()
        .map(|outcome| outcome.steps)
        .or(state.as_ref().map(|state| state.step))
        .unwrap_or(0);
    let sides = core.read_all(core.keys.numbered_range(Kind::Side, id)).await?;
    let variables = state
        .as_ref()
        .map(|state| variables(state, &sides))
        .unwrap_or_default();
    let attempts =
        attempts.filter(|attempts| state.as_ref().is_some_and(|state| state.step == attempts.step));
    let messages = core.read_messages(id).await?;
    let published = super::query::published(core, id).await?;
    let links = core
        .store
        .scan(core.keys.numbered_range(Kind::Child, id), CHILDREN)
        .await?;
    let mut children = Vec::with_capacity(links.len());
    for (key, value) in links {
        let link: ChildRecord = decode(&key, &value)?;
        children.extend(core.keys.child_of(id, &key).map(|id| ChildLink {
            id,
            workflow: link.workflow,
            policy: link.policy,
        }));
    }
    let closing = state.as_ref().filter(|state| state.point == CLOSING);
    let closing = closing.and_then(|state| operation::read_end(&state.operation).ok());
    let waits_for = match &closing {
        Some(_) => children::awaited(core, id, CHILDREN).await?,
        None => Vec::new(),
    };
    let branches = match &state {
        Some(state) => branches(core, id, state, &sides).await?,
        None => Vec::new(),
    };
    Ok(Some(InstanceDetails {
        id: id.clone(),
        workflow: instance.workflow,
        status,
        created_ms: instance.created_ms,
        stopped_ms: outcome.as_ref().map(|outcome| outcome.time_ms),
        parent: instance.parent,
        children,
        waits_for,
        input: json(&instance.input),
        output: closing
            .or(outcome)
            .filter(|outcome| !outcome.output.is_empty())
            .map(|outcome| json(&outcome.output)),
        steps,
        awaits: state
            .as_ref()
            .map(|state| operation::describe_encoded(&state.operation)),
        point: state.map(|state| state.point),
        variables,
        published: published
            .into_iter()
            .map(|(name, value)| (name, json(&value)))
            .collect(),
        attempts: attempts.as_ref().map(FailedAttempts::of),
        branches,
        messages: messages
            .into_iter()
            .map(|message| receive::shown(&message.signal).to_owned())
            .collect(),
    }))
}

pub(super) fn variables(state: &StateRecord, sides: &[(Bytes, Bytes)]) -> BTreeMap<String, Json> {
    let side = |number: u32| sides.iter().find(|(key, _)| Keys::side_of(key) == Some(number));
    let mut variables = BTreeMap::new();
    for (name, value) in &state.variables {
        let value = match value {
            Value::Inline(bytes) => json(bytes),
            Value::Side(number) => match side(*number) {
                Some((_, bytes)) => json(bytes),
                None => unreadable("its record is missing"),
            },
        };
        variables.insert(name.clone(), value);
    }
    variables
}

pub(super) fn json(bytes: &[u8]) -> Json {
    codec::to_json(bytes).unwrap_or_else(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Json {
    serde_json::json!({ "unreadable": error.to_string() })
}
