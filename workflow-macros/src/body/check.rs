//! Refuses what cannot be compiled into a state machine, all mistakes at once, before anything is lowered.

use std::collections::BTreeSet;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, Pat, Stmt};

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

struct Checker<'a> {
    diagnostics: &'a mut Diagnostics,
    place: Place,
    /// Awaits seen so far.
    awaits: usize,
    /// Names given by `#[point("..")]`.
    names: BTreeSet<String>,
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
        }
    }

    /// Visits code that exists only as a copy.
    fn copy(&mut self, place: Place, expr: &Expr) {
        let mut inner = Checker {
            place,
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
        visit(self);
        self.place = before;
    }

    fn refuse(&mut self, span: proc_macro2::Span) {
        let (code, message, fix) = match self.place {
            Place::Body => return,
            Place::Closure => (
                "W0010",
                "`.await` inside a closure is not part of the workflow: the closure may run at any time, any number of times, \
                 so the runtime cannot store where it is",
                "write a `for` loop in the workflow's own body, or move the closure's work into a #[task]",
            ),
            Place::AsyncBlock => (
                "W0011",
                "`.await` inside an async block is not part of the workflow: the block is a separate future, whose position \
                 the runtime cannot store",
                "await in the workflow's own body, or move the block's work into a #[task]",
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
