//! Refuses what cannot be compiled into a state machine, all mistakes at once, before anything is lowered.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Expr, Pat};

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
}

/// Checks where awaits stand in the body.
pub(crate) fn body(block: &Block, diagnostics: &mut Diagnostics) {
    Checker {
        diagnostics,
        place: Place::Body,
    }
    .visit_block(block);
}

impl Checker<'_> {
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
    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Await(inner) => {
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
            Some(macros::Known::List { args, eager, .. }) => {
                for (index, arg) in args.iter().enumerate() {
                    // The parsed arguments are a copy, which lives as long as this visit only.
                    let place = if index < eager {
                        self.place
                    } else {
                        Place::LazyMessage
                    };
                    let mut inner = Checker {
                        diagnostics: &mut *self.diagnostics,
                        place,
                    };
                    inner.visit_expr(arg);
                }
            }
            Some(macros::Known::Repeat { value, count }) => {
                let mut inner = Checker {
                    diagnostics: &mut *self.diagnostics,
                    place: self.place,
                };
                inner.visit_expr(&value);
                inner.visit_expr(&count);
            }
            Some(macros::Known::Matches { scrutinee, guard, .. }) => {
                let mut inner = Checker {
                    diagnostics: &mut *self.diagnostics,
                    place: self.place,
                };
                inner.visit_expr(&scrutinee);
                inner.place = Place::Guard;
                guard.iter().for_each(|guard| inner.visit_expr(guard));
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
