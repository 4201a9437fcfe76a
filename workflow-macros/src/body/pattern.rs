//! The names that a pattern binds.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{Ident, Pat, PatIdent};

/// One name bound by a pattern.
pub(crate) struct Bound {
    pub(crate) ident: Ident,
    pub(crate) mutable: bool,
}

/// An identifier pattern is a constant or a unit variant where it is written like one (`None`, `LIMIT`): a macro cannot
/// look names up, so it relies on the naming convention that rustc itself warns about.
pub(crate) fn is_constant(pat: &PatIdent) -> bool {
    pat.by_ref.is_none()
        && pat.mutability.is_none()
        && pat.subpat.is_none()
        && pat
            .ident
            .to_string()
            .chars()
            .next()
            .is_some_and(char::is_uppercase)
}

/// The names that `pat` binds, in order, each once (alternatives bind the same names).
pub(crate) fn bound(pat: &Pat) -> Vec<Bound> {
    struct Collector(Vec<Bound>);
    impl<'ast> Visit<'ast> for Collector {
        fn visit_pat_ident(&mut self, pat: &'ast PatIdent) {
            if !is_constant(pat) && !self.0.iter().any(|bound| bound.ident == pat.ident) {
                self.0.push(Bound {
                    ident: pat.ident.clone(),
                    mutable: pat.mutability.is_some(),
                });
            }
            visit::visit_pat_ident(self, pat);
        }
        fn visit_expr(&mut self, _: &'ast syn::Expr) {}
    }
    let mut collector = Collector(Vec::new());
    collector.visit_pat(pat);
    collector.0
}

/// The names that patterns anywhere inside of `expr` bind.
pub(crate) fn all_bound(expr: &syn::Expr) -> BTreeSet<String> {
    struct Collector(BTreeSet<String>);
    impl<'ast> Visit<'ast> for Collector {
        fn visit_pat_ident(&mut self, pat: &'ast PatIdent) {
            self.0.insert(super::text(&pat.ident));
            visit::visit_pat_ident(self, pat);
        }
    }
    let mut collector = Collector(BTreeSet::new());
    collector.visit_expr(expr);
    collector.0
}

/// Renames bound names in `pat`; `rename` gives the new name, or `None` to leave one alone.
pub(crate) fn rename(pat: &mut Pat, rename: &dyn Fn(&Ident) -> Option<Ident>) {
    struct Renamer<'a>(&'a dyn Fn(&Ident) -> Option<Ident>);
    impl VisitMut for Renamer<'_> {
        fn visit_field_pat_mut(&mut self, field: &mut syn::FieldPat) {
            if field.colon_token.is_none()
                && let Pat::Ident(ident) = &*field.pat
                && (self.0)(&ident.ident).is_some()
            {
                field.colon_token = Some(Default::default());
            }
            visit_mut::visit_field_pat_mut(self, field);
        }
        fn visit_pat_ident_mut(&mut self, pat: &mut PatIdent) {
            if !is_constant(pat)
                && let Some(new) = (self.0)(&pat.ident)
            {
                pat.ident = new;
            }
            visit_mut::visit_pat_ident_mut(self, pat);
        }
    }
    Renamer(rename).visit_pat_mut(pat);
}
