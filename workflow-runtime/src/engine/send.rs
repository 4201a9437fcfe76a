//! Sending messages to instances: signals, which are stored, and updates, whose reply is waited for.
//!
//! A message is stored under the condition that the instance exists and has not ended, together with the record that
//! makes a repetition of the same request change nothing.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use workflow_model::{BlockedReason, InstanceId, InvalidId, codec};

use super::WorkflowEngine;
use super::core::{Core, decode};
use super::deliver::Undelivered;
use super::early::{self, MOST_EARLY, NO_RUN};
use super::handle::ended;
use super::query::Values;
use super::registry::MessageEntry;
use crate::keys::{self, Kind};
use crate::receive::stored_update;
use crate::record::{self, End, InstanceHead, MessageRecord, OutcomeRecord, Reply, UpdateRecord};
use crate::store::{self, Condition, Write};
use crate::{Durable, IntoDuration};
use crate::{Signal, Update};

/// How often a message whose instance changes at the same moment is sent again.
const TRIES: usize = 16;

/// The time between two looks for a reply that another node may give.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Why a message was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// There is no such instance.
    #[error("there is no instance `{id}`; start it before signalling it")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The instance has ended.
    #[error("the instance `{id}` has ended; it receives nothing any more")]
    Closed {
        /// The id.
        id: InstanceId,
    },
    /// The handle is of another workflow than the instance.
    #[error("the instance `{id}` is a `{found}`, not a `{wanted}`")]
    OtherWorkflow {
        /// The id.
        id: InstanceId,
        /// The instance's workflow.
        found: String,
        /// The workflow of the handle.
        wanted: &'static str,
    },
    /// This program does not have the instance's workflow, so it cannot tell what it receives.
    #[error(
        "the instance `{id}` is a `{workflow}`, which this program does not have; send from one that has it"
    )]
    UnknownWorkflow {
        /// The id.
        id: InstanceId,
        /// The instance's workflow.
        workflow: String,
    },
    /// The workflow never receives a message of this name.
    #[error(
        "the workflow `{workflow}` never receives `{name}`; it receives {}",
        listed(receives)
    )]
    NotReceived {
        /// The workflow.
        workflow: String,
        /// The name of the message.
        name: String,
        /// The names that it receives.
        receives: Vec<String>,
    },
    /// The message is not one of the type that the workflow receives.
    #[error("this is no `{name}`: {error}")]
    Payload {
        /// The name of the message.
        name: String,
        /// Why.
        error: String,
    },
    /// So many signals are kept for the id that no more are taken before it is started.
    #[error(
        "{MOST_EARLY} signals are kept already for `{id}`, which no instance has; start it, or discard them"
    )]
    TooManyEarly {
        /// The id.
        id: InstanceId,
    },
    /// The time for which a message is to be kept is no duration.
    #[error("the message was not sent: {0}")]
    Duration(String),
    /// The request's name breaks a rule.
    #[error("the request id is refused: {0}")]
    RequestId(InvalidId),
    /// The message cannot be stored.
    #[error("the message cannot be stored: {0}")]
    Unencodable(String),
    /// Another engine has opened the store.
    #[error("another engine has taken the store over; this one can write no more")]
    Fenced,
    /// The store failed; unless it says that the outcome is unknown, the message is not stored.
    #[error(transparent)]
    Store(#[from] store::Error),
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Why an update has no reply.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// It was not accepted.
    #[error(transparent)]
    NotSent(#[from] SignalError),
    /// Its check, or the workflow, refused it.
    #[error("the update was rejected: {reason}")]
    Rejected {
        /// Why.
        reason: String,
    },
    /// The instance ended without an answer.
    #[error("the instance `{id}` has {how} without an answer to the update")]
    Ended {
        /// The instance.
        id: InstanceId,
        /// How it ended.
        how: String,
    },
    /// The instance cannot go on. The update is kept: once the instance is repaired, the same request can be waited for
    /// again.
    #[error("the instance `{id}` is blocked, and answers the update when it is repaired: {reason}")]
    Blocked {
        /// The instance.
        id: InstanceId,
        /// What stands in the way.
        reason: BlockedReason,
    },
    /// The request's id was given to an update of another type before.
    #[error("the request id `{request}` belongs to an update `{found}`; give each request an id of its own")]
    OtherUpdate {
        /// The request's id.
        request: String,
        /// The earlier update's name.
        found: String,
    },
    /// The stored reply is not one of the expected type.
    #[error("the reply cannot be read: {0}")]
    Reply(String),
    /// The engine has ended; ask the next one with the same request id.
    #[error(
        "the engine has ended before the reply; ask again with the same request id when an engine has opened the store"
    )]
    EngineEnded,
}

impl From<store::Error> for UpdateError {
    fn from(error: store::Error) -> Self {
        UpdateError::NotSent(SignalError::Store(error))
    }
}

/// A message on its way, without its type.
struct Outgoing {
    core: Arc<Core>,
    id: InstanceId,
    /// The message's own name.
    name: String,
    content: Content,
    request_id: Option<String>,
    /// For how long the message is kept when there is no such instance yet.
    keep: Option<Result<Duration, String>>,
}

enum Content {
    /// A value of a type that the workflow is known to receive.
    Typed {
        workflow: &'static str,
        payload: Result<Bytes, String>,
    },
    /// A value that is checked against what the instance's workflow receives.
    Json(Json),
}

/// Where a message goes, once it was checked.
struct Target {
    head: InstanceHead,
    instance: Bytes,
    payload: Bytes,
    entry: Option<MessageEntry>,
}

impl Outgoing {
    fn named_request(&self) -> Result<Option<InstanceId>, SignalError> {
        self.request_id
            .clone()
            .map(InstanceId::new)
            .transpose()
            .map_err(SignalError::RequestId)
    }

    /// Finds the instance and checks that it receives the message.
    async fn target(&self, update: bool) -> Result<Target, SignalError> {
        let (core, id) = (&self.core, &self.id);
        let key = core.keys.of(Kind::Instance, id);
        let not_found = || SignalError::NotFound { id: id.clone() };
        let instance = core.read_one(&key).await?.ok_or_else(not_found)?;
        let head: InstanceHead = decode(&key, &instance)?;
        let inbox = core.inboxes.get(head.workflow.as_str());
        let entry = inbox
            .into_iter()
            .flatten()
            .find(|entry| (entry.name, entry.update) == (&*self.name, update));
        let payload = match &self.content {
            Content::Typed { workflow, .. } if *workflow != head.workflow => {
                return Err(SignalError::OtherWorkflow {
                    id: id.clone(),
                    found: head.workflow,
                    wanted: workflow,
                });
            }
            Content::Typed { payload, .. } => payload.clone().map_err(SignalError::Unencodable)?,
            Content::Json(json) => {
                let Some(inbox) = inbox else {
                    return Err(SignalError::UnknownWorkflow {
                        id: id.clone(),
                        workflow: head.workflow,
                    });
                };
                let Some(entry) = entry else {
                    let mut receives: Vec<_> = inbox
                        .iter()
                        .filter(|entry| entry.update == update)
                        .map(|entry| entry.name.to_owned())
                        .collect();
                    receives.sort_unstable();
                    return Err(SignalError::NotReceived {
                        workflow: head.workflow,
                        name: self.name.clone(),
                        receives,
                    });
                };
                let encoded = (entry.encode_json)(json).map_err(|error| SignalError::Payload {
                    name: self.name.clone(),
                    error,
                })?;
                encoded.into()
            }
        };
        Ok(Target {
            head,
            instance,
            payload,
            entry: entry.copied(),
        })
    }

    /// Stores the message with `guard`, a record that says that its request was accepted; false when it is there already.
    async fn store(
        &self,
        target: &Target,
        record: &MessageRecord,
        guard: Option<(Bytes, Bytes)>,
    ) -> Result<bool, SignalError> {
        let (core, id) = (&self.core, &self.id);
        let keys = [Kind::Instance, Kind::Outcome].map(|kind| core.keys.of(kind, id));
        let closed = || SignalError::Closed { id: id.clone() };
        for _ in 0..TRIES {
            let mut wanted = keys.to_vec();
            wanted.extend(guard.iter().map(|(key, _)| key.clone()));
            wanted.extend(self.early_request());
            let found = core.store.get(&wanted).await?;
            if found.iter().skip(2).any(Option::is_some) {
                return Ok(false);
            }
            let [Some(instance), outcome, ..] = &found[..] else {
                return Err(SignalError::NotFound { id: id.clone() });
            };
            if *instance != target.instance {
                // Another run has the id now.
                return Err(closed());
            }
            let mut conditions = vec![Condition::Equals(keys[0].clone(), instance.clone())];
            // A blocked instance still takes messages; whoever repairs it finds them.
            conditions.push(match outcome {
                None => Condition::Absent(keys[1].clone()),
                Some(value) if decode::<OutcomeRecord>(&keys[1], value)?.end.is_open() => {
                    Condition::Equals(keys[1].clone(), value.clone())
                }
                Some(_) => return Err(closed()),
            });
            let message = core.keys.message(id, core.now_ms(), core.next_message());
            let mut writes = vec![Write::Put(message.clone(), record::encode(record))];
            // The value tells a waiting instance's next batch that a message came.
            core.ready(id, keys::nonce(&message), &mut writes);
            if let Some((key, value)) = &guard {
                conditions.push(Condition::Absent(key.clone()));
                writes.push(Write::Put(key.clone(), value.clone()));
            }
            match core.deliver(id, conditions, writes).await {
                Ok(()) => {
                    core.wake(id);
                    return Ok(true);
                }
                Err(Undelivered::Fenced) => return Err(SignalError::Fenced),
                Err(Undelivered::Store(error)) => return Err(error.into()),
                // The instance ended or was repaired, or the same request came, at the same moment: look again.
                Err(Undelivered::Conflict(_)) => {}
            }
        }
        Err(store::Error::Unavailable(format!("the instance `{id}` changed {TRIES} times meanwhile")).into())
    }

    /// The record that says that the request was accepted before the instance was started.
    fn early_request(&self) -> Option<Bytes> {
        let request = self.request_id.as_ref()?;
        Some(self.core.keys.request(&self.id, NO_RUN, request))
    }

    /// Keeps the message for an instance that is started later; false when there is an instance now.
    async fn keep(&self, limit: Duration, workflow: &str, payload: &Bytes) -> Result<bool, SignalError> {
        let (core, id) = (&self.core, &self.id);
        let keys = [Kind::Instance, Kind::Early].map(|kind| core.keys.of(kind, id));
        for _ in 0..TRIES {
            let mut wanted = keys.to_vec();
            let request = self.early_request();
            wanted.extend(request.clone());
            let found = core.store.get(&wanted).await?;
            if found.first().is_some_and(Option::is_some) {
                return Ok(false);
            }
            if found.get(2).is_some_and(Option::is_some) {
                return Ok(true);
            }
            let now_ms = core.now_ms();
            let expires_ms = now_ms.saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
            let before = found.get(1).and_then(Option::as_ref);
            let Some((condition, early)) = early::add(core, id, workflow, before, expires_ms)? else {
                return Err(SignalError::TooManyEarly { id: id.clone() });
            };
            let mut conditions = vec![Condition::Absent(keys[0].clone()), condition];
            let message = core.keys.message(id, now_ms, core.next_message());
            let record = MessageRecord::signal(self.name.clone(), payload.clone());
            let mut writes = vec![Write::Put(message.clone(), record::encode(&record))];
            writes.extend(early);
            let elsewhere = core.leases.of(id).is_none();
            if elsewhere {
                // The node that has the shard learns of the timer.
                core.ready(id, keys::nonce(&message), &mut writes);
            }
            if let Some(request) = request {
                conditions.push(Condition::Absent(request.clone()));
                writes.push(Write::Put(request, Bytes::new()));
            }
            match core.deliver(id, conditions, writes).await {
                Ok(()) => {
                    core.timers.add(core.keys.shard(id), expires_ms);
                    if elsewhere {
                        core.wake(id);
                    }
                    return Ok(true);
                }
                Err(Undelivered::Fenced) => return Err(SignalError::Fenced),
                Err(Undelivered::Store(error)) => return Err(error.into()),
                Err(Undelivered::Conflict(_)) => {}
            }
        }
        Err(store::Error::Unavailable(format!("`{id}` changed {TRIES} times meanwhile")).into())
    }

    async fn signal(self) -> Result<(), SignalError> {
        let request = self.named_request()?;
        let target = match self.target(false).await {
            Err(SignalError::NotFound { id }) => {
                let (Some(limit), Content::Typed { workflow, payload }) = (&self.keep, &self.content) else {
                    return Err(SignalError::NotFound { id });
                };
                let limit = limit.clone().map_err(SignalError::Duration)?;
                let payload = payload.clone().map_err(SignalError::Unencodable)?;
                if self.keep(limit, workflow, &payload).await? {
                    return Ok(());
                }
                self.target(false).await?
            }
            target => target?,
        };
        let record = MessageRecord::signal(self.name.clone(), target.payload.clone());
        let guard = request.map(|request| {
            let key = self
                .core
                .keys
                .request(&self.id, target.head.token, request.as_str());
            (key, Bytes::new())
        });
        self.store(&target, &record, guard).await.map(|_| ())
    }

    /// Stores the update, unless it is there already, and waits for its reply.
    async fn update(self) -> Result<Bytes, UpdateError> {
        let core = &self.core;
        let named = self.named_request()?;
        let target = self.target(true).await?;
        // A request without a name gets one that nobody else can give, so that its reply can be told from others.
        let request = match &named {
            Some(request) => request.as_str().to_owned(),
            None => format!("\u{1}{:x}", core.next_message()),
        };
        let key = core.keys.update(&self.id, target.head.token, &request);
        let known = match &named {
            Some(_) => core.read_one(&key).await?,
            None => None,
        };
        match known {
            Some(value) => {
                let record: UpdateRecord = decode(&key, &value)?;
                if record.update != self.name {
                    return Err(UpdateError::OtherUpdate {
                        request,
                        found: record.update,
                    });
                }
            }
            None => {
                if let Some(validate) = target.entry.and_then(|entry| entry.validate) {
                    if core
                        .read_outcome(&self.id)
                        .await?
                        .is_some_and(|outcome| !outcome.end.is_open())
                    {
                        return Err(SignalError::Closed { id: self.id.clone() }.into());
                    }
                    let values = Values::read(core, &self.id).await?;
                    validate(&target.payload, &values).map_err(|reason| UpdateError::Rejected { reason })?;
                }
                let record = MessageRecord {
                    signal: stored_update(&self.name),
                    payload: target.payload.clone(),
                    request: Some(request),
                };
                let guard = UpdateRecord {
                    update: self.name.clone(),
                    reply: None,
                };
                self.store(&target, &record, Some((key.clone(), record::encode(&guard))))
                    .await?;
            }
        }
        let reply = reply(core, &self.id, &key).await;
        core.forget_asker(&key);
        if named.is_none() && !matches!(reply, Err(UpdateError::Blocked { .. } | UpdateError::EngineEnded)) {
            // Nobody can ask for it again.
            let (core, id) = (core.clone(), self.id.clone());
            tokio::spawn(async move { core.deliver(&id, Vec::new(), vec![Write::Delete(key)]).await });
        }
        match reply? {
            Reply::Given(encoded) => Ok(encoded),
            Reply::Rejected(reason) => Err(UpdateError::Rejected { reason }),
        }
    }
}

/// Waits for the reply to an update that was accepted.
async fn reply(core: &Core, id: &InstanceId, key: &Bytes) -> Result<Reply, UpdateError> {
    let outcome_key = core.keys.of(Kind::Outcome, id);
    loop {
        // Asked for before the look, so that nothing in between is missed.
        let replied = core.wait_for_reply(key);
        let ended_meanwhile = core.wait_for_outcome(id);
        let found = core.store.get(&[key.clone(), outcome_key.clone()]).await?;
        let [update, outcome] = &found[..] else {
            return Err(UpdateError::EngineEnded);
        };
        let outcome = outcome
            .as_ref()
            .map(|value| decode::<OutcomeRecord>(&outcome_key, value))
            .transpose()?;
        let how = match (update, outcome) {
            (None, _) => Some("been started anew".to_owned()),
            (Some(update), outcome) => {
                if let Some(reply) = decode::<UpdateRecord>(key, update)?.reply {
                    return Ok(reply);
                }
                match outcome.map(|outcome| outcome.end) {
                    Some(End::Blocked { reason }) if !core.hot.contains(id) => {
                        return Err(UpdateError::Blocked {
                            id: id.clone(),
                            reason,
                        });
                    }
                    Some(end) if !end.is_open() => Some(format!("ended ({})", ended(end))),
                    _ => None,
                }
            }
        };
        if let Some(how) = how {
            return Err(UpdateError::Ended { id: id.clone(), how });
        }
        if core.gate.is_stopped() {
            return Err(UpdateError::EngineEnded);
        }
        // Another node may answer, or end the instance: the store is asked.
        let pause = async {
            match &core.membership {
                Some(_) => tokio::time::sleep(ASK_AGAIN).await,
                None => std::future::pending().await,
            }
        };
        if let Some(membership) = &core.membership
            && core.leases.of(id).is_none()
        {
            membership.watch(core.keys.shard(id), id);
        }
        tokio::select! {
            biased;
            () = pause => {}
            record = replied => {
                if let Some(reply) = record.map_err(|_| UpdateError::EngineEnded)?.reply {
                    return Ok(reply);
                }
            }
            outcome = ended_meanwhile => {
                outcome.map_err(|_| UpdateError::EngineEnded)?;
            }
        }
    }
}

/// A message that is about to be sent; await it.
#[must_use = "nothing is sent unless this is awaited"]
pub struct SendSignal(Outgoing);

impl fmt::Debug for SendSignal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SendSignal")
            .field("id", &self.0.id)
            .field("signal", &self.0.name)
            .finish_non_exhaustive()
    }
}

impl SendSignal {
    pub(super) fn typed<S: Signal>(
        core: &Arc<Core>,
        id: &InstanceId,
        workflow: &'static str,
        message: &S,
    ) -> Self {
        SendSignal::of(core, id, workflow, S::NAME, encode(message))
    }

    /// A message that is encoded already.
    pub(super) fn encoded(
        core: &Arc<Core>,
        id: &InstanceId,
        workflow: &'static str,
        name: &str,
        payload: Bytes,
    ) -> Self {
        SendSignal::of(core, id, workflow, name, Ok(payload))
    }

    fn of(
        core: &Arc<Core>,
        id: &InstanceId,
        workflow: &'static str,
        name: &str,
        payload: Result<Bytes, String>,
    ) -> Self {
        SendSignal(Outgoing {
            core: core.clone(),
            id: id.clone(),
            name: name.to_owned(),
            content: Content::Typed { workflow, payload },
            request_id: None,
            keep: None,
        })
    }

    /// When there is no such instance yet, keeps the signal for one that is started under this id, for at most this long:
    /// a [`Duration`], or text such as `"7d"`. Without it, sending to an id that no instance has is an error.
    ///
    /// At most 1,000 signals are kept for one id, all of them until the latest of their times.
    /// [`WorkflowEngine::early_signals`] shows what is kept, [`WorkflowEngine::discard_early_signals`] removes it.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use workflow_runtime::prelude::*;
    ///
    /// #[signal]
    /// #[derive(Serialize, Deserialize)]
    /// struct Paid { cents: u64 }
    ///
    /// #[workflow]
    /// async fn order() -> u64 { receive::<Paid>().await.cents }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<order>::builder().in_memory().build().await.unwrap();
    /// // The payment is faster than the order.
    /// let handle = engine.handle::<order>("order-7".parse().unwrap());
    /// handle.signal(Paid { cents: 500 }).keep_until_started("1d").await.unwrap();
    /// let handle = engine.start(order()).id("order-7").await.unwrap();
    /// assert_eq!(handle.result().await.unwrap(), 500);
    /// # });
    /// ```
    pub fn keep_until_started(mut self, limit: impl IntoDuration) -> Self {
        self.0.keep = Some(limit.into_duration());
        self
    }

    /// Names the request: a repetition of it is accepted and changes nothing, as long as the instance exists. 1 to 200
    /// bytes without control characters.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.0.request_id = Some(request_id.into());
        self
    }
}

fn encode<T: Durable>(message: &T) -> Result<Bytes, String> {
    codec::encode(message)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

impl IntoFuture for SendSignal {
    type Output = Result<(), SignalError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.signal())
    }
}

/// An update that is about to be sent; await it for its reply.
#[must_use = "nothing is sent unless this is awaited"]
pub struct SendUpdate<T> {
    outgoing: Outgoing,
    read: fn(&[u8]) -> Result<T, String>,
    reply: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for SendUpdate<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SendUpdate")
            .field("id", &self.outgoing.id)
            .field("update", &self.outgoing.name)
            .finish_non_exhaustive()
    }
}

impl<T> SendUpdate<T> {
    /// Names the request: a repetition of it changes nothing and gives the same reply, as long as the instance exists,
    /// also when it has ended. 1 to 200 bytes without control characters.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.outgoing.request_id = Some(request_id.into());
        self
    }
}

impl<T: Durable> SendUpdate<T> {
    pub(super) fn typed<U: Update<Reply = T>>(
        core: &Arc<Core>,
        id: &InstanceId,
        workflow: &'static str,
        update: &U,
    ) -> Self {
        SendUpdate {
            outgoing: Outgoing {
                core: core.clone(),
                id: id.clone(),
                name: U::NAME.to_owned(),
                content: Content::Typed {
                    workflow,
                    payload: encode(update),
                },
                request_id: None,
                keep: None,
            },
            read: |encoded| codec::decode(encoded).map_err(|error| error.to_string()),
            reply: PhantomData,
        }
    }
}

impl<T: Send + 'static> IntoFuture for SendUpdate<T> {
    type Output = Result<T, UpdateError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let reply = self.outgoing.update().await?;
            (self.read)(&reply).map_err(UpdateError::Reply)
        })
    }
}

impl<R> WorkflowEngine<R> {
    /// Sends a signal whose type the caller does not have, such as a web server: by its stored name, as JSON.
    ///
    /// It is refused when the instance's workflow never receives a signal of this name, or when the value is not one of
    /// the type that it receives; so it cannot stand in the instance's way.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    /// use workflow_runtime::prelude::*;
    ///
    /// #[signal]
    /// #[derive(Serialize, Deserialize)]
    /// struct Approval { by: String }
    ///
    /// #[workflow]
    /// async fn purchase() -> String { receive::<Approval>().await.by }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<purchase>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(purchase()).await.unwrap();
    /// let error = engine.signal_json(handle.id(), "Aproval", json!({})).await.unwrap_err();
    /// assert_eq!(error.to_string(), "the workflow `purchase` never receives `Aproval`; it receives `Approval`");
    /// let error = engine.signal_json(handle.id(), "Approval", json!({ "from": "Ada" })).await.unwrap_err();
    /// assert_eq!(error.to_string(), "this is no `Approval`: missing field `by`");
    /// engine.signal_json(handle.id(), "Approval", json!({ "by": "Ada" })).request_id("a-1").await.unwrap();
    /// assert_eq!(handle.result().await.unwrap(), "Ada");
    /// # });
    /// ```
    pub fn signal_json(&self, id: &InstanceId, name: impl Into<String>, message: Json) -> SendSignal {
        SendSignal(self.outgoing(id, name.into(), message))
    }

    /// Sends an update whose type the caller does not have, and waits for its reply, both as JSON; see
    /// [`signal_json`](WorkflowEngine::signal_json).
    pub fn update_json(&self, id: &InstanceId, name: impl Into<String>, update: Json) -> SendUpdate<Json> {
        SendUpdate {
            outgoing: self.outgoing(id, name.into(), update),
            read: |encoded| codec::to_json(encoded).map_err(|error| error.to_string()),
            reply: PhantomData,
        }
    }

    fn outgoing(&self, id: &InstanceId, name: String, json: Json) -> Outgoing {
        Outgoing {
            core: self.core().clone(),
            id: id.clone(),
            name,
            content: Content::Json(json),
            request_id: None,
            keep: None,
        }
    }
}
