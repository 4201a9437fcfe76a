//! Compiles a workflow's body: check → lower → graph → liveness → expand. Every pass is a plain function; only `check` and
//! `lower` report mistakes.

mod check;
mod expand;
mod flow;
mod graph;
mod ir;
mod liveness;
mod lower;
mod macros;
mod needs;
mod pattern;
mod rename;

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use syn::{Block, Type};

use crate::diag::Diagnostics;

pub(crate) use flow::text;
pub(crate) use lower::Param;

/// A compiled body.
pub(crate) struct Compiled {
    /// The names of the durable points; a point's number is its index.
    pub(crate) points: Vec<String>,
    /// The statements of the `run` function.
    pub(crate) run: TokenStream,
}

/// Compiles `block`; `None` when mistakes were reported.
pub(crate) fn compile(
    params: &[Param],
    output: &Type,
    block: &Block,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    check::body(block, diagnostics);
    if !diagnostics.is_empty() {
        return None;
    }
    // A name that shadows a variable which is still live can be told only after lowering: such names are collected and
    // the body is lowered again with names of their own for them.
    let mut renamed = BTreeSet::new();
    loop {
        let mut body = lower::lower(params, block, &renamed, diagnostics);
        if !diagnostics.is_empty() {
            return None;
        }
        let graph = graph::analyze(&body);
        let live = liveness::analyze(&mut body, &graph);
        let before = renamed.len();
        renamed.extend(live.conflicts.iter().copied());
        if renamed.len() == before {
            return Some(expand::expand(&body, &graph, &live, output));
        }
    }
}
