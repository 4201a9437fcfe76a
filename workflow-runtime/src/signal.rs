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
pub trait Signal: Durable {
    /// The stored name.
    const NAME: &'static str;
}
