//! `publish!`: what others may know of a running workflow.

/// Publishes a value of a workflow under a name, for [`query`](crate::WorkflowHandle::query). In the body of a
/// `#[workflow]` only.
///
/// `publish!("name", value)` evaluates and borrows the value, which needs serde's `Serialize`;
/// `publish!(variable)` publishes a variable under its own name. The value is durable with the workflow's next step and
/// replaces the one before; one that has not changed is not written again. The last one stays when the workflow ends.
///
/// ```
/// use workflow_runtime::prelude::*;
///
/// #[workflow]
/// async fn count(to: u32) -> u32 {
///     let mut n = 0;
///     while n < to {
///         n += 1;
///         publish!("percent", n * 100 / to);
///         publish!(n);
///         sleep("1ms").await;
///     }
///     n
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let engine = WorkflowEngine::<count>::builder().in_memory().build().await.unwrap();
/// let handle = engine.start(count(3)).await.unwrap();
/// handle.result().await.unwrap();
/// assert_eq!(handle.query::<u32>("percent").await.unwrap(), 100);
/// assert_eq!(handle.query::<u32>("n").await.unwrap(), 3);
/// # });
/// ```
///
/// Elsewhere it does not compile:
///
/// ```compile_fail
/// fn helper(n: u32) {
///     workflow_runtime::publish!(n);
/// }
/// ```
#[macro_export]
macro_rules! publish {
    ($($anything:tt)*) => {
        ::core::compile_error!(
            "`publish!` stands in the body of a `#[workflow]`, and not inside of another macro: only there it is known which \
             instance publishes; let a task or helper return the value, and publish it in the workflow"
        )
    };
}
