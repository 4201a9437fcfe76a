//! What an operator tells an instance: cancel, terminate, pause, resume, retry, skip.
//!
//! An order to an instance that can run is a stored message: whoever runs the instance carries it out, so its records
//! have one writer. An instance that is blocked or paused is run by nobody; its outcome record is the lock.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use workflow_model::{BlockedReason, InstanceId, InstanceStatus, codec};

use super::core::{Core, decode};
use super::hot::{Control, Verb};
use super::{WorkflowEngine, children, deliver::Undelivered, handle, runner};
use crate::keys::{self, Kind};
use crate::operation;
use crate::record::{
    self, AttemptsRecord, ChildEnd, End, GivenRecord, InstanceRecord, MessageRecord, OutcomeRecord,
    StateRecord,
};
use crate::store::{self, Condition, Write};

/// Why an order to an instance was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no such instance.
    #[error("there is no instance `{id}`")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The instance is in a state in which the order means nothing.
    #[error("the instance `{id}` is {status}: it cannot be {verb}")]
    NotPossible {
        /// The id.
        id: InstanceId,
        /// Its status.
        status: Box<InstanceStatus>,
        /// What was ordered, as a participle (`paused`).
        verb: &'static str,
    },
    /// Its state changed meanwhile, or another engine has opened the store.
    #[error("the instance `{id}` changed meanwhile; look at it and try again")]
    Changed {
        /// The id.
        id: InstanceId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl<R> WorkflowEngine<R> {
    /// Asks an instance to stop. Its code is told at the await that is pending or comes next: a task whose error type
    /// implements `From<TaskFailure>` gives an `Err` with [`TaskFailure::Cancelled`](crate::TaskFailure::Cancelled), an
    /// operation under [`cancellable`](crate::OperationExt::cancellable) gives `Err(Cancelled)`; the code may then clean
    /// up and await more. An await that cannot tell it ends the instance.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[task]
    /// async fn release(room: String) -> String { format!("{room} released") }
    ///
    /// #[workflow]
    /// async fn booking(room: String) -> String {
    ///     match sleep("30d").cancellable().await {
    ///         Ok(()) => room,
    ///         Err(Cancelled { reason }) => format!("{}: {reason}", release(room).await),
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<booking>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(booking("12".into())).await.unwrap();
    /// engine.cancel(handle.id(), "changed plans").await.unwrap();
    /// assert_eq!(handle.result().await.unwrap(), "12 released: changed plans");
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`ControlError`] says why the order is not accepted.
    pub async fn cancel(&self, id: &InstanceId, reason: impl Into<String>) -> Result<(), ControlError> {
        order(self.core(), id, Verb::Cancel, reason.into(), Also::default()).await
    }

    /// Ends an instance at once: a running task is dropped, no more code of it runs.
    ///
    /// # Errors
    /// [`ControlError`] says why the order is not accepted.
    pub async fn terminate(&self, id: &InstanceId, reason: impl Into<String>) -> Result<(), ControlError> {
        order(self.core(), id, Verb::Terminate, reason.into(), Also::default()).await
    }

    /// Stops an instance until [`resume`](WorkflowEngine::resume). A running task is dropped, and runs again then.
    /// Messages are still taken.
    ///
    /// # Errors
    /// [`ControlError`] says why the order is not accepted.
    pub async fn pause(&self, id: &InstanceId, reason: impl Into<String>) -> Result<(), ControlError> {
        order(self.core(), id, Verb::Pause, reason.into(), Also::default()).await
    }

    /// Lets a paused instance go on.
    ///
    /// # Errors
    /// [`ControlError`] says why it does not.
    pub async fn resume(&self, id: &InstanceId) -> Result<(), ControlError> {
        let paused = |end: &End| matches!(end, End::Paused { .. });
        reopen(self.core(), id, "resumed", paused, Vec::new()).await
    }

    /// Lets a blocked instance go on, after its cause was removed: the pending step is done anew, with all its attempts.
    ///
    /// # Errors
    /// [`ControlError`] says why it does not.
    pub async fn retry(&self, id: &InstanceId) -> Result<(), ControlError> {
        let blocked = |end: &End| matches!(end, End::Blocked { .. });
        reopen(self.core(), id, "retried", blocked, Vec::new()).await
    }

    /// Lets an instance that is blocked by a failed task go on with `output` as the task's output.
    ///
    /// # Errors
    /// [`ControlError`] says why it does not. An output that does not fit the task's type blocks the instance again.
    pub async fn skip(&self, id: &InstanceId, output: &Value) -> Result<(), ControlError> {
        let core = self.core();
        let encoded = codec::from_json(output).map_err(|error| store::Error::Corrupt(error.to_string()))?;
        let state = core.read_one(&core.keys.of(Kind::State, id)).await?;
        let state = state.and_then(|state| StateRecord::read(state).ok());
        let Some(state) = state.filter(|state| operation::is_task(&state.operation)) else {
            return Err(refuse(core, id, "skipped: no task is pending").await?);
        };
        let given = record::encode(&GivenRecord {
            step: state.step,
            output: encoded.into(),
        });
        let write = Write::Put(core.keys.of(Kind::Given, id), given);
        let failed = |end: &End| {
            matches!(
                end,
                End::Blocked {
                    reason: BlockedReason::TaskFailed { .. } | BlockedReason::Poison { .. }
                }
            )
        };
        reopen(core, id, "skipped", failed, vec![write]).await
    }
}

/// Why an order is refused, with the instance's status.
async fn refuse(core: &Core, id: &InstanceId, verb: &'static str) -> Result<ControlError, store::Error> {
    Ok(match handle::status(core, id).await? {
        None => ControlError::NotFound { id: id.clone() },
        Some(status) => ControlError::NotPossible {
            id: id.clone(),
            status: Box::new(status),
            verb,
        },
    })
}

/// Removes the outcome of an instance that can go on, and lets it.
async fn reopen(
    core: &Arc<Core>,
    id: &InstanceId,
    verb: &'static str,
    allowed: impl Fn(&End) -> bool,
    mut writes: Vec<Write>,
) -> Result<(), ControlError> {
    let key = core.keys.of(Kind::Outcome, id);
    let Some(value) = core.read_one(&key).await? else {
        return Err(refuse(core, id, verb).await?);
    };
    let outcome: OutcomeRecord = decode(&key, &value)?;
    if !allowed(&outcome.end) {
        return Err(refuse(core, id, verb).await?);
    }
    let ready = Bytes::copy_from_slice(&core.next_message().to_be_bytes());
    core.ready(id, ready, &mut writes);
    writes.push(Write::Delete(key.clone()));
    if !matches!(outcome.end, End::Paused { .. }) {
        begin_anew(core, id, &mut writes).await?;
    }
    deliver(core, id, vec![Condition::Equals(key, value)], writes).await?;
    core.wake(id);
    Ok(())
}

/// Commits what an order writes.
async fn deliver(
    core: &Core,
    id: &InstanceId,
    conditions: Vec<Condition>,
    writes: Vec<Write>,
) -> Result<(), ControlError> {
    core.deliver(id, conditions, writes)
        .await
        .map_err(|error| match error {
            Undelivered::Store(error) => error.into(),
            Undelivered::Conflict(_) | Undelivered::Fenced => ControlError::Changed { id: id.clone() },
        })
}

/// Writes that forget the failed attempts of the pending step, those of branches too, and let its limits of time count
/// from now on. What its tasks reported of their progress stays.
async fn begin_anew(core: &Core, id: &InstanceId, writes: &mut Vec<Write>) -> Result<(), store::Error> {
    let keys = [Kind::State, Kind::Attempts].map(|kind| core.keys.of(kind, id));
    let mut found = core.store.get(&keys).await?.into_iter();
    let (state, attempts) = (found.next().flatten(), found.next().flatten());
    let Some(state) = state.and_then(|state| StateRecord::read(state).ok()) else {
        writes.push(Write::Delete(keys[1].clone()));
        return Ok(());
    };
    let branches = core
        .read_all(core.keys.numbered_range(Kind::Attempts, id))
        .await?;
    let main = AttemptsRecord {
        step: state.step,
        retried_ms: Some(core.now_ms()),
        ..AttemptsRecord::default()
    };
    let mut anew = vec![(keys[1].clone(), main)];
    for (key, value) in attempts
        .map(|value| (keys[1].clone(), value))
        .into_iter()
        .chain(branches)
    {
        let earlier: AttemptsRecord = decode(&key, &value)?;
        if earlier.timer {
            writes.push(Write::Delete(core.keys.timer(id, earlier.due_ms)));
        }
        let progress = earlier.progress.filter(|_| earlier.step == state.step);
        match anew.iter_mut().find(|(other, _)| *other == key) {
            Some((_, main)) => main.progress = progress,
            None => {
                let step = state.step;
                anew.push((
                    key,
                    AttemptsRecord {
                        step,
                        progress,
                        ..AttemptsRecord::default()
                    },
                ));
            }
        }
    }
    let put = |(key, attempts): (Bytes, AttemptsRecord)| Write::Put(key, record::encode(&attempts));
    writes.extend(anew.into_iter().map(put));
    Ok(())
}

/// What is written together with an order.
#[derive(Debug, Clone, Default)]
pub(super) struct Also {
    pub(super) conditions: Vec<Condition>,
    pub(super) writes: Vec<Write>,
}

/// Gives an instance an order.
pub(super) async fn order(
    core: &Arc<Core>,
    id: &InstanceId,
    verb: Verb,
    reason: String,
    also: Also,
) -> Result<(), ControlError> {
    let word = match verb {
        Verb::Cancel => "cancelled",
        Verb::Pause => "paused",
        Verb::Terminate => "terminated",
    };
    let keys = [Kind::Instance, Kind::Outcome].map(|kind| core.keys.of(kind, id));
    let found = core.store.get(&keys).await?;
    let [Some(instance), outcome] = &found[..] else {
        return Err(ControlError::NotFound { id: id.clone() });
    };
    if let Some(outcome) = outcome {
        let end = decode::<OutcomeRecord>(&keys[1], outcome)?.end;
        if !end.is_open() || verb == Verb::Pause {
            return Err(refuse(core, id, word).await?);
        }
        let instance = decode(&keys[0], instance)?;
        return end_stopped(core, id, (verb, reason), &instance, outcome.clone(), also).await;
    }
    let message = core.keys.message(id, core.now_ms(), core.next_message());
    let payload = Bytes::from(reason.clone().into_bytes());
    let record = record::encode(&MessageRecord {
        signal: verb.signal().to_owned(),
        payload,
    });
    let mut conditions = vec![
        Condition::Equals(keys[0].clone(), instance.clone()),
        Condition::Absent(keys[1].clone()),
    ];
    conditions.extend(also.conditions);
    let mut writes = vec![Write::Put(message.clone(), record)];
    writes.extend(also.writes);
    core.ready(id, keys::nonce(&message), &mut writes);
    deliver(core, id, conditions, writes).await?;
    let control = Control {
        verb,
        key: message,
        reason,
    };
    if !core.hot.order(id, control) {
        runner::activate(core, id.clone(), false);
    }
    Ok(())
}

/// Ends an instance that is blocked or paused.
async fn end_stopped(
    core: &Arc<Core>,
    id: &InstanceId,
    (verb, reason): (Verb, String),
    instance: &InstanceRecord,
    outcome: Bytes,
    also: Also,
) -> Result<(), ControlError> {
    let outcome_key = core.keys.of(Kind::Outcome, id);
    let state = core
        .read_one(&core.keys.of(Kind::State, id))
        .await?
        .and_then(|state| StateRecord::read(state).ok());
    let steps = state.as_ref().map_or(0, |state| state.step);
    let end = match verb {
        Verb::Terminate => End::Terminated { reason },
        _ => End::Cancelled { reason },
    };
    let ended = OutcomeRecord {
        end,
        time_ms: core.now_ms(),
        steps,
        output: Bytes::new(),
    };
    let mut conditions = vec![Condition::Equals(outcome_key.clone(), outcome)];
    conditions.extend(also.conditions);
    let mut writes = vec![Write::Put(outcome_key, record::encode(&ended))];
    writes.extend(also.writes);
    for kind in [Kind::State, Kind::Attempts, Kind::Given] {
        writes.push(Write::Delete(core.keys.of(kind, id)));
    }
    let leaves_children = children::any_open(core, id).await?;
    if leaves_children {
        // Whoever runs the instance tells them.
        let ready = Bytes::copy_from_slice(&core.next_message().to_be_bytes());
        core.ready(id, ready, &mut writes);
    } else {
        writes.push(Write::Delete(core.keys.of(Kind::Ready, id)));
    }
    for kind in [Kind::Side, Kind::Branch, Kind::Attempts, Kind::Message] {
        let records = core.read_all(core.keys.numbered_range(kind, id)).await?;
        writes.extend(records.into_iter().map(|(key, _)| Write::Delete(key)));
    }
    let timers = state
        .map(|state| crate::join::timers_of(&state.operation))
        .unwrap_or_default();
    writes.extend(
        timers
            .into_iter()
            .map(|due_ms| Write::Delete(core.keys.timer(id, due_ms))),
    );
    if let Some(parent) = &instance.parent {
        let message = core.keys.message(parent, core.now_ms(), core.next_message());
        let payload = record::encode(&ChildEnd::of(&ended));
        let record = record::encode(&MessageRecord {
            signal: crate::child::ended(id),
            payload,
        });
        core.ready(parent, keys::nonce(&message), &mut writes);
        writes.push(Write::Put(message, record));
    }
    deliver(core, id, conditions, writes).await?;
    core.announce(id, &ended);
    if leaves_children {
        core.wake(id);
    }
    if let Some(parent) = &instance.parent {
        core.wake(parent);
    }
    Ok(())
}
