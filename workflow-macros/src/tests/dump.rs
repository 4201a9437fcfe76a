//! A readable form of the states.

use std::fmt::Write;

use quote::ToTokens;
use syn::Block;

use super::tokens;
use crate::body::{self, Param};
use crate::diag::Diagnostics;

/// The states of a workflow with the parameters `n` and `m`, as lowering and liveness see them.
pub(super) fn states(source: &str) -> String {
    let block: Block = syn::parse2(tokens(&format!("{{ {source} }}"))).expect("a block");
    let mut diagnostics = Diagnostics::default();
    let text = body::dump(&params(), &block, &mut diagnostics);
    let mut text = text.unwrap_or_default();
    for (code, message) in diagnostics.summary() {
        writeln!(text, "{code}: {message}").expect("writing to a string");
    }
    text
}

pub(super) fn params() -> Vec<Param> {
    ["n", "m"]
        .map(|name| Param {
            field: syn::Ident::new(name, proc_macro2::Span::call_site()),
            pat: syn::parse_str::<syn::ExprPath>(name)
                .map(|path| syn::parse_quote!(#path))
                .expect("a name"),
            ty: Some(syn::parse_quote!(u32)),
        })
        .into()
}

/// The statements of a `step` function.
pub(super) fn expansion(source: &str) -> String {
    let block: Block = syn::parse2(tokens(&format!("{{ {source} }}"))).expect("a block");
    let mut diagnostics = Diagnostics::default();
    let compiled = body::compile(&params(), &syn::parse_quote!(Output), &block, &mut diagnostics);
    let step = compiled.expect("the body compiles").step;
    let file: syn::File = syn::parse_quote!(fn step() { #step });
    prettyplease::unparse(&syn::parse2(file.to_token_stream()).expect("the expansion is Rust"))
}
