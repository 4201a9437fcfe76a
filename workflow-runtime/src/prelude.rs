//! Everything that a program with workflows usually names: `use workflow_runtime::prelude::*;`.

pub use crate::{
    BackoffConfig, Cancelled, ChildFailure, Elapsed, ExistingId, OperationExt, ParentClosePolicy,
    RetryPolicy, Signal, State, Task, TaskContext, TaskFailure, WorkflowEngine, WorkflowHandle, join_all,
    receive, sleep, sleep_until, task, workflow, workflows,
};
