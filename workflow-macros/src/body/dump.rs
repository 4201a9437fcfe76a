//! A readable form of a body's states and what is live in them, for tests.

use std::fmt::Write;

use quote::ToTokens;
use syn::Block;

use super::blocks::Owner;
use super::graph::Graph;
use super::ir::{BindingId, Body, End, Node, SeqId, StateId, StateKind};
use super::liveness::Liveness;
use super::{Param, analyze, blocks, check};
use crate::diag::Diagnostics;

/// The stages of `block`; `None` when mistakes were reported.
pub(crate) fn dump(params: &[Param], block: &Block, diagnostics: &mut Diagnostics) -> Option<String> {
    let mut block = block.clone();
    blocks::extract(params, Owner::Workflow, &mut block, diagnostics);
    let names = check::body(&block, diagnostics);
    let (body, graph, live) = analyze(params, &block, &names, diagnostics)?;
    let mut dumper = Dumper {
        body: &body,
        graph: &graph,
        live: &live,
        text: String::new(),
    };
    for state in &graph.reachable {
        dumper.state(*state);
    }
    Some(dumper.text)
}

struct Dumper<'a> {
    body: &'a Body,
    graph: &'a Graph,
    live: &'a Liveness,
    text: String,
}

impl Dumper<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.text, "{}{text}", "    ".repeat(depth));
    }

    fn name(&self, id: StateId) -> String {
        match self.body.state(id).kind {
            StateKind::Start => "start".to_owned(),
            StateKind::Point(number) => format!("point {}", self.body.points[number].name),
            StateKind::Join => format!("join {}", id.0),
        }
    }

    fn names<'i>(&self, ids: impl IntoIterator<Item = &'i BindingId>) -> String {
        let names: Vec<String> = ids
            .into_iter()
            .map(|id| self.body.binding(*id).ident.to_string())
            .collect();
        names.join(", ")
    }

    fn state(&mut self, id: StateId) {
        let info = self.body.state(id);
        let inner = if self.graph.inner.contains(&id) {
            " inside"
        } else {
            ""
        };
        let value = info
            .value
            .map(|value| format!(" -> {}", self.names([&value])))
            .unwrap_or_default();
        let live = self.names(&self.live.live[id.0]);
        let deferred = self.names(self.live.deferred.get(&id).into_iter().flatten());
        let declares = if deferred.is_empty() {
            String::new()
        } else {
            format!(" declares {deferred}")
        };
        self.line(0, &format!("{}{inner}{value} [{live}]{declares}", self.name(id)));
        self.seq(info.body, 1);
    }

    fn seq(&mut self, id: SeqId, depth: usize) {
        let seq = self.body.seq(id);
        for node in &seq.nodes {
            match node {
                Node::Let { pat, init, .. } => {
                    let init = init
                        .as_ref()
                        .map(|init| format!(" = {}", code(init)))
                        .unwrap_or_default();
                    self.line(depth, &format!("let {}{init}", code(pat)));
                }
                Node::LetElse {
                    pat, init, otherwise, ..
                } => {
                    self.line(depth, &format!("let {} = {} else", code(pat), code(init)));
                    self.seq(*otherwise, depth + 1);
                }
                Node::Stmt { stmt, .. } => self.line(depth, &code(stmt)),
                Node::Leave { .. } => {}
            }
            for jump in node.jumps() {
                let value = jump
                    .value
                    .as_ref()
                    .map(|value| format!(" with {}", code(value)))
                    .unwrap_or_default();
                self.line(depth + 1, &format!("jump to {}{value}", self.name(jump.state)));
            }
        }
        match &seq.end {
            End::Diverges => self.line(depth, "diverges"),
            End::Goto { state, value, .. } => {
                let value = value
                    .as_ref()
                    .map(|value| format!(" with {}", code(value)))
                    .unwrap_or_default();
                self.line(depth, &format!("go to {}{value}", self.name(*state)));
            }
            End::Point { state, operation, .. } => {
                self.line(
                    depth,
                    &format!("await {} at {}", code(operation), self.name(*state)),
                );
            }
            End::Return { value, .. } => {
                let value = value
                    .as_ref()
                    .map(|value| format!(" {}", code(value)))
                    .unwrap_or_default();
                self.line(depth, &format!("return{value}"));
            }
            End::If {
                cond,
                then,
                otherwise,
                ..
            } => {
                self.line(depth, &format!("if {}", code(cond)));
                self.seq(*then, depth + 1);
                self.line(depth, "else");
                self.seq(*otherwise, depth + 1);
            }
            End::Match { scrutinee, arms, .. } => {
                self.line(depth, &format!("match {}", code(scrutinee)));
                for arm in arms {
                    let guard = arm
                        .guard
                        .as_ref()
                        .map(|guard| format!(" if {}", code(guard)))
                        .unwrap_or_default();
                    self.line(depth + 1, &format!("{}{guard} =>", code(&arm.pat)));
                    self.seq(arm.body, depth + 2);
                }
            }
        }
    }
}

/// Tokens with the usual spacing of short code.
fn code(node: &impl ToTokens) -> String {
    let mut text = node.to_token_stream().to_string();
    for (from, to) in [
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        (" ;", ";"),
        (" .", "."),
        (". ", "."),
        (" ?", "?"),
        (" :: ", "::"),
        (":: ", "::"),
        ("& ", "&"),
        (" !", "!"),
        (" [", "["),
        ("[ ", "["),
        (" ]", "]"),
    ] {
        text = text.replace(from, to);
    }
    text
}
