//! Replaces the jumps out of a loop that stays as it was written.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Lifetime, parse_quote};

use super::super::ir::StateId;
use super::Dest;

/// The target of a label: where `break` and `continue` go.
pub(super) type To = (Dest, Option<StateId>);

pub(super) struct Found {
    pub(super) to: To,
    pub(super) continues: bool,
    pub(super) value: Option<Expr>,
}

/// Replaces each labelled jump that `find` knows by `__jump!(n)`; the second answer holds jumps to unknown labels.
pub(super) fn replace(expr: &mut Expr, find: impl FnMut(&Lifetime) -> Option<To>) -> (Vec<Found>, Vec<Span>) {
    let mut replacer = Replacer {
        find,
        inner: Vec::new(),
        found: Vec::new(),
        unknown: Vec::new(),
    };
    replacer.visit_expr_mut(expr);
    (replacer.found, replacer.unknown)
}

struct Replacer<F> {
    find: F,
    /// Labels that the code declares itself.
    inner: Vec<String>,
    found: Vec<Found>,
    unknown: Vec<Span>,
}

impl<F: FnMut(&Lifetime) -> Option<To>> VisitMut for Replacer<F> {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        let label = match expr {
            Expr::Loop(inner) => inner.label.as_ref(),
            Expr::While(inner) => inner.label.as_ref(),
            Expr::ForLoop(inner) => inner.label.as_ref(),
            Expr::Block(inner) => inner.label.as_ref(),
            Expr::Closure(_) | Expr::Async(_) => return,
            _ => None,
        };
        let mark = self.inner.len();
        self.inner.extend(label.map(|label| label.name.ident.to_string()));
        visit_mut::visit_expr_mut(self, expr);
        self.inner.truncate(mark);
        let (label, continues, value) = match expr {
            Expr::Break(jump) => (jump.label.clone(), false, jump.expr.take()),
            Expr::Continue(jump) => (jump.label.clone(), true, None),
            _ => return,
        };
        let outer = label.filter(|label| !self.inner.contains(&label.ident.to_string()));
        let Some(label) = outer else {
            if let Expr::Break(jump) = expr {
                jump.expr = value;
            }
            return;
        };
        let span = expr.span();
        match (self.find)(&label) {
            Some(to) => {
                let number = syn::LitInt::new(&self.found.len().to_string(), span);
                self.found.push(Found {
                    to,
                    continues,
                    value: value.map(|value| *value),
                });
                *expr = parse_quote!(__jump!(#number));
            }
            None => self.unknown.push(span),
        }
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}
