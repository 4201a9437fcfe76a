//! Receiving messages: signals, and updates with the means to answer them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use workflow_model::codec;

use crate::context::WorkflowContext;
use crate::engine::MessageEntry;
use crate::halt::Halt;
use crate::operation::{Description, Operation, Parking, RECEIVE, RECEIVE_UPDATE, expect, write_head};
use crate::record::Reply;
use crate::run::{Answer, Outbox, Run};
use crate::{Signal, Update};

/// The name under which an update's message is stored; users' signals hold no control characters.
pub(crate) fn stored_update(name: &str) -> String {
    format!("{UPDATE_PREFIX}{name}")
}

const UPDATE_PREFIX: &str = "\u{1}update ";

/// What a stored message is called, for people.
pub(crate) fn shown(stored: &str) -> &str {
    stored
        .strip_prefix(UPDATE_PREFIX)
        .unwrap_or_else(|| stored.trim_start_matches('\u{1}'))
}

/// A message to wait for.
#[derive(Debug)]
#[must_use = "nothing is received unless this is awaited"]
pub struct Receive<S>(PhantomData<fn() -> S>);

/// Waits for the next message of type `S` to this instance. Messages that came earlier are kept until they are received,
/// in their order.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use workflow_runtime::prelude::*;
///
/// #[signal]
/// #[derive(Serialize, Deserialize)]
/// struct Approval { by: String }
///
/// #[workflow]
/// async fn purchase(item: String) -> String {
///     let approval = receive::<Approval>().await;
///     format!("{item}, approved by {}", approval.by)
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<purchase>::builder().in_memory().build().await.unwrap();
/// let handle = engine.start(purchase("a lamp".into())).await.unwrap();
/// handle.signal(Approval { by: "Ada".into() }).await.unwrap();
/// assert_eq!(handle.result().await.unwrap(), "a lamp, approved by Ada");
/// # });
/// ```
pub fn receive<S: Signal>() -> Receive<S> {
    Receive(PhantomData)
}

impl<S: Signal> Operation for Receive<S> {
    type Output = S;

    fn describe(description: &mut Description, point: usize) {
        description.messages.push(MessageEntry::signal::<S>());
        description
            .operations
            .push((point, format!("signal `{}`", S::NAME)));
    }

    fn encode(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), String> {
        write_head(out, RECEIVE, S::NAME);
        Ok(())
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        expect(encoded, RECEIVE, S::NAME)?;
        Ok(receive())
    }

    fn parking(&self, _: &Run) -> Result<Parking, Halt> {
        Ok(Parking::Message(S::NAME.into()))
    }

    async fn perform(self, context: &mut WorkflowContext, _: Bytes) -> Result<S, Halt> {
        let run = context.run()?;
        let message = run.next_message(S::NAME).await?;
        let decoded = codec::decode(&message.payload)
            .map_err(|error| Halt::undecodable(&format!("a message `{}`", S::NAME), error))?;
        Ok(decoded)
    }
}

/// An update to wait for.
#[derive(Debug)]
#[must_use = "nothing is received unless this is awaited"]
pub struct ReceiveUpdate<U>(PhantomData<fn() -> U>);

/// Waits for the next update of type `U` to this instance, and gives it with the [`Responder`] that answers it. Updates
/// wait in their order, as signals do.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use workflow_runtime::prelude::*;
///
/// #[update(reply = usize)]
/// #[derive(Serialize, Deserialize)]
/// struct AddItem { item: String }
///
/// #[workflow]
/// async fn cart(size: usize) -> Vec<String> {
///     let mut items = Vec::new();
///     while items.len() < size {
///         let (add, responder) = receive_update::<AddItem>().await;
///         if items.contains(&add.item) {
///             responder.reject(format!("there is a {} already", add.item));
///         } else {
///             items.push(add.item);
///             responder.respond(items.len());
///         }
///     }
///     items
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<cart>::builder().in_memory().build().await.unwrap();
/// let handle = engine.start(cart(2)).await.unwrap();
/// assert_eq!(handle.update(AddItem { item: "lamp".into() }).await.unwrap(), 1);
/// let error = handle.update(AddItem { item: "lamp".into() }).await.unwrap_err();
/// assert_eq!(error.to_string(), "the update was rejected: there is a lamp already");
/// assert_eq!(handle.update(AddItem { item: "desk".into() }).await.unwrap(), 2);
/// assert_eq!(handle.result().await.unwrap(), ["lamp", "desk"]);
/// # });
/// ```
pub fn receive_update<U: Update>() -> ReceiveUpdate<U> {
    ReceiveUpdate(PhantomData)
}

impl<U: Update> Operation for ReceiveUpdate<U> {
    type Output = (U, Responder<U>);

    fn describe(description: &mut Description, point: usize) {
        description.messages.push(MessageEntry::update::<U>());
        description
            .operations
            .push((point, format!("update `{}`", U::NAME)));
    }

    fn encode(&mut self, _: u64, out: &mut Vec<u8>) -> Result<(), String> {
        write_head(out, RECEIVE_UPDATE, U::NAME);
        Ok(())
    }

    fn decode(encoded: &[u8]) -> Result<Self, String> {
        expect(encoded, RECEIVE_UPDATE, U::NAME)?;
        Ok(receive_update())
    }

    fn parking(&self, _: &Run) -> Result<Parking, Halt> {
        Ok(Parking::Message(stored_update(U::NAME).into()))
    }

    async fn perform(self, context: &mut WorkflowContext, _: Bytes) -> Result<Self::Output, Halt> {
        let run = context.run()?;
        let message = run.next_message(&stored_update(U::NAME)).await?;
        let unreadable = |error: String| Halt::undecodable(&format!("an update `{}`", U::NAME), error);
        let update = codec::decode(&message.payload).map_err(|error| unreadable(error.to_string()))?;
        let request = message
            .request
            .ok_or_else(|| unreadable("it does not say who waits for the reply".to_owned()))?;
        let responder = Responder {
            request,
            message: Some(message.key),
            outbox: run.shared.outbox.clone(),
            update: PhantomData,
        };
        Ok((update, responder))
    }
}

/// Answers one update. It can be kept across awaits; it cannot leave the workflow: as the argument of a task or child,
/// or in the output, it is refused.
///
/// The answer is durable with the workflow's next step, together with everything that led to it, and its sender gets it
/// then. An update that is not answered when the workflow ends gives its sender an error.
#[must_use = "the sender waits for an answer: `respond(..)` or `reject(..)`"]
pub struct Responder<U> {
    /// The name of the request.
    request: String,
    /// The record of the update, as long as it may be in the store.
    message: Option<Bytes>,
    outbox: Arc<Outbox>,
    update: PhantomData<fn(U)>,
}

impl<U: Update> Responder<U> {
    /// Gives the sender its reply.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a reply is given away, as its receiver gets it"
    )]
    pub fn respond(self, reply: U::Reply) {
        match codec::encode(&reply) {
            Ok(encoded) => self.answer(Reply::Given(encoded.into())),
            Err(error) => self.outbox.fail(
                &format!("the reply to the update `{}`", U::NAME),
                &error.to_string(),
            ),
        }
    }

    /// Refuses the update: its sender gets the reason in an error.
    pub fn reject(self, reason: impl Into<String>) {
        self.answer(Reply::Rejected(reason.into()));
    }

    fn answer(self, reply: Reply) {
        self.outbox.answer(Answer {
            update: U::NAME,
            request: self.request,
            message: self.message,
            reply,
        });
    }
}

impl<U: Update> fmt::Debug for Responder<U> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Responder")
            .field("update", &U::NAME)
            .finish_non_exhaustive()
    }
}

impl<U> Serialize for Responder<U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !Outbox::is_storing() {
            return Err(serde::ser::Error::custom(
                "a responder cannot leave the workflow that received the update: answer in the workflow's own body",
            ));
        }
        self.request.serialize(serializer)
    }
}

impl<'de, U> Deserialize<'de> for Responder<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let request = String::deserialize(deserializer)?;
        let outbox = Outbox::restoring().ok_or_else(|| {
            serde::de::Error::custom("a responder can be read by the workflow only that received the update")
        })?;
        Ok(Responder {
            request,
            message: None,
            outbox,
            update: PhantomData,
        })
    }
}
