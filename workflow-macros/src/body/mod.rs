//! Compiles a workflow's body: desugar → blocks → check → lower → graph → liveness → expand. Every pass is a plain
//! function; only those up to `lower` report mistakes. An `async` block goes through the same passes, from `blocks` on.

mod blocks;
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

use self::blocks::{AsyncBlock, Owner};
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

/// A body that was checked, and the blocks that were taken out of it.
struct Checked {
    params: Vec<Param>,
    block: Block,
    /// The names that `#[point("..")]` gives.
    names: BTreeSet<String>,
    blocks: Vec<(AsyncBlock, Checked)>,
}

/// Reports the mistakes of a body whose function has a broken signature.
pub(crate) fn check(params: &[Param], block: &Block, diagnostics: &mut Diagnostics) {
    checked_workflow(params, block, diagnostics);
}

/// Compiles `block`; `None` when mistakes were reported.
pub(crate) fn compile(
    params: &[Param],
    output: &Type,
    block: &Block,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    let checked = checked_workflow(params, block, diagnostics);
    compile_checked(&checked, &expand::Form::Workflow { output }, diagnostics)
}

fn checked_workflow(params: &[Param], block: &Block, diagnostics: &mut Diagnostics) -> Checked {
    let mut block = block.clone();
    desugar::block(&mut block, diagnostics);
    checked(params.to_vec(), Owner::Workflow, block, diagnostics)
}

fn checked(params: Vec<Param>, owner: Owner, mut block: Block, diagnostics: &mut Diagnostics) -> Checked {
    let blocks = blocks::extract(&params, owner, &mut block, diagnostics);
    let names = check::body(&block, diagnostics);
    let inner = blocks.into_iter().map(|found| {
        let owner = if found.moves { Owner::Moves } else { Owner::Copies };
        let inner = checked(found.params(), owner, found.block.clone(), diagnostics);
        (found, inner)
    });
    let blocks = inner.collect();
    Checked {
        params,
        block,
        names,
        blocks,
    }
}

fn compile_checked(
    checked: &Checked,
    form: &expand::Form<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    let mut machines = Vec::new();
    for (block, inner) in &checked.blocks {
        let form = expand::Form::Block(block);
        machines.push(expand::Machine {
            block,
            step: compile_checked(inner, &form, diagnostics)?.step,
        });
    }
    let (body, graph, live) = analyze(&checked.params, &checked.block, &checked.names, diagnostics)?;
    Some(expand::expand(&body, &graph, &live, form, &machines))
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
