//! Emits the items of a `#[workflow]`: the input type, the function that makes a call, and the state machine.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{FnArg, ItemFn};

use crate::body::{self, Param};
use crate::diag::Diagnostics;
use crate::{attributes, cfg, input, receives, signature, stand_in};

/// Expands `#[workflow(attributes)] item`.
pub(crate) fn expand(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let function = match signature::function(item, "workflow") {
        Ok(function) => function,
        Err(refused) => return refused,
    };
    if let Some(split) = cfg::split(&function, &cfg::attribute("workflow", arguments)) {
        return split;
    }
    let mut diagnostics = Diagnostics::default();
    let attributes = attributes::workflow(arguments.clone(), &mut diagnostics);
    let received = receives::implementations(
        &function.sig.ident,
        &function.block.to_token_stream(),
        &mut diagnostics,
    );
    let before = diagnostics.count();
    signature::check(&function, "workflow", true, &mut diagnostics);
    if signature::is_method(&function) {
        let errors = diagnostics.into_tokens();
        return quote!(#errors #function);
    }
    let params = params(&function, &mut diagnostics);
    if diagnostics.count() > before {
        body::check(&bodies(&params), &function.block, &mut diagnostics);
        let (errors, editor) = (diagnostics.into_tokens(), editor_copy(&function));
        let items = stand_in::workflow(&function);
        return quote!(#errors #editor #items #received);
    }
    let output = signature::output(&function);
    let compiled = body::compile(&bodies(&params), &output, &function.block, &mut diagnostics);

    let vis = &function.vis;
    let ident = &function.sig.ident;
    let name = attributes
        .name
        .map_or_else(|| body::text(ident), |name| name.value());
    let signature::Attributes { call, code, allowed } = signature::attributes(&function.attrs);
    let code = code
        .iter()
        .filter(|attr| !attr.path().is_ident("allow") && !attr.path().is_ident("expect"));
    let fields: Vec<_> = params.iter().map(|(field, _)| field).collect();
    let types: Vec<_> = params.iter().map(|(_, param)| &param.ty).collect();
    let stored: Vec<_> = params
        .iter()
        .map(|(field, param)| input::Field::value(field.clone(), (*param.ty).clone()))
        .collect();
    let input_doc = format!("The input of the workflow [`{ident}`](fn@{ident}), and the type that names it.");
    let stored = input::items(vis, ident, &input_doc, &stored);
    let (points, step) = match &compiled {
        Some(compiled) => (compiled.points.clone(), compiled.step.clone()),
        // With a mistake in the body the item survives, so that its callers are not in error as well.
        None => (
            Vec::new(),
            quote!(::core::unreachable!("this workflow did not compile")),
        ),
    };
    let editor = compiled.is_none().then(|| editor_copy(&function));
    let errors = diagnostics.into_tokens();
    let input = proc_macro2::Ident::new("__input", proc_macro2::Span::mixed_site());
    let context = proc_macro2::Ident::new("__context", proc_macro2::Span::mixed_site());

    quote! {
        #errors
        #editor

        #(#call)*
        #(#code)*
        #[allow(clippy::too_many_arguments, clippy::used_underscore_binding)]
        #vis fn #ident(#(#fields: #types),*) -> ::workflow_runtime::WorkflowCall<#ident> {
            ::workflow_runtime::WorkflowCall::new(#ident { #(#fields),* })
        }

        #stored

        impl ::core::fmt::Debug for #ident {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                formatter.debug_struct(#name).finish_non_exhaustive()
            }
        }

        #[allow(
            clippy::all,
            clippy::pedantic,
            non_snake_case,
            path_statements,
            unreachable_code,
            unreachable_patterns,
            unused_assignments,
            unused_braces,
            unused_labels,
            unused_mut,
            unused_parens,
            unused_variables,
        )]
        #(#allowed)*
        const _: () = {
            impl ::workflow_runtime::Workflow for #ident {
                const NAME: &'static str = #name;
                const POINTS: &'static [&'static str] = &[#(#points),*];
                type Output = #output;

                fn failure(__output: &Self::Output) -> ::core::option::Option<::std::string::String> {
                    #[allow(unused_imports)]
                    use ::workflow_runtime::__private::{AnyOutput as _, OpaqueOutput as _, ResultOutput as _};
                    (&&&::workflow_runtime::__private::Output(__output)).__failure()
                }

                fn from_failure(
                    __failure: ::workflow_runtime::ChildFailure,
                ) -> ::core::result::Result<Self::Output, ::workflow_runtime::ChildFailure> {
                    #[allow(unused_imports)]
                    use ::workflow_runtime::__private::{AnyChildFailure as _, ErrorChildFailure as _};
                    (&::workflow_runtime::__private::Fails::<Self::Output>::new()).__from_child_failure(__failure)
                }

                fn step(
                    #input: ::core::option::Option<Self>,
                    #context: &mut ::workflow_runtime::WorkflowContext,
                ) -> ::core::option::Option<Self::Output> {
                    #received
                    #step
                }
            }
        };
    }
}

/// The parameters as the body's compiler takes them.
fn bodies(params: &[(proc_macro2::Ident, syn::PatType)]) -> Vec<Param> {
    let param = |(field, param): &(proc_macro2::Ident, syn::PatType)| Param {
        field: field.clone(),
        pat: (*param.pat).clone(),
        ty: Some((*param.ty).clone()),
    };
    params.iter().map(param).collect()
}

/// The parameters with the fields of the input that hold them.
fn params(function: &ItemFn, diagnostics: &mut Diagnostics) -> Vec<(proc_macro2::Ident, syn::PatType)> {
    let mut params = Vec::new();
    for (index, arg) in function.sig.inputs.iter().enumerate() {
        let FnArg::Typed(param) = arg else { continue };
        if let Some(span) = signature::find_reference(&param.ty) {
            diagnostics.error(
                span,
                "W0008",
                format!(
                    "a workflow's argument is stored, so it cannot be `{}`",
                    signature::show(&param.ty)
                ),
                "take it by value: `String` for `&str`, `Vec<T>` for `&[T]`, `T` for `&T`",
            );
        }
        params.push((signature::field(&param.pat, index), param.clone()));
    }
    params
}

/// The function as it was written, for editors only: completion goes on working inside a body that has a mistake.
fn editor_copy(function: &ItemFn) -> TokenStream {
    let mut copy = function.clone();
    copy.attrs.clear();
    copy.sig.ident = quote::format_ident!("__{}_as_written", body::text(&function.sig.ident));
    // The `const` carries the `allow`: the name of the `cfg` is not one that the user's package declares.
    quote! {
        #[allow(unexpected_cfgs, dead_code)]
        const _: () = {
            #[cfg(rust_analyzer)]
            #copy
        };
    }
}
