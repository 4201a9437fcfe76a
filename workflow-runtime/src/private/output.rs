//! Tells `Result` outputs from others where only the compiler knows the type.
//!
//! Generated code calls a method on a reference to a probe, `(&&&Output(value)).__failure()`; method resolution tries the
//! implementation for most references first, which is the most specific one.

use std::fmt::Display;
use std::marker::PhantomData;

use crate::{ChildFailure, TaskFailure};

/// A task's or workflow's output under examination.
#[derive(Debug)]
pub struct Output<'a, T>(pub &'a T);

/// Found for `Result` outputs.
pub trait ResultOutput {
    /// The error's message, if this is an error.
    fn __failure(&self) -> Option<String>;
}

impl<T, E: Display> ResultOutput for &&Output<'_, Result<T, E>> {
    fn __failure(&self) -> Option<String> {
        self.0.as_ref().err().map(ToString::to_string)
    }
}

/// Found for `Result` outputs whose error has no `Display`.
pub trait OpaqueOutput {
    /// A general message, if this is an error.
    fn __failure(&self) -> Option<String>;
}

impl<T, E> OpaqueOutput for &Output<'_, Result<T, E>> {
    fn __failure(&self) -> Option<String> {
        self.0
            .as_ref()
            .err()
            .map(|_| format!("an error of type `{}`", std::any::type_name::<E>()))
    }
}

/// Found for every other output: it is no failure.
pub trait AnyOutput {
    /// Always `None`.
    fn __failure(&self) -> Option<String>;
}

impl<T> AnyOutput for Output<'_, T> {
    fn __failure(&self) -> Option<String> {
        None
    }
}

/// An output whose errors `retry(when = ..)` and `retry(never = ..)` can look at.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no error to look at",
    label = "`when` and `never` look at the error of a `Result`",
    note = "let the task give a `Result<_, E>`, or leave `when` and `never` out of `retry(..)`"
)]
pub trait Fallible {
    /// The error's type.
    type Error;
    /// The error, if this is one.
    fn error(&self) -> Option<&Self::Error>;
}

#[diagnostic::do_not_recommend]
impl<T, E> Fallible for Result<T, E> {
    type Error = E;

    fn error(&self) -> Option<&E> {
        self.as_ref().err()
    }
}

/// Whether a failed output is worth another attempt.
pub fn retryable<O: Fallible>(output: &O, check: impl Fn(&O::Error) -> bool) -> bool {
    output.error().is_none_or(check)
}

/// Stands for an output type that a failure may be turned into.
#[derive(Debug)]
pub struct Fails<T>(PhantomData<T>);

impl<T> Fails<T> {
    /// A probe for `T`.
    #[expect(clippy::new_without_default, reason = "called by generated code only")]
    pub fn new() -> Self {
        Fails(PhantomData)
    }
}

/// Found for `Result` outputs whose error can hold a [`TaskFailure`].
pub trait ErrorFailure {
    /// The output type.
    type Output;
    /// The failure as an `Err` output.
    fn __from_failure(&self, failure: TaskFailure) -> Result<Self::Output, TaskFailure>;
}

impl<T, E: From<TaskFailure>> ErrorFailure for Fails<Result<T, E>> {
    type Output = Result<T, E>;
    fn __from_failure(&self, failure: TaskFailure) -> Result<Self::Output, TaskFailure> {
        Ok(Err(E::from(failure)))
    }
}

/// Found for every other output: the failure is given back.
pub trait AnyFailure {
    /// The output type.
    type Output;
    /// Always the failure.
    fn __from_failure(&self, failure: TaskFailure) -> Result<Self::Output, TaskFailure>;
}

impl<T> AnyFailure for &Fails<T> {
    type Output = T;
    fn __from_failure(&self, failure: TaskFailure) -> Result<Self::Output, TaskFailure> {
        Err(failure)
    }
}

/// Found for `Result` outputs whose error can hold a [`ChildFailure`].
pub trait ErrorChildFailure {
    /// The output type.
    type Output;
    /// The failure as an `Err` output.
    fn __from_child_failure(&self, failure: ChildFailure) -> Result<Self::Output, ChildFailure>;
}

impl<T, E: From<ChildFailure>> ErrorChildFailure for Fails<Result<T, E>> {
    type Output = Result<T, E>;
    fn __from_child_failure(&self, failure: ChildFailure) -> Result<Self::Output, ChildFailure> {
        Ok(Err(E::from(failure)))
    }
}

/// Found for every other output: the failure is given back.
pub trait AnyChildFailure {
    /// The output type.
    type Output;
    /// Always the failure.
    fn __from_child_failure(&self, failure: ChildFailure) -> Result<Self::Output, ChildFailure>;
}

impl<T> AnyChildFailure for &Fails<T> {
    type Output = T;
    fn __from_child_failure(&self, failure: ChildFailure) -> Result<Self::Output, ChildFailure> {
        Err(failure)
    }
}
