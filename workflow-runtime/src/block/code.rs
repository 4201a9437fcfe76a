//! Finds the code of a block by the block's type.
//!
//! Generated code names each block by a type. When a workflow describes itself, which it does before an engine runs it,
//! it puts the code of each of its blocks into the static slot of the block's type. The code is a function pointer, so it
//! holds nothing but what the block's captures give it.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::{Block, Captures};
use crate::context::WorkflowContext;

/// The code of a block: runs one stage, and gives the output at the block's end. The first argument tells the types of the
/// captures.
type Machine<C, T> = fn(PhantomData<C>, &mut WorkflowContext) -> Option<T>;

/// Where the code of a block is kept.
#[derive(Debug, Default)]
pub struct CodeSlot(OnceLock<Box<dyn Any + Send + Sync>>);

impl CodeSlot {
    /// A slot without code.
    pub const fn new() -> Self {
        CodeSlot(OnceLock::new())
    }
}

/// A type that names a block.
pub trait BlockCode: 'static {
    /// Where the block's code is kept.
    fn slot() -> &'static CodeSlot;
}

/// Ties the types of a block's captures and output to the places that know them.
pub struct Code<M, C, T>(Types<M, C, T>);

type Types<M, C, T> = PhantomData<fn() -> (M, C, T)>;

impl<M, C, T> Clone for Code<M, C, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, C, T> Copy for Code<M, C, T> {}

impl<M, C, T> fmt::Debug for Code<M, C, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Code").finish_non_exhaustive()
    }
}

impl<M: BlockCode, C: 'static, T: 'static> Code<M, C, T> {
    /// Types that are not known yet.
    #[expect(clippy::new_without_default, reason = "called by generated code only")]
    pub fn new() -> Self {
        Code(PhantomData)
    }

    /// The block with these captures.
    pub fn block(self, captures: Captures<C>) -> Block<M, C, T> {
        Block {
            captures,
            code: PhantomData,
        }
    }

    /// Keeps the block's code.
    pub fn set(self, code: Machine<C, T>) {
        // What is there already is the same function.
        let _ = M::slot().0.set(Box::new(code));
    }
}

/// The code of a block.
pub(super) fn find<M: BlockCode, C: 'static, T: 'static>() -> Option<Machine<C, T>> {
    M::slot().0.get()?.downcast_ref::<Machine<C, T>>().copied()
}
