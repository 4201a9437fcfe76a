//! What happens at a durable point: describing, storing, performing, restoring, and the checks of what is stored.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

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

    /// The functions that stages share.
    pub(super) fn items(&self) -> TokenStream {
        let helpers = self.helpers();
        quote_spanned! {Span::mixed_site()=>
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

    /// Per point with stored variables, a variable that learns what they are kept across.
    pub(super) fn keepers(&self) -> TokenStream {
        let numbers: BTreeSet<usize> = self.first_point.values().copied().collect();
        let keepers = numbers.into_iter().map(|number| self.keeper(number));
        quote! {
            #[allow(unused_imports)]
            use ::workflow_runtime::__private::{OtherNamed as _, TaskNamed as _};
            #(let #keepers = ::core::marker::PhantomData;)*
        }
    }

    fn keeper(&self, number: usize) -> Ident {
        hidden(&format!("__keeper{}", self.points[&number]))
    }

    /// Calls a function of the trait of what can be awaited, on the user's `await`: what is unmet there is one error,
    /// however often it is asked for.
    fn awaited(&self, number: usize, function: &str, arguments: &TokenStream) -> TokenStream {
        let span = self.body.points[number].span;
        let function = Ident::new(function, span);
        quote_spanned!(span=> ::workflow_runtime::__private::Operation::#function(#arguments))
    }

    /// The operation of a point.
    fn operation(&self, number: usize) -> Ident {
        Ident::new("__operation", self.body.points[number].span)
    }

    /// Calls a function of the trait of what can be kept, on the variable.
    fn keeps(&self, id: BindingId, function: &str, arguments: &TokenStream) -> TokenStream {
        let span = self.body.binding(id).ident.span();
        let function = Ident::new(function, span);
        if self.body.binding(id).kind == BindingKind::Loop {
            return quote_spanned!(span=> ::workflow_runtime::__private::LoopState::#function(#arguments));
        }
        let keeper = self.keeper(self.first_point[&id]);
        let call = quote_spanned!(span=> ::workflow_runtime::__private::Keeper::#function(#arguments));
        quote!(::workflow_runtime::__private::tie(#keeper, #call))
    }

    pub(super) fn describe(&self) -> TokenStream {
        self.all_points()
            .map(|(id, number, point)| {
                let context = &self.context;
                let span = self.body.points[number].span;
                let witness = self.witness(id);
                let operation = quote_spanned!(span=> __operation_of(#witness));
                let note = self.awaited(number, "__note", &quote!(#operation, #context, #point));
                quote!(#note;)
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
    fn stored(&self, id: StateId, number: usize) -> TokenStream {
        let context = &self.context;
        let names = self.stored_names(id);
        let label = self.label();
        let operation = self.awaited(number, "__restore", &quote!(#context));
        let prepared = self.operation(number);
        let payload = self.payload(id);
        let idents: Vec<_> = payload
            .iter()
            .map(|binding| &self.body.binding(*binding).ident)
            .collect();
        let values = payload.iter().map(|binding| {
            let name = &names[binding];
            self.keeps(*binding, "restore", &quote!(#context, #name))
        });
        quote_spanned! {Span::mixed_site()=>
            {
                let ::core::option::Option::Some(#prepared) = __read(__next, #operation)
                else { break #label };
                #(let ::core::option::Option::Some(#idents) = __read(__next, #values) else { break #label };)*
                (#prepared, (#(#idents,)*),)
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
        let span = self.body.points[number].span;
        let awaited = Ident::new("__awaited", span);
        let prepare = self.awaited(number, "__prepare", &quote!(#awaited, #context));
        let prepared = self.operation(number);
        // A variable that was moved before is still needed behind the await, where the compiler shall say so.
        let variables = self.payload(id).into_iter().map(|id| {
            let mut ident = self.body.binding(id).ident.clone();
            ident.set_span(span.resolved_at(ident.span()));
            ident
        });
        let variables = quote!((#(#variables,)*));
        // What the point's variables are kept across is known here, before the first of them is asked for.
        let named = self.first_point.values().any(|first| *first == number).then(|| {
            let keeper = self.keeper(number);
            let named =
                quote_spanned!(span=> (&::workflow_runtime::__private::Named::of(&#prepared)).__across());
            quote!(::workflow_runtime::__private::keep(#keeper, #named);)
        });
        let go = self.go(id, &quote_spanned!(Span::mixed_site()=> (#prepared, #variables,)));
        quote_spanned! {Span::mixed_site()=>
            let #awaited = #operation;
            let #prepared = #prepare;
            #named
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
        let stored = self.stored(id, number);
        let operation = self.operation(number);
        let perform = self.awaited(number, "__perform", &quote!(#operation, #context));
        let perform = quote_spanned!(self.body.points[number].span=> #perform.await);
        let witness = self.witness(id);
        let saves: Vec<_> = self
            .payload(id)
            .into_iter()
            .map(|binding| {
                let info = self.body.binding(binding);
                let ident = &info.ident;
                let name = &names[&binding];
                let slot = binding.0 as u32;
                let value = quote_spanned!(ident.span()=> &#ident);
                let call = if info.kind == BindingKind::Loop {
                    self.keeps(binding, "save", &quote!(#value, &mut #saver, #name, #slot))
                } else if self.constants.contains(&binding) {
                    self.keeps(
                        binding,
                        "save_constant",
                        &quote!(#value, &mut #saver, #name, #slot),
                    )
                } else {
                    self.keeps(binding, "save", &quote!(#value, &mut #saver, #name))
                };
                quote!(#call;)
            })
            .collect();
        let binder = if saves.is_empty() {
            quote!(_)
        } else {
            quote!(mut #saver)
        };
        quote_spanned! {Span::mixed_site()=>
            let (#operation, #variables,) = match __content {
                ::core::option::Option::None => #stored,
                __content => __unboxed(#witness, __content),
            };
            if let ::core::option::Option::Some(#binder) = #context.checkpoint(#point, &#operation) { #(#saves)* }
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

    /// Code that never runs and exists for its errors: each stored variable is examined once, where all types are known,
    /// at the first point that it lives across.
    pub(super) fn checks(&self) -> TokenStream {
        let checks = self.all_points().filter_map(|(id, number, _)| {
            let payload = self.payload(id);
            if !payload.iter().any(|binding| self.first_point[binding] == number) {
                return None;
            }
            let (witness, keeper) = (self.witness(id), self.keeper(number));
            let (mut fields, mut checks) = (Vec::new(), Vec::new());
            for binding in &payload {
                let info = self.body.binding(*binding);
                if self.first_point[binding] != number || info.kind == BindingKind::Loop {
                    fields.push(quote!(_));
                    continue;
                }
                let ident = &info.ident;
                fields.push(quote!(#ident));
                checks.push(quote_spanned! {ident.span()=>
                    (&::workflow_runtime::__private::Kept::new(&#ident, #keeper)).__must_be_stored();
                });
            }
            Some(quote_spanned! {Span::mixed_site()=>
                let (_, (#(#fields,)*),) = ::workflow_runtime::__private::unwitness(&__typed(#witness));
                #(#checks)*
            })
        });
        quote_spanned! {Span::mixed_site()=>
            #[allow(unreachable_code, unused_imports)]
            {
                use ::workflow_runtime::__private::{ReferenceKept as _, ValueKept as _};
                #(#checks)*
            };
        }
    }
}
