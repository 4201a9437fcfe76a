//! Everything that a program with workflows usually names: `use workflow_runtime::prelude::*;`.

pub use crate::{
    BackoffConfig, ExistingId, RetryPolicy, Signal, State, Task, TaskContext, TaskFailure, WorkflowEngine,
    WorkflowHandle, receive, sleep, task, workflow, workflows,
};
