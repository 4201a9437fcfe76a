//! Messages to running workflows: what a type needs to be one, and which workflow receives it.

use crate::Durable;
use crate::engine::Values;

/// A message that a workflow can receive; `#[signal]` writes the implementation.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use workflow_runtime::prelude::*;
///
/// #[signal]
/// #[derive(Serialize, Deserialize)]
/// struct Approval { by: String }
///
/// #[signal(name = "withdrawal")]
/// #[derive(Serialize, Deserialize)]
/// enum Withdrawn { ByCustomer, ByShop { reason: String } }
///
/// assert_eq!((Approval::NAME, Withdrawn::NAME), ("Approval", "withdrawal"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a signal",
    label = "not a signal",
    note = "put `#[signal]` on the type, and derive serde's `Serialize` and `Deserialize`"
)]
pub trait Signal: Durable {
    /// The stored name.
    const NAME: &'static str;
}

/// A request that a workflow receives and answers; `#[update]` writes the implementation.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use workflow_runtime::{Values, prelude::*};
///
/// #[update(reply = u32, validate = is_some)]
/// #[derive(Serialize, Deserialize)]
/// struct AddItems { count: u32 }
///
/// /// Refuses a request before it is stored.
/// fn is_some(add: &AddItems, values: &Values) -> Result<(), String> {
///     let room = values.get::<u32>("room").unwrap_or(100);
///     if (1..=room).contains(&add.count) { Ok(()) } else { Err(format!("{} is not 1 to {room}", add.count)) }
/// }
/// # assert_eq!(AddItems::NAME, "AddItems");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an update",
    label = "not an update",
    note = "put `#[update(reply = ..)]` on the type, and derive serde's `Serialize` and `Deserialize`; a message without an answer is a `#[signal]`, which a workflow gets with `receive`"
)]
pub trait Update: Durable {
    /// The stored name.
    const NAME: &'static str;

    /// What the sender gets.
    type Reply: Durable;

    /// The check that a request passes before it is stored; `None` accepts every request.
    fn validator() -> Option<Validator<Self>> {
        None
    }
}

/// Refuses a request before it is stored, with a reason. It runs where the request is sent and sees what the instance has
/// published and its live variables as of its last step; by the time the workflow receives the request they may have
/// changed, so a rule that must hold is checked by the workflow, which [rejects](crate::Responder::reject) the request.
pub type Validator<U> = fn(&U, &Values) -> Result<(), String>;

/// Says that the workflow receives messages of type `M`. `#[workflow]` implements it for each `receive::<M>()` and
/// `receive_update::<M>()` in the body.
pub trait Receives<M> {}

/// Says that the workflow `W` receives this message: `W` [`Receives`] it.
#[diagnostic::on_unimplemented(
    message = "the workflow `{W}` never receives `{Self}`",
    label = "`{W}` would never see this message",
    note = "receive it in the workflow's own body: `receive::<{Self}>().await`, or `receive_update::<{Self}>().await` for an update"
)]
pub trait ReceivedBy<W> {}

// The bound of `WorkflowHandle::signal` is on the message and not on the workflow: of a workflow that receives one type,
// rustc would otherwise infer the type of the argument, and the message would be about mismatched types.
#[diagnostic::do_not_recommend]
impl<M, W: Receives<M>> ReceivedBy<W> for M {}
