//! What an order to an instance reads and writes, and what follows when it is committed.
//!
//! An order is planned first, so that many can be committed in one batch, or together with a mark that says that they
//! were given.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use workflow_model::InstanceId;

use super::control::ControlError;
use super::core::{Core, decode};
use super::deliver::Undelivered;
use super::hot::{Control, Verb};
use super::{children, handle, runner};
use crate::keys::{self, Kind};
use crate::record::{
    self, AttemptsRecord, ChildEnd, End, InstanceRecord, MessageRecord, OutcomeRecord, StateRecord,
};
use crate::store::{self, Condition, Write};

/// How often an instance's orders are looked for while the store does not answer.
const LOOKS: u32 = 10;

/// What an instance is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    Cancel(String),
    Terminate(String),
    Pause(String),
    Resume,
    Retry,
}

impl Order {
    /// What becomes of an instance that is ordered so.
    pub(super) fn participle(&self) -> &'static str {
        match self {
            Order::Cancel(_) => "cancelled",
            Order::Terminate(_) => "terminated",
            Order::Pause(_) => "paused",
            Order::Resume => "resumed",
            Order::Retry => "retried",
        }
    }
}

/// What an order writes, under which conditions.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) conditions: Vec<Condition>,
    pub(super) writes: Vec<Write>,
    pub(super) after: After,
}

/// What follows when an order is committed.
#[derive(Debug, Default)]
pub(super) enum After {
    /// The instance looks at its records.
    #[default]
    Wake,
    /// Whoever runs the instance carries the order out.
    Tell(Control),
    /// The instance has ended.
    Ended {
        outcome: OutcomeRecord,
        leaves_children: bool,
        parent: Option<InstanceId>,
    },
}

/// Gives an instance an order; `also` is committed with it.
pub(super) async fn give(
    core: &Arc<Core>,
    id: &InstanceId,
    order: &Order,
    mut also: Plan,
) -> Result<(), ControlError> {
    let mut plan = plan(core, id, order).await?;
    plan.conditions.append(&mut also.conditions);
    plan.writes.append(&mut also.writes);
    commit(core, id, plan).await
}

/// Commits one order.
pub(super) async fn commit(core: &Arc<Core>, id: &InstanceId, plan: Plan) -> Result<(), ControlError> {
    core.deliver(id, plan.conditions, plan.writes)
        .await
        .map_err(|error| match error {
            Undelivered::Store(error) => {
                look(core, id);
                error.into()
            }
            Undelivered::Conflict(_) | Undelivered::Fenced => ControlError::Changed { id: id.clone() },
        })?;
    follow(core, id, plan.after);
    Ok(())
}

/// An instance may have an order that it was not told of, because nobody knows whether its batch was applied.
pub(super) fn look(core: &Arc<Core>, id: &InstanceId) {
    let (core, id) = (core.clone(), id.clone());
    tokio::spawn(async move {
        for look in 0..LOOKS {
            let Some(hot) = core.hot.get(&id) else { break };
            if hot.lease.check().is_err() || runner::read_orders(&core, &hot, &id).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10 << look)).await;
        }
        core.wake(&id);
    });
}

/// Does what follows when an order is committed.
pub(super) fn follow(core: &Arc<Core>, id: &InstanceId, after: After) {
    match after {
        After::Wake => core.wake(id),
        After::Tell(control) => {
            if !core.hot.order(id, control) {
                runner::activate(core, id.clone(), false);
            }
            core.wake_elsewhere(id);
        }
        After::Ended {
            outcome,
            leaves_children,
            parent,
        } => {
            core.announce(id, &outcome);
            if leaves_children {
                core.wake(id);
            }
            if let Some(parent) = parent {
                core.wake(&parent);
            }
        }
    }
}

/// Plans an order.
pub(super) async fn plan(core: &Core, id: &InstanceId, order: &Order) -> Result<Plan, ControlError> {
    let (verb, reason) = match order {
        Order::Cancel(reason) => (Verb::Cancel, reason),
        Order::Terminate(reason) => (Verb::Terminate, reason),
        Order::Pause(reason) => (Verb::Pause, reason),
        Order::Resume => {
            let paused = |end: &End| matches!(end, End::Paused { .. });
            return reopen(core, id, order.participle(), paused).await;
        }
        Order::Retry => {
            let blocked = |end: &End| matches!(end, End::Blocked { .. });
            return reopen(core, id, order.participle(), blocked).await;
        }
    };
    let keys = [Kind::Instance, Kind::Outcome].map(|kind| core.keys.of(kind, id));
    let found = core.store.get(&keys).await?;
    let [Some(instance), outcome] = &found[..] else {
        return Err(ControlError::NotFound { id: id.clone() });
    };
    if let Some(outcome) = outcome {
        let end = decode::<OutcomeRecord>(&keys[1], outcome)?.end;
        if !end.is_open() || verb == Verb::Pause {
            return Err(refuse(core, id, order.participle()).await?);
        }
        let instance = decode(&keys[0], instance)?;
        return end_stopped(core, id, verb, reason, &instance, outcome.clone()).await;
    }
    let message = core.keys.message(id, core.now_ms(), core.next_message());
    let payload = Bytes::from(reason.clone().into_bytes());
    let record = record::encode(&MessageRecord::signal(verb.signal().to_owned(), payload));
    let mut writes = vec![Write::Put(message.clone(), record)];
    core.ready(id, keys::nonce(&message), &mut writes);
    Ok(Plan {
        conditions: vec![
            Condition::Equals(keys[0].clone(), instance.clone()),
            Condition::Absent(keys[1].clone()),
        ],
        writes,
        after: After::Tell(Control {
            verb,
            key: message,
            reason: reason.clone(),
        }),
    })
}

/// Why an order is refused, with the instance's status.
pub(super) async fn refuse(
    core: &Core,
    id: &InstanceId,
    verb: &'static str,
) -> Result<ControlError, store::Error> {
    Ok(match handle::status(core, id).await? {
        None => ControlError::NotFound { id: id.clone() },
        Some(status) => ControlError::NotPossible {
            id: id.clone(),
            status: Box::new(status),
            verb,
        },
    })
}

/// Plans to remove the outcome of an instance that can go on.
pub(super) async fn reopen(
    core: &Core,
    id: &InstanceId,
    verb: &'static str,
    allowed: impl Fn(&End) -> bool,
) -> Result<Plan, ControlError> {
    let key = core.keys.of(Kind::Outcome, id);
    let Some(value) = core.read_one(&key).await? else {
        return Err(refuse(core, id, verb).await?);
    };
    let outcome: OutcomeRecord = decode(&key, &value)?;
    if !allowed(&outcome.end) {
        return Err(refuse(core, id, verb).await?);
    }
    let mut writes = Vec::new();
    let ready = Bytes::copy_from_slice(&core.next_message().to_be_bytes());
    core.ready(id, ready, &mut writes);
    writes.push(Write::Delete(key.clone()));
    if !matches!(outcome.end, End::Paused { .. }) {
        begin_anew(core, id, &mut writes).await?;
    }
    Ok(Plan {
        conditions: vec![Condition::Equals(key, value)],
        writes,
        after: After::Wake,
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
    let given = core.read_all(core.keys.numbered_range(Kind::Given, id)).await?;
    writes.extend(given.into_iter().map(|(key, _)| Write::Delete(key)));
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
        let (step, progress) = (earlier.step, earlier.progress);
        match anew.iter_mut().find(|(other, _)| *other == key) {
            Some((_, main)) => main.progress = progress.filter(|_| step == state.step),
            // The lines of blocks count steps of their own.
            None => {
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

/// Plans to end an instance that is blocked or paused.
async fn end_stopped(
    core: &Core,
    id: &InstanceId,
    verb: Verb,
    reason: &str,
    instance: &InstanceRecord,
    outcome: Bytes,
) -> Result<Plan, ControlError> {
    let reason = reason.to_owned();
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
    let conditions = vec![Condition::Equals(outcome_key.clone(), outcome)];
    let mut writes = vec![Write::Put(outcome_key, record::encode(&ended))];
    let leaves_children = children::any_open(core, id).await?;
    if leaves_children {
        // Whoever runs the instance tells them.
        let ready = Bytes::copy_from_slice(&core.next_message().to_be_bytes());
        core.ready(id, ready, &mut writes);
    } else {
        writes.push(Write::Delete(core.keys.of(Kind::Ready, id)));
    }
    let messages = core.read_all(core.keys.numbered_range(Kind::Message, id)).await?;
    let keys = core.step_records(id).await?.into_iter();
    let keys = keys.chain([core.keys.of(Kind::State, id)]);
    let keys = keys.chain(messages.into_iter().map(|(key, _)| key));
    writes.extend(keys.map(Write::Delete));
    if let Some(parent) = &instance.parent {
        let message = core.keys.message(parent, core.now_ms(), core.next_message());
        let payload = record::encode(&ChildEnd::of(&ended));
        let record = record::encode(&MessageRecord::signal(crate::child::ended(id), payload));
        core.ready_elsewhere(parent, keys::nonce(&message), &mut writes);
        writes.push(Write::Put(message, record));
    }
    Ok(Plan {
        conditions,
        writes,
        after: After::Ended {
            outcome: ended,
            leaves_children,
            parent: instance.parent.clone(),
        },
    })
}
