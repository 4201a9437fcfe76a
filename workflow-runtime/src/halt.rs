//! Why an instance's code stops although it is not at its end.

use std::sync::Mutex;

use workflow_model::BlockedReason;

use crate::store;

/// Why an instance's code stops although it is not at its end.
#[derive(Debug, Clone)]
#[doc(hidden)]
#[non_exhaustive]
pub enum Halt {
    /// It only described itself.
    Described,
    /// It was to start without an input.
    NoInput,
    /// The stored point is not in the code.
    NoSuchPoint,
    /// A stored value does not fit the code.
    Undecodable { variable: String, error: String },
    /// A value cannot be stored.
    Unencodable { variable: String, error: String },
    /// A task failed for good and its output type cannot say so.
    TaskFailed { task: String, error: String },
    /// The workflow's own code panicked.
    Panicked { message: String },
    /// The process died too often while this step was pending.
    Poisoned { point: String, crashes: u32 },
    /// It was asked to stop, and the pending await cannot tell its code.
    Cancelled { reason: String },
    /// It was ended from outside.
    Terminated { reason: String },
    /// It was paused from outside.
    Paused { reason: String },
    /// Its first batch was refused; the caller knows.
    NotStarted,
    /// It waits, and left the memory.
    Evicted,
    /// The id of a child is taken by another instance.
    IdTaken,
    /// The engine shuts down.
    Shutdown,
    /// Another engine has taken over.
    Fenced,
    /// A read failed.
    Store(store::Error),
}

impl Halt {
    pub(crate) fn undecodable(variable: &str, error: impl std::fmt::Display) -> Self {
        Halt::Undecodable {
            variable: variable.to_owned(),
            error: error.to_string(),
        }
    }

    #[doc(hidden)]
    pub fn described() -> Self {
        Halt::Described
    }

    #[doc(hidden)]
    pub fn no_input() -> Self {
        Halt::NoInput
    }

    #[doc(hidden)]
    pub fn no_such_point() -> Self {
        Halt::NoSuchPoint
    }

    #[doc(hidden)]
    pub fn no_such_item() -> Self {
        Halt::undecodable(
            "the position of a loop",
            "the collection that it runs over has fewer items",
        )
    }

    /// The reason to block the instance for; `None` when it is only to be left alone.
    pub(crate) fn blocks(self) -> Option<BlockedReason> {
        Some(match self {
            Halt::Undecodable { variable, error } => BlockedReason::Undecodable { variable, error },
            Halt::Unencodable { variable, error } => BlockedReason::Unencodable { variable, error },
            Halt::TaskFailed { task, error } => BlockedReason::TaskFailed { task, error },
            Halt::Poisoned { point, crashes } => BlockedReason::Poison { point, crashes },
            Halt::IdTaken => BlockedReason::TaskFailed {
                task: "start of a child workflow".to_owned(),
                error: "another instance has the child's id; give the child another one".to_owned(),
            },
            Halt::Panicked { message } => BlockedReason::Panicked { message },
            Halt::Store(store::Error::Corrupt(error)) => BlockedReason::Undecodable {
                variable: "a record".to_owned(),
                error,
            },
            Halt::NoInput => BlockedReason::Undecodable {
                variable: "the state".to_owned(),
                error: "the instance has no state in the store".to_owned(),
            },
            _ => return None,
        })
    }
}

/// Carries a [`Halt`] out of the generated code, which waits for ever behind it.
#[derive(Debug, Default)]
pub(crate) struct HaltSlot(Mutex<Option<Halt>>);

impl HaltSlot {
    pub(crate) fn set(&self, halt: Halt) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(halt);
    }

    pub(crate) fn take(&self) -> Option<Halt> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
    }
}
