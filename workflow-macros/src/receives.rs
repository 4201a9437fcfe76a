//! What a workflow receives, told from its tokens: each `receive::<T>()` and `receive_update::<T>()`, wherever it
//! stands, also inside of macros.
//!
//! Only the workflow's own body can await a message, so the types found here are all that it receives. They become
//! implementations of `Receives`, by which a handle refuses every other type.

use std::collections::HashSet;

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{AngleBracketedGenericArguments, GenericArgument, Type};

use crate::diag::Diagnostics;

/// The types that are received in `body`, each once.
pub(crate) fn types(body: &TokenStream, diagnostics: &mut Diagnostics) -> Vec<Type> {
    let mut scan = Scan {
        types: Vec::new(),
        seen: HashSet::new(),
        diagnostics,
    };
    scan.tokens(body);
    scan.types
}

/// The implementations that tell which types `workflow` receives in `body`.
pub(crate) fn implementations(
    workflow: &Ident,
    body: &TokenStream,
    diagnostics: &mut Diagnostics,
) -> TokenStream {
    let before = diagnostics.count();
    let types = types(body, diagnostics);
    if diagnostics.count() > before {
        // What it receives is not known: no sender is in error as well.
        return quote!(impl<M> ::workflow_runtime::Receives<M> for #workflow {});
    }
    types
        .iter()
        .map(|ty| {
            quote_spanned! {ty.span().resolved_at(Span::mixed_site())=>
                #[allow(non_local_definitions)]
                impl ::workflow_runtime::Receives<#ty> for #workflow {}
            }
        })
        .collect()
}

struct Scan<'a> {
    types: Vec<Type>,
    seen: HashSet<String>,
    diagnostics: &'a mut Diagnostics,
}

impl Scan<'_> {
    fn tokens(&mut self, tokens: &TokenStream) {
        let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
        for (index, tree) in trees.iter().enumerate() {
            match tree {
                TokenTree::Group(group) => self.tokens(&group.stream()),
                TokenTree::Ident(ident) if *ident == "receive" || *ident == "receive_update" => {
                    let (before, behind) = (&trees[..index], &trees[index + 1..]);
                    if !is_other(before) {
                        self.call(ident, before, behind);
                    }
                }
                _ => {}
            }
        }
    }

    fn call(&mut self, ident: &Ident, before: &[TokenTree], behind: &[TokenTree]) {
        if !behind.first().is_some_and(|tree| is_punct(tree, ':')) {
            let called = matches!(behind.first(), Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Parenthesis && group.stream().is_empty());
            // A path leads to the runtime's function only by its name; another module may have one of that name.
            let qualified = before.last().is_some_and(|tree| is_punct(tree, ':'));
            if called && (!qualified || names_runtime(before)) {
                self.refuse(ident.span(), ident);
            }
            return;
        }
        let turbofish = |input: ParseStream<'_>| {
            let arguments = AngleBracketedGenericArguments::parse_turbofish(input)?;
            input.parse::<TokenStream>()?;
            Ok(arguments)
        };
        let behind: TokenStream = behind.iter().cloned().collect();
        let Ok(arguments) = turbofish.parse2(behind) else {
            return;
        };
        let mut arguments = arguments.args.into_iter();
        if let (Some(GenericArgument::Type(ty)), None) = (arguments.next(), arguments.next()) {
            if is_inferred(&ty) {
                return self.refuse(ty.span(), ident);
            }
            if self.seen.insert(ty.to_token_stream().to_string()) {
                self.types.push(ty);
            }
        }
    }

    fn refuse(&mut self, span: Span, ident: &Ident) {
        self.diagnostics.error(
            span,
            "W0034",
            format!(
                "`{ident}` without the type that is received: the types that a workflow receives are read from its body, so \
                 that no sender can send another one"
            ),
            &format!("name the type: `{ident}::<Approval>()`"),
        );
    }
}

/// Whether an identifier behind these tokens is a method, a field or a declaration.
fn is_other(before: &[TokenTree]) -> bool {
    match before {
        // A range may end with a call.
        [.., second, last] if is_punct(last, '.') => !is_punct(second, '.'),
        [.., TokenTree::Ident(last)] => *last == "fn",
        _ => false,
    }
}

/// Whether the path before an identifier ends in a name of the runtime's.
fn names_runtime(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Ident(module), _, _] if *module == "workflow_runtime" || *module == "prelude")
}

fn is_punct(tree: &TokenTree, wanted: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn is_inferred(ty: &Type) -> bool {
    struct Finder(bool);
    impl<'ast> Visit<'ast> for Finder {
        fn visit_type_infer(&mut self, _: &'ast syn::TypeInfer) {
            self.0 = true;
        }
    }
    let mut finder = Finder(false);
    finder.visit_type(ty);
    finder.0
}
