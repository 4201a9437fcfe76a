//! Everything that a program with workflows usually names: `use workflow_runtime::prelude::*;`.

pub use crate::{
    BackoffConfig, Cancelled, Elapsed, ExistingId, OperationExt, RetryPolicy, Signal, State, Task, TaskContext, TaskFailure, WorkflowEngine,
    WorkflowHandle, join_all, receive, sleep, task, workflow, workflows,
};
