//! Where a workflow instance stands, as every part of the system and every reader of the API sees it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::InstanceId;

/// Where a workflow instance stands.
///
/// In JSON an object whose `state` names the variant: `{"state":"waiting","point":"approval","on":"signal Approval"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstanceStatus {
    /// A node is executing it, or will as soon as one is free.
    Running {
        /// The durable point that it reached last; `None` before the first one.
        point: Option<String>,
    },
    /// It goes on when something happens, and costs nothing until then.
    Waiting {
        /// The durable point at which it waits.
        point: String,
        /// What it waits for, in words: `signal Approval`, `timer until ..`, `child workflow ..`.
        on: String,
    },
    /// It returned a value.
    Completed,
    /// It returned an error.
    Failed {
        /// The error's message.
        error: String,
    },
    /// It was asked to stop, and has stopped.
    Cancelled {
        /// Why, in the words of whoever asked.
        reason: String,
    },
    /// It was ended at once, whatever it was doing.
    Terminated {
        /// Why, in the words of whoever did it.
        reason: String,
    },
    /// It does not go on until somebody resumes it.
    Paused {
        /// Why, in the words of whoever paused it.
        reason: String,
    },
    /// It cannot go on until somebody repairs the cause; nothing of it is lost.
    Blocked {
        /// What stands in the way.
        reason: BlockedReason,
    },
}

/// Which variant of [`InstanceStatus`] a status is: for filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StatusKind {
    /// [`InstanceStatus::Running`]
    Running,
    /// [`InstanceStatus::Waiting`]
    Waiting,
    /// [`InstanceStatus::Completed`]
    Completed,
    /// [`InstanceStatus::Failed`]
    Failed,
    /// [`InstanceStatus::Cancelled`]
    Cancelled,
    /// [`InstanceStatus::Terminated`]
    Terminated,
    /// [`InstanceStatus::Paused`]
    Paused,
    /// [`InstanceStatus::Blocked`]
    Blocked,
}

impl InstanceStatus {
    /// Which variant this is.
    ///
    /// ```
    /// use workflow_model::{InstanceStatus, StatusKind};
    ///
    /// let status = InstanceStatus::Paused { reason: "maintenance".into() };
    /// assert_eq!(status.kind(), StatusKind::Paused);
    /// ```
    pub fn kind(&self) -> StatusKind {
        match self {
            Self::Running { .. } => StatusKind::Running,
            Self::Waiting { .. } => StatusKind::Waiting,
            Self::Completed => StatusKind::Completed,
            Self::Failed { .. } => StatusKind::Failed,
            Self::Cancelled { .. } => StatusKind::Cancelled,
            Self::Terminated { .. } => StatusKind::Terminated,
            Self::Paused { .. } => StatusKind::Paused,
            Self::Blocked { .. } => StatusKind::Blocked,
        }
    }

    /// Whether the instance has ended: it will never run again.
    ///
    /// ```
    /// use workflow_model::InstanceStatus;
    ///
    /// assert!(InstanceStatus::Completed.is_closed());
    /// assert!(!InstanceStatus::Running { point: None }.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Completed | Self::Failed { .. } | Self::Cancelled { .. } | Self::Terminated { .. } => true,
            Self::Running { .. } | Self::Waiting { .. } | Self::Paused { .. } | Self::Blocked { .. } => false,
        }
    }
}

impl fmt::Display for InstanceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running { point: None } => f.write_str("running"),
            Self::Running { point: Some(point) } => write!(f, "running after point `{point}`"),
            Self::Waiting { point, on } => write!(f, "waiting at point `{point}` for {on}"),
            Self::Completed => f.write_str("completed"),
            Self::Failed { error } => write!(f, "failed: {error}"),
            Self::Cancelled { reason } => write!(f, "cancelled: {reason}"),
            Self::Terminated { reason } => write!(f, "terminated: {reason}"),
            Self::Paused { reason } => write!(f, "paused: {reason}"),
            Self::Blocked { reason } => write!(f, "blocked: {reason}"),
        }
    }
}

/// Why an instance cannot go on. Its text says what happened and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockedReason {
    /// No node has a workflow of this name.
    UnknownWorkflow {
        /// The name that the instance was started with.
        name: String,
    },
    /// The code of the workflow has no durable point of this name.
    UnknownPoint {
        /// The name that is stored.
        point: String,
    },
    /// A stored variable is not a value of its type in the code.
    Undecodable {
        /// The name of the variable.
        variable: String,
        /// Why it cannot be decoded.
        error: String,
    },
    /// A variable or an operation's input cannot be stored.
    Unencodable {
        /// The name of the variable.
        variable: String,
        /// Why it cannot be encoded.
        error: String,
    },
    /// The code between two points panicked.
    Panicked {
        /// The message of the panic.
        message: String,
    },
    /// The process ended abnormally each time it executed this point.
    Poison {
        /// The name of the point.
        point: String,
        /// How often.
        crashes: u32,
    },
    /// A task used up its attempts and its strategy is to wait for help.
    TaskFailed {
        /// The name of the task.
        task: String,
        /// The error of its last attempt.
        error: String,
    },
}

impl fmt::Display for BlockedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownWorkflow { name } => write!(
                f,
                "no node knows the workflow `{name}`: deploy a node that registers it, or give the renamed workflow its \
                 old name"
            ),
            Self::UnknownPoint { point } => write!(
                f,
                "the workflow has no point `{point}` any more: deploy the code that has it, or name the point that \
                 replaced it `{point}`"
            ),
            Self::Undecodable { variable, error } => write!(
                f,
                "the stored variable `{variable}` does not fit its type: {error}: make the type accept it \
                 (`#[serde(default)]`, `#[serde(alias)]`); the next program that opens the store tries again"
            ),
            Self::Unencodable { variable, error } => write!(
                f,
                "`{variable}` cannot be stored: {error}: change its value or its type, then retry the instance"
            ),
            Self::Panicked { message } => write!(
                f,
                "the code after the last point panicked: {message}: fix the code, then retry the \
                 instance"
            ),
            Self::Poison { point, crashes } => write!(
                f,
                "the process ended {crashes} times while it executed point `{point}`: find the abort, the stack overflow \
                 or the memory that ran out, then retry the instance"
            ),
            Self::TaskFailed { task, error } => write!(
                f,
                "the task `{task}` has failed and has no attempts left: {error}: remove the cause, then retry it or give \
                 its result by hand"
            ),
        }
    }
}

/// What a list of instances shows of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSummary {
    /// The instance.
    pub id: InstanceId,
    /// The name of its workflow.
    pub workflow: String,
    /// Where it stands.
    pub status: InstanceStatus,
    /// When it was started, in milliseconds since the Unix epoch, by the store's clock.
    pub created_ms: u64,
    /// When it ended; `None` while it has not.
    pub closed_ms: Option<u64>,
    /// How many durable steps it has taken.
    pub steps: u64,
    /// The instance that it is a child of.
    #[serde(default)]
    pub parent: Option<InstanceId>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::codec;

    fn statuses() -> Vec<(InstanceStatus, bool, &'static str)> {
        let blocked = |reason| InstanceStatus::Blocked { reason };
        vec![
            (
                InstanceStatus::Running { point: None },
                false,
                r#"{"state":"running","point":null}"#,
            ),
            (
                InstanceStatus::Running {
                    point: Some("fetch".into()),
                },
                false,
                r#"{"state":"running","point":"fetch"}"#,
            ),
            (
                InstanceStatus::Waiting {
                    point: "approval".into(),
                    on: "signal Approval".into(),
                },
                false,
                r#"{"state":"waiting","point":"approval","on":"signal Approval"}"#,
            ),
            (InstanceStatus::Completed, true, r#"{"state":"completed"}"#),
            (
                InstanceStatus::Failed { error: "no".into() },
                true,
                r#"{"state":"failed","error":"no"}"#,
            ),
            (
                blocked(BlockedReason::UnknownWorkflow { name: "w".into() }),
                false,
                r#"{"state":"blocked","reason":{"kind":"unknown_workflow","name":"w"}}"#,
            ),
            (
                blocked(BlockedReason::UnknownPoint { point: "p".into() }),
                false,
                r#"{"state":"blocked","reason":{"kind":"unknown_point","point":"p"}}"#,
            ),
            (
                blocked(BlockedReason::Undecodable {
                    variable: "v".into(),
                    error: "e".into(),
                }),
                false,
                r#"{"state":"blocked","reason":{"kind":"undecodable","variable":"v","error":"e"}}"#,
            ),
            (
                blocked(BlockedReason::Panicked { message: "m".into() }),
                false,
                r#"{"state":"blocked","reason":{"kind":"panicked","message":"m"}}"#,
            ),
            (
                blocked(BlockedReason::Poison {
                    point: "p".into(),
                    crashes: 3,
                }),
                false,
                r#"{"state":"blocked","reason":{"kind":"poison","point":"p","crashes":3}}"#,
            ),
            (
                blocked(BlockedReason::TaskFailed {
                    task: "t".into(),
                    error: "e".into(),
                }),
                false,
                r#"{"state":"blocked","reason":{"kind":"task_failed","task":"t","error":"e"}}"#,
            ),
        ]
    }

    #[test]
    fn statuses_are_stored_and_shown() {
        for (status, is_closed, json) in statuses() {
            assert_eq!(status.is_closed(), is_closed, "{status}");
            assert_eq!(serde_json::to_string(&status).unwrap(), json);
            assert_eq!(serde_json::from_str::<InstanceStatus>(json).unwrap(), status);
            let summary = InstanceSummary {
                id: InstanceId::new("a").unwrap(),
                workflow: "w".into(),
                status,
                created_ms: 1,
                closed_ms: is_closed.then_some(2),
                steps: 3,
                parent: Some(InstanceId::new("p").unwrap()),
            };
            let bytes = codec::encode(&summary).unwrap();
            assert_eq!(codec::decode::<InstanceSummary>(&bytes).unwrap(), summary);
            let edited = codec::from_json(&codec::to_json(&bytes).unwrap()).unwrap();
            assert_eq!(codec::decode::<InstanceSummary>(&edited).unwrap(), summary);
        }
    }

    #[test]
    fn reasons_name_what_happened_and_what_to_do() {
        for (status, _, _) in statuses() {
            if let InstanceStatus::Blocked { reason } = &status {
                let text = reason.to_string();
                assert!(text.matches(": ").count() >= 1, "{text}");
                assert!(!text.ends_with('.') && !text.contains("  "), "{text}");
                assert_eq!(status.to_string(), format!("blocked: {text}"));
            }
        }
    }
}
