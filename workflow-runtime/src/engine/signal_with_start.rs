//! A start and a signal in one: the first of several senders starts the instance, and none of them need know who is.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use workflow_model::{InstanceId, codec};

use super::ExistingId;
use super::handle::WorkflowHandle;
use super::send::{SendSignal, SignalError};
use super::start::{FirstMessage, Start, StartError};
use crate::Signal;
use crate::workflow::{Workflow, WorkflowCall};

/// How often a start and an end that come at the same moments are tried.
const TRIES: usize = 100;

/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(1);

/// Why a signal with a start did neither.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SignalWithStartError {
    /// The instance was not started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The instance exists, and did not take the signal.
    #[error(transparent)]
    Signal(#[from] SignalError),
}

/// A start with a signal that is being prepared; await it for the instance's handle. Made by [`Start::with_signal`].
///
/// When no instance has the id, one is started and the signal is the first that it gets: both are one write. Otherwise the
/// signal is sent to the instance that has it, and the arguments are dropped. An instance that has ended takes no signal:
/// it is replaced if the start says `.on_existing(ExistingId::RestartClosed)`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use workflow_runtime::prelude::*;
///
/// #[signal]
/// #[derive(Serialize, Deserialize)]
/// struct Visit { page: String }
///
/// #[workflow]
/// async fn session(user: String) -> String {
///     let (first, second) = (receive::<Visit>().await, receive::<Visit>().await);
///     format!("{user}: {}, {}", first.page, second.page)
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<session>::builder().in_memory().build().await.unwrap();
/// let visit = async |page: &str| {
///     let start = engine.start(session("Ada".into())).id("session-ada");
///     start.with_signal(Visit { page: page.into() }).request_id(page).await.unwrap()
/// };
/// visit("home").await;
/// visit("home").await; // the same request
/// let handle = visit("cart").await;
/// assert_eq!(handle.result().await.unwrap(), "Ada: home, cart");
/// # });
/// ```
#[must_use = "nothing is started or sent unless this is awaited"]
pub struct SignalWithStart<W> {
    start: Start<W>,
    signal: &'static str,
    payload: Result<Bytes, String>,
    request_id: Option<String>,
}

impl<W: Workflow> fmt::Debug for SignalWithStart<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SignalWithStart")
            .field("start", &self.start)
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}

impl<W: Workflow> SignalWithStart<W> {
    pub(super) fn new<S: Signal>(start: Start<W>, message: &S) -> Self {
        let payload = codec::encode(message).map(Bytes::from);
        SignalWithStart {
            start,
            signal: S::NAME,
            payload: payload.map_err(|error| error.to_string()),
            request_id: None,
        }
    }

    /// Names the request: a repetition of it is accepted and changes nothing, as long as the instance exists. 1 to 200
    /// bytes without control characters.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    async fn send(self) -> Result<WorkflowHandle<W>, SignalWithStartError> {
        let payload = self.payload.map_err(SignalError::Unencodable)?;
        let request = self
            .request_id
            .map(InstanceId::new)
            .transpose()
            .map_err(SignalError::RequestId)?;
        let Start {
            core,
            input,
            id,
            existing,
        } = self.start;
        let id = id.transpose().map_err(StartError::from)?;
        let encoded = codec::encode(&input);
        let mut input = Some(input);
        for _ in 0..TRIES {
            // First: a repeated request changes nothing, also when the instance has ended.
            if let Some(id) = &id {
                let signal = SendSignal::encoded(&core, id, W::NAME, self.signal, payload.clone());
                let signal = match &request {
                    Some(request) => signal.request_id(request.as_str()),
                    None => signal,
                };
                match signal.await {
                    Ok(()) => return Ok(WorkflowHandle::new(core, id.clone())),
                    Err(SignalError::NotFound { .. }) => {}
                    Err(SignalError::Closed { .. }) if existing == ExistingId::RestartClosed => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let arguments = match (input.take(), &encoded) {
                (Some(input), _) => input,
                (None, Ok(encoded)) => {
                    codec::decode(encoded).map_err(|error| SignalError::Unencodable(error.to_string()))?
                }
                (None, Err(error)) => return Err(SignalError::Unencodable(error.to_string()).into()),
            };
            let mut start = Start::new(core.clone(), WorkflowCall::new(arguments));
            start.id = id.clone().map(Ok);
            // The handle of an instance that exists would hide that it did not get the signal.
            start.existing = match existing {
                ExistingId::RestartClosed => existing,
                _ => ExistingId::Reject,
            };
            let message = FirstMessage {
                signal: self.signal,
                payload: payload.clone(),
                request: request.clone(),
            };
            match start.start_with(Some(message)).await {
                // Somebody else has started it meanwhile, or is about to.
                Err(StartError::AlreadyExists { .. }) => tokio::time::sleep(PAUSE).await,
                started => return Ok(started?),
            }
        }
        let id = id.ok_or(StartError::ShuttingDown)?;
        Err(StartError::AlreadyExists { id }.into())
    }
}

impl<W: Workflow> IntoFuture for SignalWithStart<W> {
    type Output = Result<WorkflowHandle<W>, SignalWithStartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
