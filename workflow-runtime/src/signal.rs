//! Messages to running workflows.

use crate::Durable;

/// A message that a workflow can receive.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use workflow_runtime::Signal;
///
/// #[derive(Serialize, Deserialize)]
/// struct Approval { by: String }
/// impl Signal for Approval { const NAME: &'static str = "approval"; }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a signal",
    label = "not a signal",
    note = "give the type a stored name: `impl Signal for {Self} {{ const NAME: &'static str = \"..\"; }}`"
)]
pub trait Signal: Durable {
    /// The stored name.
    const NAME: &'static str;
}
