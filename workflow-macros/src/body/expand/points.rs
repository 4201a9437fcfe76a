//! What happens at a durable point: describing, storing, performing, restoring, and the checks of what is stored.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::super::ir::{BindingId, BindingKind, StateId, StateKind};
use super::{Expander, hidden};

impl Expander<'_> {
    /// The reachable points: state, number in lowering, final number.
    fn all_points(&self) -> impl Iterator<Item = (StateId, usize, usize)> {
        self.graph
            .stages
            .iter()
            .filter_map(|id| match self.body.state(*id).kind {
                StateKind::Point(number) => Some((*id, number, self.points[&number])),
                _ => None,
            })
    }

    /// One type per point, so that messages can name the await; and the functions that stages share.
    pub(super) fn items(&self) -> TokenStream {
        let names: BTreeSet<Ident> = self
            .first_point
            .values()
            .map(|number| self.marker(*number))
            .collect();
        let names = names.iter();
        let helpers = self.helpers();
        quote_spanned! {Span::mixed_site()=>
            #[allow(non_camel_case_types, dead_code)]
            mod __await_of { #(pub(super) enum #names {})* }
            #helpers
            fn __operation_of<O, V>(
                _: __Witness<(::workflow_runtime::__private::Prepared<O>, V)>,
            ) -> ::core::marker::PhantomData<O> {
                ::core::marker::PhantomData
            }
            fn __typed<T>(_: __Witness<T>) -> ::core::marker::PhantomData<T> {
                ::core::marker::PhantomData
            }
        }
    }

    pub(super) fn describe(&self) -> TokenStream {
        self.all_points()
            .map(|(id, number, point)| {
                let context = &self.context;
                let span = self.body.points[number].span.resolved_at(Span::mixed_site());
                let operation = Ident::new("__described", span);
                let witness = self.witness(id);
                quote_spanned! {span=>
                    let #operation = __operation_of(#witness);
                    ::workflow_runtime::__private::describe(#context, #point, #operation);
                }
            })
            .collect()
    }

    /// The `await` token of a point, for generated code.
    pub(super) fn await_span(&self, id: StateId) -> Span {
        match self.body.state(id).kind {
            StateKind::Point(number) => self.body.points[number].span.resolved_at(Span::mixed_site()),
            _ => Span::mixed_site(),
        }
    }

    /// What was stored at a point, when the instance is resumed there.
    fn stored(&self, id: StateId) -> TokenStream {
        let context = &self.context;
        let names = self.stored_names(id);
        let label = self.label();
        let span = self.await_span(id);
        let operation = quote_spanned!(span=> #context.restore_operation());
        let payload = self.payload(id);
        let idents: Vec<_> = payload
            .iter()
            .map(|binding| &self.body.binding(*binding).ident)
            .collect();
        let values = payload.iter().map(|binding| {
            let name = &names[binding];
            let info = self.body.binding(*binding);
            let span = info.ident.span().resolved_at(Span::mixed_site());
            if info.kind == BindingKind::Loop {
                quote_spanned!(span=> ::workflow_runtime::__private::restore_loop(#context, #name))
            } else {
                let restore = Ident::new("restore", span);
                let marker = self.marker(self.first_point[binding]);
                quote_spanned!(span=> ::workflow_runtime::__private::#restore::<_, __await_of::#marker>(#context, #name))
            }
        });
        quote_spanned! {Span::mixed_site()=>
            {
                let ::core::option::Option::Some(__operation) = __read(__next, #operation)
                else { break #label };
                #(let ::core::option::Option::Some(#idents) = __read(__next, #values) else { break #label };)*
                (__operation, (#(#idents,)*),)
            }
        }
    }

    /// The names under which a point stores its variables. They do not depend on unrelated code: a user's variable has
    /// its own name, a loop is named after its pattern, temporaries are counted per point.
    pub(super) fn stored_names(&self, id: StateId) -> BTreeMap<BindingId, String> {
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        let mut temporaries = 0;
        self.payload(id)
            .into_iter()
            .map(|binding| {
                let info = self.body.binding(binding);
                let base = match info.kind {
                    BindingKind::User | BindingKind::Loop => info.name.clone(),
                    BindingKind::Temporary => {
                        temporaries += 1;
                        format!("value {temporaries}")
                    }
                };
                let count = used.entry(base.clone()).or_default();
                *count += 1;
                (
                    binding,
                    if *count == 1 {
                        base
                    } else {
                        format!("{base}#{count}")
                    },
                )
            })
            .collect()
    }

    /// The transition to a point: prepares the operation, and fills the point's slot.
    pub(super) fn prepare(&self, id: StateId, operation: &syn::Expr) -> TokenStream {
        let StateKind::Point(number) = self.body.state(id).kind else {
            return TokenStream::new();
        };
        let context = &self.context;
        let span = self.body.points[number].span.resolved_at(Span::mixed_site());
        let awaited = Ident::new("__awaited", span);
        let prepare = quote_spanned!(span=> #context.prepare(#awaited));
        let variables = self.mentions(&self.payload(id));
        let go = self.go(
            id,
            &quote_spanned!(Span::mixed_site()=> (__operation, #variables,)),
        );
        quote_spanned! {Span::mixed_site()=>
            let #awaited = #operation;
            let __operation = #prepare;
            #go
        }
    }

    /// What a point does before the code behind it.
    pub(super) fn perform(
        &self,
        id: StateId,
        number: usize,
        variables: &TokenStream,
        value: Option<&TokenStream>,
    ) -> TokenStream {
        let context = &self.context;
        let point = self.points[&number];
        let names = self.stored_names(id);
        let saver = hidden("__saver");
        let stored = self.stored(id);
        let span = self.await_span(id);
        let operation = hidden("__operation");
        let perform = quote_spanned!(span=> #context.perform(#operation).await);
        let witness = self.witness(id);
        let saves: Vec<_> = self
            .payload(id)
            .into_iter()
            .map(|binding| {
                let info = self.body.binding(binding);
                let ident = &info.ident;
                let name = &names[&binding];
                let span = ident.span().resolved_at(Span::mixed_site());
                let slot = binding.0 as u32;
                if info.kind == BindingKind::Loop {
                    return quote_spanned! {span=>
                        ::workflow_runtime::__private::save_loop(&mut #saver, #name, #slot, &#ident);
                    };
                }
                let marker = self.marker(self.first_point[&binding]);
                if self.constants.contains(&binding) {
                    let save = Ident::new("save_constant", span);
                    quote_spanned! {span=>
                        ::workflow_runtime::__private::#save::<_, __await_of::#marker>(
                            &mut #saver, #name, #slot, &#ident,
                        );
                    }
                } else {
                    let save = Ident::new("save", span);
                    quote_spanned! {span=>
                        ::workflow_runtime::__private::#save::<_, __await_of::#marker>(&mut #saver, #name, &#ident);
                    }
                }
            })
            .collect();
        let binder = if saves.is_empty() {
            quote!(_)
        } else {
            quote!(mut #saver)
        };
        quote_spanned! {Span::mixed_site()=>
            let (__operation, #variables,) = match __content {
                ::core::option::Option::None => #stored,
                __content => __unboxed(#witness, __content),
            };
            if let ::core::option::Option::Some(#binder) = #context.checkpoint(#point, &__operation) { #(#saves)* }
            let #value = #perform;
        }
    }

    pub(super) fn rebinds(&self, defs: &[BindingId]) -> TokenStream {
        let context = &self.context;
        defs.iter()
            .filter(|id| self.constants.contains(id))
            .map(|id| {
                let slot = id.0 as u32;
                quote!(#context.rebind(#slot);)
            })
            .collect()
    }

    /// Code that never runs and exists for its errors: each stored variable is checked once, where all types are known.
    pub(super) fn checks(&self) -> TokenStream {
        let checks = self.all_points().filter_map(|(id, number, _)| {
            let payload = self.payload(id);
            let first: Vec<bool> = payload
                .iter()
                .map(|binding| self.first_point[binding] == number)
                .collect();
            if !first.contains(&true) {
                return None;
            }
            let witness = self.witness(id);
            let (mut fields, mut checks) = (Vec::new(), Vec::new());
            for (binding, first) in payload.iter().zip(first) {
                if !first {
                    fields.push(quote!(_));
                    continue;
                }
                let info = self.body.binding(*binding);
                let ident = &info.ident;
                let span = ident.span().resolved_at(Span::mixed_site());
                fields.push(quote!(#ident));
                let marker = self.marker(number);
                let check = Ident::new("__check", span);
                let kept = if info.kind == BindingKind::Loop {
                    format_ident!("KeptLoop")
                } else {
                    format_ident!("Kept")
                };
                checks.push(quote_spanned! {span=>
                    (&::workflow_runtime::__private::#kept::<_, __await_of::#marker>::new(&#ident)).#check();
                });
            }
            Some(quote! {
                let (_, (#(#fields,)*),) = ::workflow_runtime::__private::unwitness(&__typed(#witness));
                #(#checks)*
            })
        });
        quote! {
            #[allow(unreachable_code, unused_imports)]
            {
                use ::workflow_runtime::__private::{ReferenceKept as _, ValueKept as _};
                #(#checks)*
            };
        }
    }
}
