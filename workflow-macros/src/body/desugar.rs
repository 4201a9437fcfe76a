//! Rewrites `join!`, `try_join!` and `select!` into operations that are awaited, and `publish!` into a call of the
//! context, before anything else looks at the body.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, LitStr, Macro, Pat, Stmt, Token, parse_quote_spanned};

use super::macros;
use crate::attributes;
use crate::diag::Diagnostics;

/// The variants of the runtime's `Either` types.
const VARIANTS: [&str; 8] = ["A", "B", "C", "D", "F", "G", "H", "I"];

/// Rewrites every concurrency macro in `block`.
pub(super) fn block(block: &mut Block, diagnostics: &mut Diagnostics) {
    Desugar { diagnostics }.visit_block_mut(block);
}

struct Desugar<'a> {
    diagnostics: &'a mut Diagnostics,
}

impl VisitMut for Desugar<'_> {
    fn visit_stmt_mut(&mut self, stmt: &mut Stmt) {
        if let Stmt::Macro(found) = stmt
            && let Some(expr) = self.rewrite(&found.mac)
        {
            *stmt = Stmt::Expr(expr, found.semi_token);
        }
        visit_mut::visit_stmt_mut(self, stmt);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        if let Expr::Macro(found) = expr
            && let Some(rewritten) = self.rewrite(&found.mac)
        {
            *expr = rewritten;
        }
        visit_mut::visit_expr_mut(self, expr);
    }

    fn visit_macro_mut(&mut self, mac: &mut Macro) {
        if holds_macro(&mac.tokens) {
            macros::rewrite(mac, &mut |expr| self.visit_expr_mut(expr));
        }
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}

/// Whether there may be a macro among a macro's arguments.
fn holds_macro(tokens: &TokenStream) -> bool {
    let mut before = false;
    tokens.clone().into_iter().any(|token| {
        let found = match &token {
            TokenTree::Punct(punct) => before && punct.as_char() == '!',
            TokenTree::Group(group) => holds_macro(&group.stream()),
            _ => false,
        };
        before = matches!(&token, TokenTree::Ident(_));
        found
    })
}

impl Desugar<'_> {
    fn rewrite(&mut self, mac: &Macro) -> Option<Expr> {
        let name = mac.path.segments.last()?.ident.to_string();
        let span = mac.path.span();
        let rewritten = match name.as_str() {
            "join" | "try_join" => {
                let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
                parser.parse2(mac.tokens.clone()).map(|operations| {
                    let operations: Vec<Expr> = operations.into_iter().collect();
                    self.awaited(&name, &operations, span)
                })
            }
            "select" => mac.parse_body::<Arms>().map(|arms| {
                let operations: Vec<Expr> = arms.0.iter().map(|arm| arm.operation.clone()).collect();
                let awaited = self.awaited(&name, &operations, span);
                let either = syn::Ident::new(
                    &format!("Either{}", operations.len()),
                    span.resolved_at(Span::mixed_site()),
                );
                let arms = arms.0.iter().zip(VARIANTS).map(|(arm, variant)| {
                    let (pat, body) = (&arm.pat, &arm.body);
                    let variant = syn::Ident::new(variant, Span::mixed_site());
                    quote_spanned!(span=> ::workflow_runtime::#either::#variant(#pat) => #body,)
                });
                parse_quote_spanned!(span=> match #awaited { #(#arms)* })
            }),
            "publish" => mac
                .parse_body::<Published>()
                .map(|published| self.published(&published, span)),
            _ => return None,
        };
        match rewritten {
            Ok(expr) => Some(expr),
            Err(error) if name == "publish" => {
                self.diagnostics.error(
                    error.span(),
                    "W0035",
                    format!("this `publish!` cannot be read: {error}"),
                    "write `publish!(\"name\", value)`, or `publish!(variable)` to publish it under its own name",
                );
                Some(parse_quote_spanned!(span=> ()))
            }
            Err(error) => {
                let fix = match name.as_str() {
                    "select" => "write `pattern = operation => expression,` for each branch",
                    _ => "write the operations, separated by commas, without `.await`",
                };
                self.diagnostics.error(
                    error.span(),
                    "W0031",
                    format!("this `{name}!` cannot be read: {error}"),
                    fix,
                );
                Some(parse_quote_spanned!(span=> ::core::unreachable!()))
            }
        }
    }

    fn published(&mut self, published: &Published, span: Span) -> Expr {
        let Published { name, value } = published;
        attributes::is_name(name, self.diagnostics);
        let context = syn::Ident::new("__context", Span::mixed_site());
        let value = quote_spanned!(value.span()=> &(#value));
        parse_quote_spanned!(span=> ::workflow_runtime::__private::publish(#context, #name, #value))
    }

    fn awaited(&mut self, name: &str, operations: &[Expr], span: Span) -> Expr {
        if !(2..=VARIANTS.len()).contains(&operations.len()) {
            self.diagnostics.error(
                span,
                "W0032",
                format!(
                    "`{name}!` takes 2 to {} operations, not {}",
                    VARIANTS.len(),
                    operations.len()
                ),
                "await a single operation by itself, and many of one type with `join_all(operations).await`",
            );
        }
        for operation in operations {
            if let Expr::Await(inner) = operation {
                self.diagnostics.error(
                    inner.await_token.span,
                    "W0033",
                    format!("`{name}!` awaits its operations itself"),
                    "remove this `.await`",
                );
            }
        }
        let make = syn::Ident::new(name, span.resolved_at(Span::mixed_site()));
        parse_quote_spanned!(span=> ::workflow_runtime::__private::#make((#(#operations,)*)).await)
    }
}

/// `"name", value` or `variable`.
struct Published {
    name: LitStr,
    value: Expr,
}

impl Parse for Published {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let published = if input.peek(LitStr) {
            let name = input.parse()?;
            input.parse::<Token![,]>()?;
            Published {
                name,
                value: input.parse()?,
            }
        } else {
            let ident: syn::Ident = input.parse()?;
            Published {
                name: LitStr::new(&super::text(&ident), ident.span()),
                value: parse_quote_spanned!(ident.span()=> #ident),
            }
        };
        input.parse::<Option<Token![,]>>()?;
        Ok(published)
    }
}

struct Arm {
    pat: Pat,
    operation: Expr,
    body: Expr,
}

struct Arms(Vec<Arm>);

impl Parse for Arms {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(syn::Ident) && input.peek2(Token![;]) {
            let word: syn::Ident = input.parse()?;
            if word != "biased" {
                return Err(syn::Error::new(word.span(), "expected `biased;` or a branch"));
            }
            input.parse::<Token![;]>()?;
        }
        let mut arms = Vec::new();
        while !input.is_empty() {
            let pat = Pat::parse_multi_with_leading_vert(input)?;
            input.parse::<Token![=]>()?;
            let operation = input.parse()?;
            input.parse::<Token![=>]>()?;
            let body = Expr::parse_with_earlier_boundary_rule(input)?;
            let needs_comma = !matches!(
                body,
                Expr::Block(_)
                    | Expr::If(_)
                    | Expr::Match(_)
                    | Expr::Loop(_)
                    | Expr::ForLoop(_)
                    | Expr::While(_)
            );
            if needs_comma && !input.is_empty() {
                input.parse::<Token![,]>()?;
            } else {
                input.parse::<Option<Token![,]>>()?;
            }
            arms.push(Arm { pat, operation, body });
        }
        Ok(Arms(arms))
    }
}
