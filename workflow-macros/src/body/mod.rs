//! Compiles a workflow's body: desugar → check → lower → graph → liveness → expand. Every pass is a plain function; only `check` and
//! `lower` report mistakes.

mod check;
mod desugar;
#[cfg(test)]
mod dump;
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

use self::graph::Graph;
use self::ir::Body;
use self::liveness::Liveness;
use crate::diag::Diagnostics;

#[cfg(test)]
pub(crate) use dump::dump;
pub(crate) use flow::text;
pub(crate) use lower::{Param, expression_attributes};

/// A compiled body.
pub(crate) struct Compiled {
    /// The names of the durable points; a point's number is its index.
    pub(crate) points: Vec<String>,
    /// The statements of the `step` function.
    pub(crate) step: TokenStream,
}

/// Reports the mistakes of a body whose function has a broken signature.
pub(crate) fn check(block: &Block, diagnostics: &mut Diagnostics) {
    let mut block = block.clone();
    desugar::block(&mut block, diagnostics);
    check::body(&block, diagnostics);
}

/// Compiles `block`; `None` when mistakes were reported.
pub(crate) fn compile(
    params: &[Param],
    output: &Type,
    block: &Block,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    let mut block = block.clone();
    desugar::block(&mut block, diagnostics);
    let block = &block;
    let names = check::body(block, diagnostics);
    let (body, graph, live) = analyze(params, block, &names, diagnostics)?;
    Some(expand::expand(&body, &graph, &live, output))
}

/// Everything between `check` and `expand`.
fn analyze(
    params: &[Param],
    block: &Block,
    names: &BTreeSet<String>,
    diagnostics: &mut Diagnostics,
) -> Option<(Body, Graph, Liveness)> {
    if !diagnostics.is_empty() {
        return None;
    }
    // A name that shadows a variable which is still live can be told only after lowering: such names are collected and
    // the body is lowered again with names of their own for them.
    let mut revisions = lower::Revisions::default();
    loop {
        let mut body = lower::lower(params, block, names, &revisions, diagnostics);
        if !diagnostics.is_empty() {
            return None;
        }
        let graph = graph::analyze(&body);
        let live = liveness::analyze(&mut body, &graph);
        let before = revisions.clone();
        revisions.renamed.extend(live.conflicts.iter().copied());
        revisions.apart.extend(live.apart.iter().cloned());
        if revisions == before {
            return Some((body, graph, live));
        }
    }
}
