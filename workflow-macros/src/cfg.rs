//! `#[cfg(..)]` inside of a function that an attribute macro compiles.
//!
//! An attribute macro sees its item before rustc has removed what is configured away, and cannot ask which predicates
//! hold. Rustc evaluates `#[cfg(..)]` on a whole item, though, before the item's other macros. So a function with a
//! predicate inside becomes two functions under that predicate and its opposite, one with the parts and one without;
//! the macro then runs again on the one that is left.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Block, ItemFn, Meta, Stmt};

/// The two functions for the first predicate inside of `function`; `attribute` is what to put on them.
pub(crate) fn split(function: &ItemFn, attribute: &TokenStream) -> Option<TokenStream> {
    let mut finder = Pruner {
        predicate: None,
        keep: true,
    };
    let mut with = function.clone();
    finder.function(&mut with);
    let predicate = finder.predicate?;
    let mut without = function.clone();
    Pruner {
        predicate: Some(predicate.clone()),
        keep: false,
    }
    .function(&mut without);
    Some(quote! {
        #[cfg(#predicate)]
        #attribute
        #with
        #[cfg(not(#predicate))]
        #attribute
        #without
    })
}

/// Resolves one predicate: the first that it meets, unless it is given.
struct Pruner {
    predicate: Option<TokenStream>,
    /// Whether the predicate holds.
    keep: bool,
}

impl Pruner {
    fn function(&mut self, function: &mut ItemFn) {
        let inputs = std::mem::take(&mut function.sig.inputs);
        let kept = inputs.into_iter().filter_map(|mut input| {
            let attrs = match &mut input {
                syn::FnArg::Receiver(receiver) => &mut receiver.attrs,
                syn::FnArg::Typed(typed) => &mut typed.attrs,
            };
            self.keeps(attrs).then_some(input)
        });
        function.sig.inputs = kept.collect();
        self.visit_block_mut(&mut function.block);
    }

    /// Removes the predicate's attributes; the answer is whether what they stand on stays.
    fn keeps(&mut self, attrs: &mut Vec<Attribute>) -> bool {
        let before = attrs.len();
        attrs.retain(|attr| {
            let Meta::List(list) = &attr.meta else { return true };
            if !list.path.is_ident("cfg") {
                return true;
            }
            let predicate = self.predicate.get_or_insert_with(|| list.tokens.clone());
            predicate.to_string() != list.tokens.to_string()
        });
        self.keep || attrs.len() == before
    }
}

/// Keeps the elements of a list that `keeps` wants, with their separators.
fn retain<T, P: Default>(
    list: &mut syn::punctuated::Punctuated<T, P>,
    mut keeps: impl FnMut(&mut T) -> bool,
) {
    let elements = std::mem::take(list);
    *list = elements
        .into_iter()
        .filter_map(|mut element| keeps(&mut element).then_some(element))
        .collect();
}

impl VisitMut for Pruner {
    fn visit_block_mut(&mut self, block: &mut Block) {
        block.stmts.retain_mut(|stmt| match stmt {
            Stmt::Local(local) => self.keeps(&mut local.attrs),
            Stmt::Macro(stmt) => self.keeps(&mut stmt.attrs),
            Stmt::Expr(expr, _) => {
                crate::body::expression_attributes(expr).is_none_or(|attrs| self.keeps(attrs))
            }
            Stmt::Item(_) => true,
        });
        visit_mut::visit_block_mut(self, block);
    }

    fn visit_expr_match_mut(&mut self, expr: &mut syn::ExprMatch) {
        expr.arms.retain_mut(|arm| self.keeps(&mut arm.attrs));
        visit_mut::visit_expr_match_mut(self, expr);
    }

    fn visit_expr_struct_mut(&mut self, expr: &mut syn::ExprStruct) {
        retain(&mut expr.fields, |field| self.keeps(&mut field.attrs));
        visit_mut::visit_expr_struct_mut(self, expr);
    }

    fn visit_pat_struct_mut(&mut self, pat: &mut syn::PatStruct) {
        retain(&mut pat.fields, |field| self.keeps(&mut field.attrs));
        visit_mut::visit_pat_struct_mut(self, pat);
    }

    /// Rustc resolves what is inside of items.
    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}

/// The attribute `#[::workflow_runtime::name(arguments)]`.
pub(crate) fn attribute(name: &str, arguments: &TokenStream) -> TokenStream {
    let name = proc_macro2::Ident::new(name, proc_macro2::Span::call_site());
    let arguments = (!arguments.is_empty()).then(|| quote!((#arguments)));
    quote!(#[::workflow_runtime::#name #arguments]).to_token_stream()
}
