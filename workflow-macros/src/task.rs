//! Emits the items of a `#[task]`: the input type, the function that makes a call, and the implementation of `Task`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, ItemFn, PatType, Type, TypeReference, parse_quote};

use crate::diag::Diagnostics;
use crate::input::{self, Field, Taken};
use crate::{attributes, body, cfg, signature, stand_in};

/// What a parameter of a task is for.
enum Param {
    /// `context: &TaskContext`.
    Context,
    /// `State(x): State<T>`.
    State(Type),
    /// An argument by value.
    Value { field: Ident, ty: Type },
    /// An argument by reference, and the type that is stored for it.
    Borrowed {
        field: Ident,
        reference: TypeReference,
        owned: Type,
    },
}

/// Expands `#[task(attributes)] item`.
pub(crate) fn expand(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let function = match signature::function(item, "task") {
        Ok(function) => function,
        Err(refused) => return refused,
    };
    if let Some(split) = cfg::split(&function, &cfg::attribute("task", arguments)) {
        return split;
    }
    let mut diagnostics = Diagnostics::default();
    let attributes = attributes::task(arguments.clone(), &mut diagnostics);
    let before = diagnostics.count();
    signature::check(&function, "task", !attributes.blocking, &mut diagnostics);
    if signature::is_method(&function) {
        let errors = diagnostics.into_tokens();
        return quote!(#errors #function);
    }
    let params: Vec<Param> = function
        .sig
        .inputs
        .iter()
        .enumerate()
        .filter_map(|(index, arg)| match arg {
            FnArg::Typed(param) => Some(classify(param, index, &mut diagnostics)),
            FnArg::Receiver(_) => None,
        })
        .collect();
    let sound = diagnostics.count() == before;
    let errors = diagnostics.into_tokens();
    let items = if sound {
        items(&function, &attributes, &params)
    } else {
        stand_in::task(&function)
    };
    quote!(#errors #items)
}

fn classify(param: &PatType, index: usize, diagnostics: &mut Diagnostics) -> Param {
    let field = signature::field(&param.pat, index);
    match &*param.ty {
        Type::Reference(reference)
            if last_segment(&reference.elem).is_some_and(|last| last == "TaskContext") =>
        {
            if let Some(mutability) = &reference.mutability {
                context_by(mutability.span, diagnostics);
            }
            Param::Context
        }
        ty if last_segment(ty).is_some_and(|last| last == "TaskContext") => {
            context_by(ty.span(), diagnostics);
            Param::Context
        }
        Type::Reference(reference) => {
            let refuse = |span: Span, diagnostics: &mut Diagnostics| {
                diagnostics.error(
                    span,
                    "W0009",
                    format!(
                        "a task cannot take `{}`: its input is stored before it runs",
                        signature::show(&param.ty)
                    ),
                    "take `&str`, `&[T]`, `&T` or the value itself, and return what the task changes",
                );
                Param::Value {
                    field: field.clone(),
                    ty: parse_quote!(()),
                }
            };
            if let Some(mutability) = &reference.mutability {
                return refuse(mutability.span, diagnostics);
            }
            if let Some(span) = signature::find_reference(&reference.elem) {
                return refuse(span, diagnostics);
            }
            let owned = match &*reference.elem {
                Type::Path(path) if path.path.is_ident("str") => parse_quote!(::std::string::String),
                Type::Slice(slice) => {
                    let element = &slice.elem;
                    parse_quote!(::std::vec::Vec<#element>)
                }
                Type::TraitObject(object) => return refuse(object.span(), diagnostics),
                other => other.clone(),
            };
            Param::Borrowed {
                field,
                reference: reference.clone(),
                owned,
            }
        }
        Type::Path(path)
            if path
                .path
                .segments
                .last()
                .is_some_and(|last| last.ident == "State") =>
        {
            match path.path.segments.last().map(|last| &last.arguments) {
                Some(syn::PathArguments::AngleBracketed(arguments)) if arguments.args.len() == 1 => {
                    Param::State(param.ty.as_ref().clone())
                }
                _ => Param::Value {
                    field,
                    ty: (*param.ty).clone(),
                },
            }
        }
        ty => {
            if let Some(span) = signature::find_reference(ty) {
                diagnostics.error(
                    span,
                    "W0009",
                    format!("a task cannot take `{}`: its input is stored before it runs", signature::show(ty)),
                    "own the data inside of the type: `Option<String>` for `Option<&str>`, `Vec<String>` for `Vec<&str>`",
                );
                return Param::Value {
                    field,
                    ty: parse_quote!(()),
                };
            }
            Param::Value {
                field,
                ty: ty.clone(),
            }
        }
    }
}

fn context_by(span: Span, diagnostics: &mut Diagnostics) {
    diagnostics.error(
        span,
        "W0025",
        "a task gets its context by shared reference",
        "write the parameter as `context: &TaskContext`",
    );
}

fn last_segment(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|last| &last.ident),
        _ => None,
    }
}

fn items(function: &ItemFn, attributes: &attributes::TaskAttributes, params: &[Param]) -> TokenStream {
    let vis = &function.vis;
    let ident = &function.sig.ident;
    let name = attributes
        .name
        .as_ref()
        .map_or_else(|| body::text(ident), syn::LitStr::value);
    let output = signature::output(function);
    let signature::Attributes { call: attrs, .. } = signature::attributes(&function.attrs);
    let input_doc = format!("The input of the task [`{ident}`](fn@{ident}), and the type that names it.");

    let stored = fields(params);
    let fields: Vec<_> = stored.iter().map(|field| &field.ident).collect();
    let arguments = params.iter().filter_map(|param| match param {
        Param::Value { field, ty } => Some(quote!(#field: #ty)),
        Param::Borrowed { field, reference, .. } => Some(quote!(#field: #reference)),
        Param::Context | Param::State(_) => None,
    });
    let call = call(ident, &stored);
    let input = input::items(vis, ident, &input_doc, &stored);
    let requirements = params.iter().filter_map(|param| match param {
        Param::State(ty) => {
            let requirement = extract(ty, "requirement");
            Some(quote!(#requirement()))
        }
        _ => None,
    });
    let (options, retryable) = (options(attributes), retryable(attributes));
    let context = Ident::new("__context", Span::mixed_site());
    let run = run(function, params, &fields, &context);
    let asyncness = function.sig.asyncness.map_or(ident.span(), |token| token.span);
    // What is wrong with the future (it is not `Send`, say) is reported on the user's `async fn`.
    let (head, tail) = (
        quote_spanned!(asyncness=> async fn run),
        quote_spanned!(asyncness=> -> Self::Output),
    );
    let run_fn = quote! {
        #head(self, #context: &::workflow_runtime::TaskContext) #tail { #run }
    };
    let output_span = output.span();
    let output_type = quote_spanned!(output_span=> type Output = #output;);

    quote! {
        #(#attrs)*
        #[allow(clippy::too_many_arguments, clippy::used_underscore_binding)]
        #vis fn #ident(#(#arguments),*) -> ::workflow_runtime::TaskCall<#ident> { #call }

        #input

        impl ::core::fmt::Debug for #ident {
            fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                formatter.debug_struct(#name).finish_non_exhaustive()
            }
        }

        #[allow(clippy::used_underscore_binding)]
        impl ::workflow_runtime::Task for #ident {
            const NAME: &'static str = #name;
            #output_type

            fn options() -> ::workflow_runtime::TaskOptions { #options }

            fn requirements() -> ::std::vec::Vec<::workflow_runtime::__private::StateRequirement> {
                ::std::vec![#(#requirements),*]
            }

            fn failure(__output: &Self::Output) -> ::core::option::Option<::std::string::String> {
                #[allow(unused_imports)]
                use ::workflow_runtime::__private::{AnyOutput as _, OpaqueOutput as _, ResultOutput as _};
                (&&&::workflow_runtime::__private::Output(__output)).__failure()
            }

            #retryable

            fn from_failure(
                __failure: ::workflow_runtime::TaskFailure,
            ) -> ::core::result::Result<Self::Output, ::workflow_runtime::TaskFailure> {
                #[allow(unused_imports)]
                use ::workflow_runtime::__private::{AnyFailure as _, ErrorFailure as _};
                (&::workflow_runtime::__private::Fails::<Self::Output>::new()).__from_failure(__failure)
            }

            #run_fn
        }
    }
}

/// A function of `Extract`, on the parameter's type.
fn extract(ty: &Type, function: &str) -> TokenStream {
    let span = ty.span();
    let function = Ident::new(function, span);
    quote_spanned!(span=> <#ty as ::workflow_runtime::__private::Extract>::#function)
}

/// The arguments as the input holds them.
fn fields(params: &[Param]) -> Vec<Field> {
    let field = |param: &Param| match param {
        Param::Value { field, ty } => Some(Field::value(field.clone(), ty.clone())),
        Param::Borrowed {
            field,
            reference,
            owned,
        } => Some(Field {
            ident: field.clone(),
            ty: owned.clone(),
            taken: match &*reference.elem {
                Type::Slice(slice) => Taken::Slice(slice.elem.clone()),
                Type::Path(path) if path.path.is_ident("str") => Taken::Text,
                _ => Taken::Borrowed,
            },
        }),
        Param::Context | Param::State(_) => None,
    };
    params.iter().filter_map(field).collect()
}

/// The body of the function that makes a call.
fn call(ident: &Ident, stored: &[Field]) -> TokenStream {
    if stored.iter().all(|field| matches!(field.taken, Taken::Value)) {
        let fields = stored.iter().map(|field| &field.ident);
        return quote!(::workflow_runtime::TaskCall::new(#ident { #(#fields),* }));
    }
    // References are encoded at once, so the call owns its input and borrows nothing.
    let encoded = input::encoded(ident, stored);
    quote!(::workflow_runtime::TaskCall::encoded({ #encoded }))
}

fn options(attributes: &attributes::TaskAttributes) -> TokenStream {
    let mut options = quote!(::workflow_runtime::TaskOptions::default());
    if let Some(retry) = &attributes.retry {
        let attempts = retry.max_attempts;
        let mut backoff = match &retry.backoff {
            Some(backoff) => backoff.tokens(),
            None => quote!(<::workflow_runtime::BackoffConfig as ::core::default::Default>::default()),
        };
        if let Some(jitter) = &retry.jitter {
            backoff = quote!(#backoff.with_jitter(::workflow_runtime::Jitter::#jitter));
        }
        let mut policy = quote!(::workflow_runtime::RetryPolicy::new(#attempts, #backoff));
        if let Some(max_elapsed) = retry.max_elapsed.map(attributes::duration_tokens) {
            policy = quote!(#policy.with_max_elapsed(#max_elapsed));
        }
        options = quote!(#options.with_retry(#policy));
    }
    if let Some(timeout) = attributes.timeout.map(attributes::duration_tokens) {
        options = quote!(#options.with_timeout(#timeout));
    }
    if let Some(limit) = attributes.schedule_to_close.map(attributes::duration_tokens) {
        options = quote!(#options.with_schedule_to_close(#limit));
    }
    if let Some(timeout) = attributes.heartbeat_timeout.map(attributes::duration_tokens) {
        options = quote!(#options.with_heartbeat_timeout(#timeout));
    }
    if attributes.blocking {
        options = quote!(#options.with_blocking(true));
    }
    options
}

/// The function that says which errors are worth another attempt, unless all are.
fn retryable(attributes: &attributes::TaskAttributes) -> TokenStream {
    let Some(only) = attributes.retry.as_ref().and_then(|retry| retry.only.as_ref()) else {
        return TokenStream::new();
    };
    let output = Ident::new("__output", Span::mixed_site());
    let check = only.tokens(&output);
    quote! {
        fn retryable(#output: &Self::Output) -> bool { #check }
    }
}

/// Calls the function as it was written, with its arguments taken from the input and the context.
fn run(function: &ItemFn, params: &[Param], fields: &[&Ident], context: &Ident) -> TokenStream {
    let mut inner = function.clone();
    inner.attrs = signature::attributes(&function.attrs).code;
    inner.vis = syn::Visibility::Inherited;
    let name = Ident::new("__as_written", Span::mixed_site());
    inner.sig.ident = name.clone();
    let arguments = params.iter().map(|param| match param {
        Param::Context => quote!(#context),
        Param::State(ty) => {
            let extract = extract(ty, "extract");
            quote!(#extract(#context))
        }
        Param::Value { field, .. } => quote!(#field),
        Param::Borrowed { field, .. } => quote!(&#field),
    });
    let awaited = function.sig.asyncness.is_some().then(|| quote!(.await));
    quote! {
        #[allow(clippy::unused_async)]
        #inner
        let Self { #(#fields),* } = self;
        #name(#(#arguments),*) #awaited
    }
}
