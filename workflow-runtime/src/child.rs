//! Child workflows: instances that a workflow starts and awaits.
//!
//! The parent's step and the child's existence are one write. A child that ends tells its parent with a message, written
//! together with its outcome, so a parent that waits leaves the memory as for any other message.

mod end;
mod given_up;

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use workflow_model::{InstanceId, MAX_INSTANCE_ID_BYTES, codec};

use crate::context::WorkflowContext;
use crate::engine::Entry;
use crate::halt::Halt;
use crate::keys::Kind;
use crate::operation::{
    CHILD, CHILD_HANDLE, CHILD_START, Description, Operation, Parking, expect, write_head,
};
use crate::record::{self, ChildRecord, InstanceRecord};
use crate::run::Run;
use crate::store::{Batch, Condition, Write};
use crate::workflow::{Workflow, WorkflowCall};

pub use self::end::{AwaitedChild, ChildFailure, ChildResult, ParentClosePolicy};

/// The name of the message in which a child tells its end; users' signals hold no control characters.
pub(crate) fn ended(child: &InstanceId) -> String {
    format!("\u{1}child {child}")
}

impl<W: Workflow> WorkflowCall<W> {
    /// Names the child instance; otherwise it is named after its parent and the step. In a workflow only: a start by an
    /// engine is named with [`Start::id`](crate::Start::id).
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Says what happens to the child when the parent ends first: it is cancelled, unless you say otherwise.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[workflow]
    /// async fn newsletter(to: String) -> String {
    ///     sleep("30d").await;
    ///     to
    /// }
    ///
    /// #[workflow]
    /// async fn signup(name: String) -> String {
    ///     let letters = newsletter(name).parent_close_policy(ParentClosePolicy::Abandon);
    ///     letters.start().await.id().to_string()
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<signup>::builder().in_memory().build().await.unwrap();
    /// let child = engine.start(signup("Ada".into())).await.unwrap().result().await.unwrap();
    /// let status = engine.status(&child.parse().unwrap()).await.unwrap().unwrap();
    /// assert!(!status.is_closed());
    /// # });
    /// ```
    pub fn parent_close_policy(mut self, policy: ParentClosePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The child's output, or why it has none: for a child whose own output cannot say that it was cancelled.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[workflow]
    /// async fn inspection(room: u32) -> u32 {
    ///     sleep("30d").await;
    ///     room
    /// }
    ///
    /// #[workflow]
    /// async fn house() -> String {
    ///     match inspection(7).id("room-7").result().await {
    ///         Ok(room) => format!("room {room} is fine"),
    ///         Err(ChildFailure::Cancelled { reason, .. }) => format!("not inspected: {reason}"),
    ///         Err(other) => other.to_string(),
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<house>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(house()).await.unwrap();
    /// engine.cancel(&"room-7".parse().unwrap(), "locked").await.unwrap();
    /// assert_eq!(handle.result().await.unwrap(), "not inspected: locked");
    /// # });
    /// ```
    pub fn result(self) -> ChildResult<Self> {
        ChildResult(self)
    }

    /// Starts the child and goes on; the handle can be awaited later.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[task]
    /// async fn measure(n: u64) -> u64 { n * n }
    ///
    /// #[workflow]
    /// async fn part(n: u64) -> u64 { measure(n).await }
    ///
    /// #[workflow]
    /// async fn whole(numbers: Vec<u64>) -> u64 {
    ///     let mut children = Vec::new();
    ///     for n in numbers {
    ///         children.push(part(n).start().await);
    ///     }
    ///     let mut sum = 0;
    ///     for child in children {
    ///         sum += child.await;
    ///     }
    ///     sum
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<whole>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(whole(vec![1, 2, 3])).await.unwrap();
    /// assert_eq!(handle.result().await.unwrap(), 14);
    /// # });
    /// ```
    pub fn start(self) -> StartChild<W> {
        StartChild {
            call: self,
            detached: false,
        }
    }

    /// Starts an instance of its own: it tells its starter nothing, and its starter's end is nothing to it.
    pub fn detached(self) -> StartChild<W> {
        StartChild {
            call: self,
            detached: true,
        }
    }

    fn encode_call(&self, kind: u8, out: &mut Vec<u8>) -> Result<(), String> {
        write_head(out, kind, W::NAME);
        let id = self.id.as_deref().unwrap_or_default();
        out.extend_from_slice(
            &u32::try_from(id.len())
                .map_err(|_| "the child's id is too long")?
                .to_be_bytes(),
        );
        out.extend_from_slice(id.as_bytes());
        codec::encode_into(&self.input, out).map_err(|error| error.to_string())
    }

    fn decode_call(encoded: &[u8], kind: u8) -> Result<Self, String> {
        let rest = expect(encoded, kind, W::NAME)?;
        let cut = || "the stored child is cut off".to_owned();
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut())?;
        let (id, input) = rest.split_at_checked(length).ok_or_else(cut)?;
        let id = std::str::from_utf8(id).map_err(|_| "the stored child's id is not UTF-8".to_owned())?;
        let input = codec::decode(input).map_err(|error| error.to_string())?;
        Ok(WorkflowCall {
            input,
            id: (!id.is_empty()).then(|| id.to_owned()),
            // The child exists already, and its policy stands in its link.
            policy: ParentClosePolicy::default(),
        })
    }

    fn child_id(&self, run: &Run) -> Result<InstanceId, Halt> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => automatic_id(
                run.id.as_str(),
                run.restarts,
                &format!("{}{}", run.step, run.line()),
            ),
        };
        InstanceId::new(id).map_err(|error| failed(W::NAME, error.to_string()))
    }

    /// Writes that make the child exist, next to the parent's step.
    fn enlist_call(&self, run: &Run, batch: &mut Batch, detached: bool) -> Result<(), Halt> {
        let id = self.child_id(run)?;
        let input = codec::encode(&self.input).map_err(|error| failed(W::NAME, error.to_string()))?;
        let header = InstanceRecord {
            workflow: W::NAME.to_owned(),
            token: run.core.new_token(),
            created_ms: run.core.now_ms(),
            input: input.into(),
            parent: (!detached).then(|| run.id.clone()),
            restarts: 0,
        };
        let key = run.core.keys.of(Kind::Instance, &id);
        batch.conditions.push(Condition::Absent(key.clone()));
        batch.writes.push(Write::Put(key, record::encode(&header)));
        if !detached {
            let link = ChildRecord {
                workflow: W::NAME.to_owned(),
                policy: self.policy,
                told: false,
                given_up: false,
            };
            batch.writes.push(Write::Put(
                run.core.keys.child(&run.id, &id),
                record::encode(&link),
            ));
            let mut shared = run.shared.lock();
            shared.has_children = true;
            shared.may_wait |= self.policy == ParentClosePolicy::Wait;
        }
        run.core.ready_elsewhere(&id, Bytes::new(), &mut batch.writes);
        Ok(())
    }

    /// Lets the child run here, when it was started just now; otherwise whoever recovers it does.
    fn begin(&self, run: &Run) -> Result<InstanceId, Halt> {
        let id = self.child_id(run)?;
        if run.fresh {
            run.core.wake(&id);
        }
        Ok(id)
    }
}

fn failed(workflow: &str, error: String) -> Halt {
    Halt::TaskFailed {
        task: format!("child workflow {workflow}"),
        error,
    }
}

/// `parent/step`, of a parent that has replaced one that ended `parent~restarts/step`; deep below many parents the
/// beginning is replaced by its hash.
fn automatic_id(parent: &str, restarts: u32, step: &str) -> String {
    let again;
    let parent = match restarts {
        0 => parent,
        restarts => {
            again = format!("{parent}~{restarts}");
            &again
        }
    };
    let id = format!("{parent}/{step}");
    if id.len() <= MAX_INSTANCE_ID_BYTES - 24 {
        return id;
    }
    let mut keep = parent.len().min(96);
    while !parent.is_char_boundary(keep) {
        keep -= 1;
    }
    format!(
        "{}~{:016x}/{step}",
        &parent[..keep],
        crate::keys::hash(parent.as_bytes())
    )
}

#[diagnostic::do_not_recommend]
impl<W: Workflow> Operation for WorkflowCall<W> {
    type Output = W::Output;

    fn describe(description: &mut Description, point: usize) {
        description.children.push(Entry::of::<W>());
        description
            .operations
            .push((point, format!("child workflow `{}`", W::NAME)));
    }

    fn encode(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), String> {
        self.encode_call(CHILD, out)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        Self::decode_call(encoded, CHILD)
    }

    fn parking(&self, run: &Run) -> Result<Parking, Halt> {
        Ok(Parking::Message(ended(&self.child_id(run)?).into()))
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        self.enlist_call(run, batch, false)
    }

    async fn perform(self, context: &mut WorkflowContext, _: Bytes) -> Result<W::Output, Halt> {
        let run = context.run()?;
        let id = self.begin(run)?;
        end::output::<W>(run, &id).await
    }
}

/// A child that is started and not awaited yet; see [`WorkflowCall::start`].
#[must_use = "a child does not start unless this is awaited"]
pub struct StartChild<W> {
    call: WorkflowCall<W>,
    detached: bool,
}

impl<W: Workflow> fmt::Debug for StartChild<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StartChild")
            .field("workflow", &W::NAME)
            .finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<W: Workflow> Operation for StartChild<W> {
    type Output = ChildHandle<W>;

    fn describe(description: &mut Description, point: usize) {
        description.children.push(Entry::of::<W>());
        description
            .operations
            .push((point, format!("start of child workflow `{}`", W::NAME)));
    }

    fn encode(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), String> {
        self.call.encode_call(CHILD_START, out)
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        // The child exists already, so whether it was detached matters no more.
        Ok(StartChild {
            call: WorkflowCall::decode_call(encoded, CHILD_START)?,
            detached: false,
        })
    }

    fn enlist(&self, run: &Run, batch: &mut Batch) -> Result<(), Halt> {
        self.call.enlist_call(run, batch, self.detached)
    }

    async fn perform(self, context: &mut WorkflowContext, _: Bytes) -> Result<ChildHandle<W>, Halt> {
        let id = self.call.begin(context.run()?)?;
        Ok(ChildHandle {
            id,
            workflow: PhantomData,
        })
    }
}

/// A started child. Await it for the child's output; it can be kept across other awaits.
#[must_use = "the child runs on; await the handle for its output"]
pub struct ChildHandle<W> {
    id: InstanceId,
    workflow: PhantomData<fn() -> W>,
}

impl<W> ChildHandle<W> {
    /// The child's id.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// The child's output, or why it has none: see [`WorkflowCall::result`].
    pub fn result(self) -> ChildResult<Self> {
        ChildResult(self)
    }
}

impl<W> fmt::Debug for ChildHandle<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChildHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<W> Serialize for ChildHandle<W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.id.serialize(serializer)
    }
}

impl<'de, W> Deserialize<'de> for ChildHandle<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(ChildHandle {
            id: InstanceId::deserialize(deserializer)?,
            workflow: PhantomData,
        })
    }
}

#[diagnostic::do_not_recommend]
impl<W: Workflow> Operation for ChildHandle<W> {
    type Output = W::Output;

    fn describe(description: &mut Description, point: usize) {
        description
            .operations
            .push((point, format!("child workflow `{}`", W::NAME)));
    }

    fn encode(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), String> {
        write_head(out, CHILD_HANDLE, W::NAME);
        out.extend_from_slice(self.id.as_str().as_bytes());
        Ok(())
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        let id = expect(encoded, CHILD_HANDLE, W::NAME)?;
        let id = std::str::from_utf8(id).map_err(|_| "the stored child's id is not UTF-8".to_owned())?;
        let id = InstanceId::new(id).map_err(|error| error.to_string())?;
        Ok(ChildHandle {
            id,
            workflow: PhantomData,
        })
    }

    fn parking(&self, _: &Run) -> Result<Parking, Halt> {
        Ok(Parking::Message(ended(&self.id).into()))
    }

    async fn perform(self, context: &mut WorkflowContext, _: Bytes) -> Result<W::Output, Halt> {
        end::output::<W>(context.run()?, &self.id).await
    }
}
