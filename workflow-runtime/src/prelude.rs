//! Everything that a program with workflows usually names: `use workflow_runtime::prelude::*;`.

pub use crate::{
    BackoffConfig, Cancelled, ChildFailure, Elapsed, ExistingId, OperationExt, ParentClosePolicy, Responder,
    RetryPolicy, Signal, State, Task, TaskContext, TaskFailure, Update, WorkflowEngine, WorkflowHandle,
    join_all, publish, receive, receive_update, signal, sleep, sleep_until, task, update, workflow,
    workflows,
};
