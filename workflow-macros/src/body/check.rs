//! Refuses what cannot be compiled into a state machine, all mistakes at once, before anything is lowered.

use std::collections::BTreeSet;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, Label, Lifetime, Pat, Stmt};

use super::macros;
use crate::diag::Diagnostics;

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Body,
    Closure,
    AsyncBlock,
    Unsafe,
    Guard,
    LazyMessage,
    Const,
}

/// A loop or labelled block around the code being checked.
#[derive(Clone)]
struct Around {
    label: Option<String>,
    is_loop: bool,
    /// `loop` and labelled blocks have a value that `break` gives.
    has_value: bool,
}

struct Checker<'a> {
    diagnostics: &'a mut Diagnostics,
    place: Place,
    /// Awaits seen so far.
    awaits: usize,
    /// Names given by `#[point("..")]`.
    names: BTreeSet<String>,
    around: Vec<Around>,
}

/// Checks where awaits stand in the body; the answer holds the names that `#[point("..")]` gives.
pub(crate) fn body(block: &Block, diagnostics: &mut Diagnostics) -> BTreeSet<String> {
    let mut checker = Checker::new(diagnostics);
    checker.visit_block(block);
    checker.names
}

impl<'a> Checker<'a> {
    fn new(diagnostics: &'a mut Diagnostics) -> Self {
        Checker {
            diagnostics,
            place: Place::Body,
            awaits: 0,
            names: BTreeSet::new(),
            around: Vec::new(),
        }
    }

    /// Visits code that exists only as a copy.
    fn copy(&mut self, place: Place, expr: &Expr) {
        let mut inner = Checker {
            place,
            around: self.around.clone(),
            ..Checker::new(self.diagnostics)
        };
        inner.visit_expr(expr);
        self.awaits += inner.awaits;
    }

    /// Checks the `#[point("..")]` of a statement that holds `awaits` awaits.
    fn points(&mut self, attrs: &[Attribute], awaits: usize) {
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("point")) {
            let name = match attr.parse_args::<syn::LitStr>() {
                Ok(name) if !name.value().is_empty() => name,
                _ => {
                    self.diagnostics.error(
                        attr.path().span(),
                        "W0020",
                        "`#[point]` needs a name that is not empty",
                        "write `#[point(\"name\")]`",
                    );
                    continue;
                }
            };
            let value = name.value();
            match awaits {
                0 => self.diagnostics.error(
                    name.span(),
                    "W0021",
                    format!("`#[point(\"{value}\")]` stands on a statement without an `.await`"),
                    "remove the attribute, or move it to the statement that awaits",
                ),
                1 => {
                    if !self.names.insert(value.clone()) {
                        self.diagnostics.error(
                            name.span(),
                            "W0022",
                            format!("two points have the name `{value}`"),
                            "give each point a name of its own: stored instances find their line by it",
                        );
                    }
                }
                _ => self.diagnostics.error(
                    name.span(),
                    "W0023",
                    format!("`#[point(\"{value}\")]` stands on a statement with {awaits} awaits: it is not clear which one it names"),
                    "put each `.await` into a statement of its own, and the attribute on the one that it names",
                ),
            }
        }
    }

    fn within(&mut self, place: Place, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.place, place);
        // No jump leads out of a closure, an async block or a constant.
        let jumps = matches!(place, Place::Closure | Place::AsyncBlock | Place::Const);
        let around = if jumps {
            std::mem::take(&mut self.around)
        } else {
            self.around.clone()
        };
        visit(self);
        self.around = around;
        self.place = before;
    }

    fn inside(
        &mut self,
        label: Option<&Label>,
        is_loop: bool,
        has_value: bool,
        visit: impl FnOnce(&mut Self),
    ) {
        let label = label.map(|label| label.name.ident.to_string());
        self.around.push(Around {
            label,
            is_loop,
            has_value,
        });
        visit(self);
        self.around.pop();
    }

    /// Checks a jump: its label names something around it, and `continue` and a plain `break` have a loop.
    fn jump(&mut self, keyword: &str, token: Span, label: Option<&Lifetime>, value: Option<&Expr>) {
        let found = match label {
            Some(label) => {
                let name = label.ident.to_string();
                let found = self
                    .around
                    .iter()
                    .rev()
                    .find(|around| around.label.as_ref() == Some(&name));
                if found.is_none() {
                    let labels: Vec<String> = self
                        .around
                        .iter()
                        .filter_map(|around| around.label.as_ref())
                        .map(|name| format!("`'{name}`"))
                        .collect();
                    let fix = match labels.len() {
                        0 => "no loop or block around it has a label".to_owned(),
                        _ => format!("labels around it: {}", labels.join(", ")),
                    };
                    let message = format!("no loop or block around this `{keyword}` has the label `'{name}`");
                    return self.diagnostics.error(label.span(), "W0019", message, &fix);
                }
                found
            }
            None => self.around.iter().rev().find(|around| around.is_loop),
        };
        let Some(found) = found else {
            return self.diagnostics.error(
                token,
                "W0019",
                format!("`{keyword}` outside of a loop"),
                "leave the workflow, or the `async` block, with `return`; or name the block to leave with a label (`break 'label`)",
            );
        };
        if keyword == "continue" && !found.is_loop {
            return self.diagnostics.error(
                label.map_or(token, Lifetime::span),
                "W0019",
                "`continue` leads to a block: only a loop has a next round",
                "leave the block with `break 'label`",
            );
        }
        if let Some(value) = value.filter(|_| !found.has_value) {
            self.diagnostics.error(
                value.span(),
                "W0019",
                "`break` with a value out of a `for` or `while` loop, which has none",
                "assign the value to a variable before the `break`, or write the loop as `loop`",
            );
        }
    }

    fn refuse(&mut self, span: Span) {
        let (code, message, fix) = match self.place {
            Place::Body => return,
            Place::Closure => (
                "W0010",
                "`.await` inside a closure is not part of the workflow: the closure may run at any time, any number of times, \
                 so the runtime cannot store where it is",
                "write a `for` loop in the workflow's own body, or let the closure give a block for `join_all` \
                 (`|item| async move { .. }`)",
            ),
            Place::AsyncBlock => (
                "W0011",
                "`.await` inside an async closure with a written output type: it cannot be made a branch that the runtime could \
                 store",
                "leave out the closure's output type, or write `|item| async move { .. }`",
            ),
            Place::Unsafe => (
                "W0014",
                "`.await` inside an unsafe block: what the block promises cannot survive a crash and a resume",
                "close the unsafe block before the await, or move it into a #[task]",
            ),
            Place::Guard => (
                "W0013",
                "`.await` inside the guard of a match arm: the guard may run several times while the patterns are tried",
                "await before the `match` and compare with the result in the guard",
            ),
            Place::LazyMessage => (
                "W0015",
                "`.await` inside the message of an assertion: the message is evaluated only on failure",
                "await before the assertion and pass the result to it",
            ),
            Place::Const => (
                "W0016",
                "`.await` inside a const block: constants are evaluated by the compiler",
                "await outside of the const block",
            ),
        };
        self.diagnostics.error(span, code, message, fix);
    }
}

impl<'ast> Visit<'ast> for Checker<'_> {
    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        let before = self.awaits;
        visit::visit_stmt(self, stmt);
        let awaits = self.awaits - before;
        match stmt {
            Stmt::Local(local) => self.points(&local.attrs, awaits),
            Stmt::Macro(stmt) => self.points(&stmt.attrs, awaits),
            Stmt::Expr(expr, _) => {
                let mut expr = expr.clone();
                if let Some(attrs) = super::expression_attributes(&mut expr) {
                    self.points(attrs, awaits);
                }
            }
            Stmt::Item(_) => {}
        }
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Loop(inner) => {
                self.inside(inner.label.as_ref(), true, true, |this| {
                    this.visit_block(&inner.body)
                });
            }
            Expr::While(inner) => {
                // A jump in the condition leads to the loop itself.
                self.inside(inner.label.as_ref(), true, false, |this| {
                    this.visit_expr(&inner.cond);
                    this.visit_block(&inner.body);
                });
            }
            Expr::ForLoop(inner) => {
                self.visit_pat(&inner.pat);
                self.visit_expr(&inner.expr);
                self.inside(inner.label.as_ref(), true, false, |this| {
                    this.visit_block(&inner.body)
                });
            }
            Expr::Block(inner) if inner.label.is_some() => {
                self.inside(inner.label.as_ref(), false, true, |this| {
                    this.visit_block(&inner.block)
                });
            }
            Expr::Break(inner) => {
                self.jump(
                    "break",
                    inner.break_token.span,
                    inner.label.as_ref(),
                    inner.expr.as_deref(),
                );
                inner.expr.iter().for_each(|value| self.visit_expr(value));
            }
            Expr::Continue(inner) => {
                self.jump("continue", inner.continue_token.span, inner.label.as_ref(), None);
            }
            Expr::Await(inner) => {
                self.awaits += 1;
                self.refuse(inner.await_token.span);
                self.visit_expr(&inner.base);
            }
            Expr::Closure(closure) if closure.asyncness.is_some() => {
                self.within(Place::AsyncBlock, |this| this.visit_expr(&closure.body));
            }
            Expr::Closure(closure) => self.within(Place::Closure, |this| this.visit_expr(&closure.body)),
            Expr::Async(inner) => self.within(Place::AsyncBlock, |this| this.visit_block(&inner.block)),
            Expr::Unsafe(inner) => self.within(Place::Unsafe, |this| this.visit_block(&inner.block)),
            Expr::Const(inner) => self.within(Place::Const, |this| this.visit_block(&inner.block)),
            Expr::Yield(inner) => self.diagnostics.error(
                inner.span(),
                "W0017",
                "`yield` is not part of the workflow language",
                "collect the values and return them",
            ),
            Expr::TryBlock(inner) => self.diagnostics.error(
                inner.span(),
                "W0018",
                "`try` blocks are not part of the workflow language",
                "move the block into a function of its own, or match on each result",
            ),
            _ => visit::visit_expr(self, expr),
        }
    }

    fn visit_pat(&mut self, pat: &'ast Pat) {
        if let Pat::Guard(guard) = pat {
            self.within(Place::Guard, |this| this.visit_expr(&guard.guard));
            self.visit_pat(&guard.pat);
        } else {
            visit::visit_pat(self, pat);
        }
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        match macros::parse(mac) {
            // The parsed arguments are a copy, which lives as long as this visit only.
            Some(macros::Known::List { args, eager, .. }) => {
                for (index, arg) in args.iter().enumerate() {
                    let place = if index < eager {
                        self.place
                    } else {
                        Place::LazyMessage
                    };
                    self.copy(place, arg);
                }
            }
            Some(macros::Known::Repeat { value, count }) => {
                self.copy(self.place, &value);
                self.copy(self.place, &count);
            }
            Some(macros::Known::Matches { scrutinee, guard, .. }) => {
                self.copy(self.place, &scrutinee);
                guard.iter().for_each(|guard| self.copy(Place::Guard, guard));
            }
            None => {
                if let Some(span) = macros::await_token(&mac.tokens) {
                    let name = mac
                        .path
                        .segments
                        .last()
                        .map(|last| last.ident.to_string())
                        .unwrap_or_default();
                    self.diagnostics.error(
                        span,
                        "W0012",
                        format!(
                            "`.await` inside the macro `{name}!`: #[workflow] runs before that macro and cannot see what \
                             it makes of the await"
                        ),
                        "await into a variable first and pass the variable to the macro",
                    );
                }
            }
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}
