//! Gives a variable another name where it shadows one that is still needed afterwards.
//!
//! The machine carries live variables from state to state by name, so two of the same name must not be live at once.
//! Everything in the inner variable's scope that says the name means the inner variable, so renaming every mention in
//! that scope, further shadowing included, keeps the meaning.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, FieldValue, Macro, Member, Pat};

use super::{flow, macros, pattern};

struct Renamer<'a> {
    from: &'a str,
    to: &'a str,
}

/// Renames every mention and every new binding of `from` inside `node`.
pub(crate) fn expr(node: &mut Expr, from: &str, to: &str) {
    Renamer { from, to }.visit_expr_mut(node);
}

/// As [`expr`], for a block.
pub(crate) fn block(node: &mut syn::Block, from: &str, to: &str) {
    Renamer { from, to }.visit_block_mut(node);
}

/// As [`expr`], for statements.
pub(crate) fn stmts(nodes: &mut [syn::Stmt], from: &str, to: &str) {
    for node in nodes {
        Renamer { from, to }.visit_stmt_mut(node);
    }
}

/// Renames the bindings of `from` in a pattern.
pub(crate) fn pat(node: &mut Pat, from: &str, to: &str) {
    let renamer = Renamer { from, to };
    pattern::rename(node, &|ident| renamer.renamed(ident));
}

impl Renamer<'_> {
    fn renamed(&self, ident: &Ident) -> Option<Ident> {
        (flow::text(ident) == self.from).then(|| Ident::new(self.to, ident.span()))
    }

    fn tokens(&self, tokens: TokenStream) -> TokenStream {
        let mut after_dot = false;
        let mut tokens = tokens.into_iter().peekable();
        std::iter::from_fn(|| Some((tokens.next()?, tokens.peek().cloned())))
            .map(|(token, next)| {
                // `name: value` names a field, `name::other` a module.
                let names_field = matches!(&next, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
                let dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.' && !after_dot);
                let token = match token {
                    TokenTree::Ident(ident) if !after_dot && !names_field => {
                        TokenTree::Ident(self.renamed(&ident).unwrap_or(ident))
                    }
                    TokenTree::Group(group) => {
                        let mut renamed = Group::new(group.delimiter(), self.tokens(group.stream()));
                        renamed.set_span(group.span());
                        TokenTree::Group(renamed)
                    }
                    other => other,
                };
                after_dot = dot;
                token
            })
            .collect()
    }

    /// Adds `name = renamed` where a format string, which stands at the span, captures the name.
    fn capture(&self, captured: Option<Span>, tokens: TokenStream) -> TokenStream {
        let Some(span) = captured else { return tokens };
        let (from, to) = (Ident::new(self.from, span), Ident::new(self.to, span));
        let comma = match tokens.clone().into_iter().last() {
            Some(TokenTree::Punct(punct)) if punct.as_char() == ',' => TokenStream::new(),
            _ => quote!(,),
        };
        quote!(#tokens #comma #from = #to)
    }
}

impl VisitMut for Renamer<'_> {
    fn visit_expr_path_mut(&mut self, path: &mut syn::ExprPath) {
        if path.qself.is_none()
            && let Some(new) = path.path.get_ident().and_then(|ident| self.renamed(ident))
        {
            path.path = new.into();
        }
    }

    fn visit_field_value_mut(&mut self, field: &mut FieldValue) {
        if field.colon_token.is_none()
            && let Member::Named(name) = &field.member
            && self.renamed(name).is_some()
        {
            field.colon_token = Some(Default::default());
        }
        self.visit_expr_mut(&mut field.expr);
    }

    fn visit_pat_mut(&mut self, node: &mut Pat) {
        // First: of `Pt { x }` the field keeps its name.
        pat(node, self.from, self.to);
        visit_mut::visit_pat_mut(self, node);
    }

    fn visit_macro_mut(&mut self, mac: &mut Macro) {
        let original = mac.tokens.clone();
        mac.tokens = match macros::parse(mac) {
            Some(macros::Known::List { mut args, format, .. }) => {
                let captured = format.filter(|format| {
                    macros::captured(&args, *format)
                        .iter()
                        .any(|name| name == self.from)
                });
                let captured = captured
                    .and_then(|format| args.iter().nth(format))
                    .map(Spanned::span);
                for arg in &mut args {
                    match arg {
                        Expr::Assign(named) if format.is_some() => self.visit_expr_mut(&mut named.right),
                        arg => self.visit_expr_mut(arg),
                    }
                }
                self.capture(captured, args.into_token_stream())
            }
            Some(macros::Known::Repeat { mut value, mut count }) => {
                self.visit_expr_mut(&mut value);
                self.visit_expr_mut(&mut count);
                quote!(#value; #count)
            }
            Some(macros::Known::Matches {
                mut scrutinee,
                mut pat,
                guard,
                ..
            }) => {
                self.visit_expr_mut(&mut scrutinee);
                self.visit_pat_mut(&mut pat);
                let guard = guard.map(|mut guard| {
                    self.visit_expr_mut(&mut guard);
                    quote!(if #guard)
                });
                quote!(#scrutinee, #pat #guard)
            }
            None => {
                let renamed = self.tokens(original.clone());
                let mut captured = None;
                for token in original {
                    if let TokenTree::Literal(literal) = token {
                        macros::captures(&literal.to_string(), &mut |name| {
                            if name == self.from {
                                captured = Some(literal.span());
                            }
                        });
                    }
                }
                self.capture(captured, renamed)
            }
        };
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}
