//! Starting an instance: one write makes it exist and takes it to its first durable point.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use workflow_model::{BlockedReason, InstanceId, InvalidId, codec};

use super::core::{Core, decode};
use super::deliver::Undelivered;
use super::handle::WorkflowHandle;
use super::runner::{self, Machine};
use super::signal_with_start::SignalWithStart;
use crate::context::WorkflowContext;
use crate::keys::Kind;
use crate::record::{self, InstanceRecord, MessageRecord, OutcomeRecord};
use crate::run::{Run, Starting};
use crate::store::{self, Condition, Write};
use crate::workflow::{Workflow, WorkflowCall};
use crate::{ReceivedBy, Signal};

/// What happens when an instance with the wanted id exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExistingId {
    /// The start fails with [`StartError::AlreadyExists`].
    #[default]
    Reject,
    /// The start gives the existing instance's handle, whatever its state; the new arguments are dropped.
    ReturnExisting,
    /// An instance that has ended is replaced; one that has not is a [`StartError::AlreadyExists`].
    RestartClosed,
}

/// Why an instance was not started.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The id breaks a rule.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// The id is taken.
    #[error(
        "an instance `{id}` exists already; choose another id, or say `.on_existing(ExistingId::ReturnExisting)` or \
         `.on_existing(ExistingId::RestartClosed)`"
    )]
    AlreadyExists {
        /// The id.
        id: InstanceId,
    },
    /// The id belongs to an instance of another workflow.
    #[error("the instance `{id}` is a `{found}`, not a `{wanted}`; choose another id")]
    OtherWorkflow {
        /// The id.
        id: InstanceId,
        /// The workflow of the existing instance.
        found: String,
        /// The workflow that was to be started.
        wanted: &'static str,
    },
    /// The arguments, or the code up to the first await, cannot run; nothing was stored.
    #[error("the workflow did not reach its first await, and nothing was stored: {reason}")]
    Refused {
        /// What stands in the way.
        reason: BlockedReason,
    },
    /// The engine shuts down.
    #[error("the engine shuts down and starts nothing new")]
    ShuttingDown,
    /// Another engine has opened the store.
    #[error("another engine has taken the store over; this one can write no more")]
    Fenced,
    /// The store failed; unless it says that the outcome is unknown, nothing was stored.
    #[error("the instance was not started: {0}")]
    Store(#[from] store::Error),
}

/// A start that is being prepared; await it.
#[must_use = "a start does nothing unless it is awaited"]
pub struct Start<W> {
    pub(super) core: Arc<Core>,
    pub(super) input: W,
    pub(super) id: Option<Result<InstanceId, InvalidId>>,
    pub(super) existing: ExistingId,
}

impl<W: Workflow> fmt::Debug for Start<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Start")
            .field("workflow", &W::NAME)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<W: Workflow> Start<W> {
    pub(crate) fn new(core: Arc<Core>, call: WorkflowCall<W>) -> Self {
        Start {
            core,
            input: call.input,
            id: None,
            existing: ExistingId::default(),
        }
    }

    /// Names the instance: 1 to 200 bytes without control characters. Without a name it gets a generated one.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(InstanceId::new(id.into()));
        self
    }

    /// Says what happens when the id is taken.
    pub fn on_existing(mut self, existing: ExistingId) -> Self {
        self.existing = existing;
        self
    }

    /// Starts the instance with a signal, in one write; when there is an instance of the id already, the signal is sent
    /// to it. See [`SignalWithStart`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a message is given away, as its receiver gets it"
    )]
    pub fn with_signal<S: Signal + ReceivedBy<W>>(self, message: S) -> SignalWithStart<W> {
        SignalWithStart::new(self, &message)
    }

    async fn start(self) -> Result<WorkflowHandle<W>, StartError> {
        self.start_with(None).await
    }

    /// Starts the instance with a message that is there from its beginning.
    pub(super) async fn start_with(
        self,
        message: Option<FirstMessage>,
    ) -> Result<WorkflowHandle<W>, StartError> {
        let core = self.core.clone();
        let input = codec::encode(&self.input)
            .map(Bytes::from)
            .map_err(|error| error.to_string());
        let given = self.input;
        let start = Erased {
            core: self.core,
            workflow: W::NAME,
            input,
            id: self.id,
            existing: self.existing,
            message,
            machine: Box::new(move |context| runner::run_machine(Some(given), context)),
        };
        Ok(WorkflowHandle::new(core, start.start().await?))
    }
}

/// A message that is stored together with the start.
pub(super) struct FirstMessage {
    pub(super) signal: &'static str,
    pub(super) payload: Bytes,
    pub(super) request: Option<InstanceId>,
}

/// A start without its type, so that its code is compiled once.
struct Erased {
    core: Arc<Core>,
    workflow: &'static str,
    /// The encoded input, or why it cannot be encoded.
    input: Result<Bytes, String>,
    id: Option<Result<InstanceId, InvalidId>>,
    existing: ExistingId,
    message: Option<FirstMessage>,
    machine: Box<dyn FnOnce(WorkflowContext) -> Machine + Send>,
}

impl Erased {
    async fn start(self) -> Result<InstanceId, StartError> {
        let Erased {
            core,
            workflow,
            input,
            id,
            existing,
            message,
            machine,
        } = self;
        core.gate.check().map_err(|_| StartError::ShuttingDown)?;
        let generated = id.is_none();
        let token = core.new_token();
        let id = match id {
            Some(id) => id?,
            None => core.own_id(token)?,
        };
        let mut conditions = Vec::new();
        let mut writes = Vec::new();
        let key = core.keys.of(Kind::Instance, &id);
        let (mut replaced, mut early) = (None, None);
        if !generated {
            let outcome_key = core.keys.of(Kind::Outcome, &id);
            let early_key = core.keys.of(Kind::Early, &id);
            let mut found = core
                .store
                .get(&[key.clone(), outcome_key.clone(), early_key])
                .await?;
            early = Some(found.pop().flatten());
            if let [Some(instance), outcome] = &found[..] {
                match existing_instance(
                    workflow,
                    &key,
                    instance,
                    &outcome_key,
                    outcome.as_ref(),
                    &id,
                    existing,
                )? {
                    Existing::Return => return Ok(id),
                    Existing::Replace => replaced = Some((instance.clone(), outcome_key, outcome.clone())),
                }
            }
        }
        let input = input.map_err(|error| StartError::Refused {
            reason: BlockedReason::Unencodable {
                variable: "the input".to_owned(),
                error,
            },
        })?;
        let mut header = InstanceRecord {
            workflow: workflow.to_owned(),
            token,
            created_ms: core.now_ms(),
            input,
            parent: None,
            restarts: 0,
        };
        match replaced {
            None => conditions.push(Condition::Absent(key.clone())),
            Some((instance, outcome_key, outcome)) => {
                header.restarts = decode::<InstanceRecord>(&key, &instance)?
                    .restarts
                    .saturating_add(1);
                // The children of the instance before are none of this one's.
                let links = core.read_all(core.keys.numbered_range(Kind::Child, &id)).await?;
                writes.extend(links.into_iter().map(|(key, _)| Write::Delete(key)));
                // Nor is what it has published, and the requests that it took.
                for kind in [Kind::Published, Kind::Request, Kind::Update] {
                    let records = core.read_all(core.keys.numbered_range(kind, &id)).await?;
                    writes.extend(records.into_iter().map(|(key, _)| Write::Delete(key)));
                }
                conditions.push(Condition::Equals(key.clone(), instance));
                if let Some(outcome) = outcome {
                    conditions.push(Condition::Equals(outcome_key.clone(), outcome));
                }
                writes.push(Write::Delete(outcome_key));
            }
        }
        writes.push(Write::Put(key, record::encode(&header)));
        let mut tells = false;
        let early = match early {
            None => None,
            Some(found) => {
                let early = super::early::take_over(&core, &id, workflow, found).await?;
                conditions.push(early.condition);
                writes.extend(early.writes);
                tells = early.tells;
                Some(conditions.len() - 1)
            }
        };
        if let Some(message) = message {
            tells = true;
            let key = core.keys.message(&id, core.now_ms(), core.next_message());
            let record = MessageRecord::signal(message.signal.to_owned(), message.payload);
            writes.push(Write::Put(key, record::encode(&record)));
            if let Some(request) = message.request {
                let key = core.keys.request(&id, token, request.as_str());
                writes.push(Write::Put(key, Bytes::new()));
            }
        }
        let (reply, started) = oneshot::channel();
        let replacing = matches!(conditions.first(), Some(Condition::Equals(..)));
        let hot = loop {
            let Some(lease) = core.leases.of(&id).filter(|lease| lease.check().is_ok()) else {
                return start_elsewhere(&core, workflow, id, conditions, writes, existing).await;
            };
            match core.hot.enter(&id, lease, false) {
                Some(hot) => break hot,
                // The instance has ended, and is about to leave the memory.
                None if replacing => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
                // Somebody else starts it at this moment; what becomes of that is decided by its first write.
                None if existing == ExistingId::ReturnExisting => {
                    return wait_for_other(&core, workflow, id).await;
                }
                None => return Err(StartError::AlreadyExists { id }),
            }
        };
        let mut run = Run::new(core.clone(), hot.clone(), id.clone(), token);
        run.restarts = header.restarts;
        let again = core
            .membership
            .is_some()
            .then(|| (conditions.clone(), writes.clone()));
        run.starting = Some(Starting {
            conditions,
            writes,
            early,
            workflow,
            tells,
            reply,
        });
        if !runner::spawn_new(&core, &hot, id.clone(), machine(WorkflowContext::starting(run))) {
            return Err(StartError::ShuttingDown);
        }
        match started.await {
            Ok(Ok(())) => Ok(id),
            Ok(Err(StartError::AlreadyExists { .. })) if existing == ExistingId::ReturnExisting => {
                wait_for_other(&core, workflow, id).await
            }
            // The shard went to another node at this moment.
            Ok(Err(StartError::Fenced)) => match again {
                Some((conditions, writes)) => {
                    start_elsewhere(&core, workflow, id, conditions, writes, existing).await
                }
                None => Err(StartError::Fenced),
            },
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::ShuttingDown),
        }
    }
}

impl Core {
    /// A new id; in a cluster one of a shard that this engine has, so that the instance runs here.
    fn own_id(&self, token: u64) -> Result<InstanceId, InvalidId> {
        let mut id = InstanceId::new(generated_id(self.now_ms(), token))?;
        if self.membership.is_some() {
            for _ in 0..256 {
                if self.leases.of(&id).is_some() {
                    break;
                }
                id = InstanceId::new(generated_id(self.now_ms(), self.new_token()))?;
            }
        }
        Ok(id)
    }
}

/// Makes an instance exist that another node runs.
async fn start_elsewhere(
    core: &Arc<Core>,
    workflow: &'static str,
    id: InstanceId,
    conditions: Vec<Condition>,
    mut writes: Vec<Write>,
    existing: ExistingId,
) -> Result<InstanceId, StartError> {
    core.ready(&id, Bytes::from_static(b"start"), &mut writes);
    match core.deliver(&id, conditions, writes).await {
        Ok(()) => {
            core.wake(&id);
            Ok(id)
        }
        Err(Undelivered::Conflict(_)) if existing == ExistingId::ReturnExisting => {
            wait_for_other(core, workflow, id).await
        }
        Err(Undelivered::Conflict(_)) => Err(StartError::AlreadyExists { id }),
        Err(Undelivered::Fenced) => Err(StartError::Fenced),
        Err(Undelivered::Store(error)) => Err(error.into()),
    }
}

impl<W: Workflow> IntoFuture for Start<W> {
    type Output = Result<WorkflowHandle<W>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// Sorts by the time of the start.
fn generated_id(now_ms: u64, token: u64) -> String {
    format!("{now_ms:011x}-{token:x}")
}

enum Existing {
    Return,
    Replace,
}

fn existing_instance(
    workflow: &'static str,
    key: &Bytes,
    instance: &Bytes,
    outcome_key: &Bytes,
    outcome: Option<&Bytes>,
    id: &InstanceId,
    existing: ExistingId,
) -> Result<Existing, StartError> {
    let instance: InstanceRecord = decode(key, instance)?;
    let outcome: Option<OutcomeRecord> = outcome.map(|value| decode(outcome_key, value)).transpose()?;
    let closed = outcome.is_some_and(|outcome| !outcome.end.is_open());
    match existing {
        ExistingId::ReturnExisting | ExistingId::RestartClosed if instance.workflow != workflow => {
            Err(StartError::OtherWorkflow {
                id: id.clone(),
                found: instance.workflow,
                wanted: workflow,
            })
        }
        ExistingId::ReturnExisting => Ok(Existing::Return),
        ExistingId::RestartClosed if closed => Ok(Existing::Replace),
        _ => Err(StartError::AlreadyExists { id: id.clone() }),
    }
}

/// Another start of the same id is on its way: its handle is good once its record is there.
async fn wait_for_other(
    core: &Core,
    workflow: &'static str,
    id: InstanceId,
) -> Result<InstanceId, StartError> {
    let key = core.keys.of(Kind::Instance, &id);
    loop {
        if let Some(instance) = core.read_one(&key).await? {
            let instance: InstanceRecord = decode(&key, &instance)?;
            if instance.workflow != workflow {
                return Err(StartError::OtherWorkflow {
                    id,
                    found: instance.workflow,
                    wanted: workflow,
                });
            }
            return Ok(id);
        }
        if !core.hot.contains(&id) {
            return Err(StartError::AlreadyExists { id });
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
