//! Items in place of those of a function whose signature has a mistake: its callers are not in error as well.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, ItemFn, Type, parse_quote};

use crate::{body, signature};

/// The items of a `#[task]`.
pub(crate) fn task(function: &ItemFn) -> TokenStream {
    let (ident, name, output) = (
        &function.sig.ident,
        body::text(&function.sig.ident),
        output(function),
    );
    let items = items(function, &quote!(::workflow_runtime::TaskCall));
    quote! {
        #items
        impl ::workflow_runtime::Task for #ident {
            const NAME: &'static str = #name;
            type Output = #output;
            async fn run(self, _: &::workflow_runtime::TaskContext) -> Self::Output {
                ::core::unreachable!("this task did not compile")
            }
        }
    }
}

/// The items of a `#[workflow]`.
pub(crate) fn workflow(function: &ItemFn) -> TokenStream {
    let (ident, name, output) = (
        &function.sig.ident,
        body::text(&function.sig.ident),
        output(function),
    );
    let items = items(function, &quote!(::workflow_runtime::WorkflowCall));
    quote! {
        #items
        impl ::workflow_runtime::Workflow for #ident {
            const NAME: &'static str = #name;
            const POINTS: &'static [&'static str] = &[];
            type Output = #output;
            fn failure(_: &Self::Output) -> ::core::option::Option<::std::string::String> {
                ::core::option::Option::None
            }
            fn step(
                _: ::core::option::Option<Self>,
                _: &mut ::workflow_runtime::WorkflowContext,
            ) -> ::core::option::Option<Self::Output> {
                ::core::unreachable!("this workflow did not compile")
            }
        }
    }
}

/// The function, with the parameters as they are written, and the type that is named like it.
fn items(function: &ItemFn, call: &TokenStream) -> TokenStream {
    let (vis, ident) = (&function.vis, &function.sig.ident);
    let (generics, clause) = (&function.sig.generics, &function.sig.generics.where_clause);
    let types = function.sig.inputs.iter().filter_map(|arg| match arg {
        FnArg::Typed(arg) => Some(&arg.ty),
        FnArg::Receiver(_) => None,
    });
    quote! {
        #[allow(dead_code, missing_docs)]
        #vis fn #ident #generics(#(_: #types),*) -> #call<#ident> #clause {
            ::core::unreachable!("this function did not compile")
        }

        #[allow(dead_code, missing_docs, missing_debug_implementations, non_camel_case_types)]
        #[derive(
            ::workflow_runtime::__private::serde::Serialize,
            ::workflow_runtime::__private::serde::Deserialize,
        )]
        #[serde(crate = "::workflow_runtime::__private::serde")]
        #vis struct #ident {}
    }
}

/// The output type where it can be named outside of the signature.
fn output(function: &ItemFn) -> Type {
    let output = signature::output(function);
    let nameable = function.sig.generics.params.is_empty()
        && signature::find_reference(&output).is_none()
        && signature::find_impl(&output).is_none();
    if nameable { output } else { parse_quote!(()) }
}
