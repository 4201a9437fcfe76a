//! Emits the struct that holds a call's arguments, and how it is stored.
//!
//! Each argument is reached through the trait `Argument`, on the token of the parameter's type: an argument that cannot be
//! stored is one error there.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Lifetime, Type, Visibility};

use crate::body;

/// How an argument is taken.
pub(crate) enum Taken {
    /// By value.
    Value,
    /// As `&T`.
    Borrowed,
    /// As `&str`.
    Text,
    /// As a slice of this type.
    Slice(Box<Type>),
}

/// A field of an input.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    /// The type that is stored.
    pub(crate) ty: Type,
    pub(crate) taken: Taken,
}

impl Field {
    pub(crate) fn value(ident: Ident, ty: Type) -> Self {
        Field {
            ident,
            ty,
            taken: Taken::Value,
        }
    }

    fn name(&self) -> String {
        body::text(&self.ident)
    }

    /// Calls `function` of the trait of what can be an argument, or its namesake for slices.
    fn through(&self, function: &str, arguments: &TokenStream) -> TokenStream {
        let (ty, function) = match &self.taken {
            Taken::Slice(element) => (&**element, format!("{function}_slice")),
            _ => (&self.ty, function.to_owned()),
        };
        // The token that rustc points at when it names the type.
        let span = ty
            .to_token_stream()
            .into_iter()
            .next()
            .map_or_else(|| ty.span(), |token| token.span());
        let span = span.resolved_at(Span::mixed_site());
        let function = Ident::new(&function, span);
        quote_spanned!(span=> <#ty as ::workflow_runtime::__private::Argument>::#function(#arguments))
    }

    /// Writes the value behind the reference `value`.
    fn write(&self, value: &TokenStream, fields: &Ident) -> TokenStream {
        let name = self.name();
        match &self.taken {
            Taken::Text => {
                let write =
                    quote!(::workflow_runtime::__private::serde::ser::SerializeStruct::serialize_field);
                quote!(#write(#fields, #name, #value)?;)
            }
            _ => {
                let write = self.through("write", &quote!(#value, #fields, #name));
                quote!(#write?;)
            }
        }
    }

    /// A stored input without the field is as good as `None`.
    fn is_optional(&self) -> bool {
        matches!(&self.ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
    }
}

/// The struct `ident` and its implementations of `Input` and serde's traits.
pub(crate) fn items(vis: &Visibility, ident: &Ident, doc: &str, fields: &[Field]) -> TokenStream {
    let name = body::text(ident);
    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let names = fields.iter().map(Field::name);
    let places: Vec<_> = (0..fields.len()).map(syn::Index::from).collect();
    let (to, from, slots) = (hidden("__fields"), hidden("__from"), hidden("__slots"));
    let writes = fields.iter().map(|field| {
        let ident = &field.ident;
        let write = Field {
            ident: ident.clone(),
            ty: field.ty.clone(),
            taken: match &field.taken {
                Taken::Slice(element) => Taken::Slice(element.clone()),
                _ => Taken::Value,
            },
        };
        write.write(&quote!(&self.#ident), &to)
    });
    let reads = fields.iter().enumerate().map(|(number, field)| {
        let read = match field.taken {
            Taken::Text => {
                Field::value(field.ident.clone(), field.ty.clone()).through("read", &quote!(#from))
            }
            _ => field.through("read", &quote!(#from)),
        };
        let place = &places[number];
        quote!(#number => ::core::option::Option::is_some(&#slots.#place.replace(#read?)))
    });
    let complete = fields.iter().enumerate().map(|(number, field)| {
        let (ident, place) = (&field.ident, &places[number]);
        if field.is_optional() {
            return quote!(#ident: ::core::option::Option::unwrap_or_default(#slots.#place));
        }
        quote! {
            #ident: match #slots.#place {
                ::core::option::Option::Some(value) => value,
                ::core::option::Option::None => return ::core::result::Result::Err(#number),
            }
        }
    });
    let nothing = fields.iter().map(|_| quote!(::core::option::Option::None));
    let serde = quote!(::workflow_runtime::__private::serde);
    quote! {
        #[doc = #doc]
        #[allow(non_camel_case_types, missing_docs)]
        #vis struct #ident { #(#vis #idents: #types),* }

            #[allow(unused_variables, clippy::unused_unit, clippy::used_underscore_binding)]
            impl ::workflow_runtime::__private::Input for #ident {
                const NAME: &'static str = #name;
                const FIELDS: &'static [&'static str] = &[#(#names),*];
                type Slots = (#(::core::option::Option<#types>,)*);
                fn slots() -> Self::Slots { (#(#nothing,)*) }
                fn write<__F: #serde::ser::SerializeStruct>(
                    &self,
                    #to: &mut __F,
                ) -> ::core::result::Result<(), __F::Error> {
                    #(#writes)*
                    ::core::result::Result::Ok(())
                }
                fn read<'de, __A: #serde::de::MapAccess<'de>>(
                    #slots: &mut Self::Slots,
                    __field: usize,
                    #from: &mut __A,
                ) -> ::core::result::Result<bool, __A::Error> {
                    ::core::result::Result::Ok(match __field { #(#reads,)* _ => false })
                }
                fn complete(#slots: Self::Slots) -> ::core::result::Result<Self, usize> {
                    ::core::result::Result::Ok(#ident { #(#complete),* })
                }
            }
            impl #serde::Serialize for #ident {
                fn serialize<__S: #serde::Serializer>(
                    &self,
                    __serializer: __S,
                ) -> ::core::result::Result<__S::Ok, __S::Error> {
                    ::workflow_runtime::__private::write_input(self, __serializer)
                }
            }
            impl<'de> #serde::Deserialize<'de> for #ident {
                fn deserialize<__D: #serde::Deserializer<'de>>(
                    __deserializer: __D,
                ) -> ::core::result::Result<Self, __D::Error> {
                    ::workflow_runtime::__private::read_input(__deserializer)
                }
            }
    }
}

/// Encodes arguments some of which are references, so that the call borrows nothing.
pub(crate) fn encoded(ident: &Ident, fields: &[Field]) -> TokenStream {
    let name = body::text(ident);
    let count = fields.len();
    let lifetime = Lifetime::new("'__call", Span::mixed_site());
    let to = hidden("__fields");
    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let types = fields.iter().map(|Field { ty, taken, .. }| match taken {
        Taken::Value => quote!(#ty),
        Taken::Borrowed => quote!(&#lifetime #ty),
        Taken::Text => quote!(&#lifetime str),
        Taken::Slice(element) => quote!(&#lifetime [#element]),
    });
    let writes = fields.iter().map(|field| {
        let ident = &field.ident;
        let value = match field.taken {
            Taken::Value => quote!(&self.#ident),
            _ => quote!(self.#ident),
        };
        field.write(&value, &to)
    });
    let serde = quote!(::workflow_runtime::__private::serde);
    quote! {
        struct __Borrowed<#lifetime> { #(#idents: #types),* }
        impl #serde::Serialize for __Borrowed<'_> {
            fn serialize<__S: #serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                let mut #to = #serde::Serializer::serialize_struct(__serializer, #name, #count)?;
                { let #to = &mut #to; #(#writes)* }
                #serde::ser::SerializeStruct::end(#to)
            }
        }
        ::workflow_runtime::__private::encode(&__Borrowed { #(#idents),* })
    }
}

fn hidden(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
