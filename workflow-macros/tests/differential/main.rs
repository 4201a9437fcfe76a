//! Every case is one async function, compiled twice: as it stands, and as a workflow. The workflow must give the same
//! result with the same effects in the same order; it is then resumed from each of its checkpoints, and must do exactly
//! what was still to be done, through the same further checkpoints.
//!
//! The workflows run on a small runtime of this test's own, which keeps every checkpoint. How it keeps loops and checks
//! variables is the real runtime's code.

#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a runtime for tests only"
)]

extern crate self as workflow_runtime;

#[macro_use]
mod harness;
#[path = "../../../workflow-runtime/src/private/argument.rs"]
mod argument;
mod context;
mod halt;
#[path = "../../../workflow-runtime/src/private/kept.rs"]
mod kept;
#[path = "../../../workflow-runtime/src/private/loops.rs"]
mod loops;
#[path = "../../../workflow-runtime/src/private/output.rs"]
mod output;
mod runtime;
mod tasks;

#[allow(
    clippy::all,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    unused,
    while_true,
    reason = "the cases exercise unusual code on purpose"
)]
mod cases {
    mod control;
    mod evaluation;
    mod loops;
    mod scopes;
}

pub use context::WorkflowContext;
pub use runtime::{
    Durable, Operation, Sleep, Task, TaskCall, TaskContext, TaskFailure, TaskOptions, Workflow, WorkflowCall,
    sleep,
};
pub use workflow_macros::{task, workflow};

// Where the real runtime has what the shared files use.
mod operation {
    pub use crate::context::Prepared;
}
mod task {
    pub use crate::runtime::{Task, TaskCall};
}

/// What generated code uses.
pub mod __private {
    pub use serde;

    pub use crate::argument::Argument;
    pub use crate::context::{DESCRIBE, Prepared, Saver};
    pub use crate::halt::Halt;
    pub use crate::kept::*;
    pub use crate::loops::*;
    pub use crate::output::*;
    pub use crate::runtime::{Operation, StateRequirement, encode, unwitness};
}
