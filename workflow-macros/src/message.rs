//! Emits the implementation that `#[signal]` and `#[update]` stand for, beside the type as it was written.
//!
//! Serde's traits are not derived here: a type derives them itself, as every type does that is stored.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Type, parse_quote};

use crate::diag::Diagnostics;
use crate::{attributes, body};

/// Expands `#[signal(attributes)] item`.
pub(crate) fn signal(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let attributes = attributes::signal(arguments.clone(), &mut diagnostics);
    let declared = read(item, "signal", &mut diagnostics);
    let errors = diagnostics.into_tokens();
    let implementation = declared.map(|declared| {
        let (cfg, ident) = (cfg(&declared), &declared.ident);
        let name = attributes
            .name
            .map_or_else(|| body::text(ident), |name| name.value());
        quote! {
            #(#cfg)*
            impl ::workflow_runtime::Signal for #ident {
                const NAME: &'static str = #name;
            }
        }
    });
    quote!(#errors #item #implementation)
}

/// Expands `#[update(attributes)] item`.
pub(crate) fn update(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let attributes = attributes::update(arguments.clone(), &mut diagnostics);
    let declared = read(item, "update", &mut diagnostics);
    if attributes.reply.is_none() && diagnostics.is_empty() {
        diagnostics.error(
            Span::call_site(),
            "W0028",
            "an update needs the type of its reply",
            "write `#[update(reply = Receipt)]`, or `#[update(reply = ())]` when the sender only waits until it is done; \
             a message without an answer is a `#[signal]`",
        );
    }
    let errors = diagnostics.into_tokens();
    let implementation = declared.map(|declared| {
        let (cfg, ident) = (cfg(&declared), &declared.ident);
        let name = attributes
            .name
            .map_or_else(|| body::text(ident), |name| name.value());
        let reply: Type = attributes.reply.unwrap_or_else(|| parse_quote!(()));
        let validator = attributes.validate.map(|validate| {
            let call = quote_spanned!(validate.span()=> #validate(update, values));
            quote! {
                fn validator() -> ::core::option::Option<::workflow_runtime::Validator<Self>> {
                    ::core::option::Option::Some(|update, values| {
                        ::core::result::Result::map_err(#call, |reason| {
                            ::std::string::ToString::to_string(&reason)
                        })
                    })
                }
            }
        });
        quote! {
            #(#cfg)*
            impl ::workflow_runtime::Update for #ident {
                const NAME: &'static str = #name;
                type Reply = #reply;
                #validator
            }
        }
    });
    quote!(#errors #item #implementation)
}

/// The type under the attribute; `None` when it cannot be a message.
fn read(item: &TokenStream, what: &str, diagnostics: &mut Diagnostics) -> Option<DeriveInput> {
    let refuse = |span: Span, diagnostics: &mut Diagnostics| {
        diagnostics.error(
            span,
            "W0026",
            format!("`#[{what}]` can only stand on a struct or an enum: a message is a value that is stored"),
            &format!(
                "put it on the type of the message, which the workflow receives with `{}::<T>()`",
                receiver(what)
            ),
        );
        None
    };
    let declared: DeriveInput = match syn::parse2(item.clone()) {
        Ok(declared) => declared,
        Err(_) => {
            let span = item
                .clone()
                .into_iter()
                .next()
                .map_or_else(Span::call_site, |first| first.span());
            return refuse(span, diagnostics);
        }
    };
    if let Data::Union(union) = &declared.data {
        return refuse(union.union_token.span, diagnostics);
    }
    if let Some(param) = declared.generics.params.first() {
        let article = if what == "update" { "an" } else { "a" };
        diagnostics.error(
            param.span(),
            "W0027",
            format!("{article} {what} cannot be generic: its stored name must belong to one type"),
            "use concrete types that own their data, or an enum of the types that occur",
        );
        return None;
    }
    Some(declared)
}

fn receiver(what: &str) -> &'static str {
    if what == "update" {
        "receive_update"
    } else {
        "receive"
    }
}

/// The conditions under which the type exists.
fn cfg(declared: &DeriveInput) -> impl Iterator<Item = &syn::Attribute> {
    declared.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
}
