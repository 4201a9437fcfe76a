//! What happens at a durable point: describing, storing, performing, restoring, and the checks of what is stored.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::super::ir::{BindingId, BindingKind, StateId, StateKind};
use super::{Expander, hidden};

impl Expander<'_> {
    /// The reachable points: state, number in lowering, final number.
    fn all_points(&self) -> impl Iterator<Item = (StateId, usize, usize)> {
        self.graph.stages.iter().filter_map(|id| match self.body.state(*id).kind {
            StateKind::Point(number) => Some((*id, number, self.points[&number])),
            _ => None,
        })
    }

    /// Per point a variable that learns the type of what the point is entered with, and one that learns what the
    /// point's variables are kept across.
    pub(super) fn markers(&self) -> TokenStream {
        let witnesses = self.all_points().map(|(_, _, point)| self.witness(point));
        let keepers: BTreeSet<usize> = self.first_point.values().copied().collect();
        let keepers = keepers.into_iter().map(|number| self.keeper(number));
        quote_spanned! {Span::mixed_site()=>
            #[allow(dead_code)]
            fn __same<T>(_: &::core::marker::PhantomData<T>, _: &T) {}
            fn __content<T>(slot: ::core::option::Option<T>) -> T {
                match slot {
                    ::core::option::Option::Some(content) => content,
                    ::core::option::Option::None => ::core::unreachable!(),
                }
            }
            #[allow(dead_code)]
            fn __operation_of<O, V>(
                _: ::core::marker::PhantomData<(::workflow_runtime::__private::Prepared<O>, V)>,
            ) -> ::core::marker::PhantomData<O> {
                ::core::marker::PhantomData
            }
            #(let #witnesses = ::core::marker::PhantomData;)*
            #(let #keepers = ::core::marker::PhantomData;)*
        }
    }

    /// The variable that learns what is kept across a point.
    fn keeper(&self, number: usize) -> Ident {
        hidden(&format!("__keeper{}", self.points[&number]))
    }

    fn witness(&self, point: usize) -> Ident {
        hidden(&format!("__witness{point}"))
    }

    pub(super) fn describe(&self) -> TokenStream {
        self.all_points()
            .map(|(_, number, point)| {
                let context = &self.context;
                let witness = self.witness(point);
                let span = self.body.points[number].span;
                let operation = quote_spanned!(span=> __operation_of(#witness));
                let note = self.awaited(number, "__note", &quote!(#operation, #context, #point));
                quote!(#note;)
            })
            .collect()
    }

    /// Calls a function of the trait of what can be awaited, on the user's `await`: what is unmet there is one error,
    /// however often it is asked for.
    fn awaited(&self, number: usize, function: &str, arguments: &TokenStream) -> TokenStream {
        let span = self.body.points[number].span;
        let function = Ident::new(function, span);
        quote_spanned!(span=> ::workflow_runtime::__private::Operation::#function(#arguments))
    }

    /// The operation of a point.
    pub(super) fn operation(&self, number: usize) -> Ident {
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

    /// What a slot holds when its stage was not reached: what was stored, if this is the point where the instance is
    /// resumed.
    pub(super) fn stored(&self, id: StateId) -> TokenStream {
        let StateKind::Point(number) = self.body.state(id).kind else {
            return quote!(::core::option::Option::None);
        };
        let point = self.points[&number];
        let entry = point + 1;
        let context = &self.context;
        let names = self.stored_names(id);
        let or_stop = |restore: TokenStream| {
            quote_spanned! {Span::mixed_site()=>
                match #restore {
                    ::core::result::Result::Ok(__value) => __value,
                    ::core::result::Result::Err(__error) => break '__restored ::core::result::Result::Err(__error),
                }
            }
        };
        let operation = or_stop(self.awaited(number, "__restore", &quote!(#context)));
        let values = self.payload(id).into_iter().map(|binding| {
            let name = &names[&binding];
            or_stop(self.keeps(binding, "restore", &quote!(#context, #name)))
        });
        quote_spanned! {Span::mixed_site()=>
            if __entry == #entry {
                __entry = 0;
                match '__restored: { ::core::result::Result::Ok((#operation, (#(#values,)*),)) } {
                    ::core::result::Result::Ok(__value) => ::core::option::Option::Some(__value),
                    ::core::result::Result::Err(__error) => {
                        __halt = ::core::option::Option::Some(__error);
                        ::core::option::Option::None
                    }
                }
            } else {
                ::core::option::Option::None
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
                (binding, if *count == 1 { base } else { format!("{base}#{count}") })
            })
            .collect()
    }

    /// The transition to a point: prepares the operation, and fills the point's slot.
    pub(super) fn prepare(&self, id: StateId, operation: &syn::Expr) -> TokenStream {
        let StateKind::Point(number) = self.body.state(id).kind else { return TokenStream::new() };
        let context = &self.context;
        let awaited = Ident::new("__awaited", self.body.points[number].span);
        let prepare = self.awaited(number, "__prepare", &quote!(#awaited, #context));
        let prepared = self.operation(number);
        let witness = self.witness(self.points[&number]);
        // A variable that was moved before is still needed behind the await, where the compiler shall say so.
        let span = self.body.points[number].span;
        let variables = self.payload(id).into_iter().map(|id| {
            let mut ident = self.body.binding(id).ident.clone();
            ident.set_span(span.resolved_at(ident.span()));
            ident
        });
        let variables = quote!((#(#variables,)*));
        quote_spanned! {Span::mixed_site()=>
            let #awaited = #operation;
            let #prepared = #prepare;
            let __entered = (#prepared, #variables,);
            if false { __same(&#witness, &__entered); }
        }
    }

    pub(super) fn perform(&self, id: StateId, number: usize, result: BindingId) -> TokenStream {
        let context = &self.context;
        let point = self.points[&number];
        let result = &self.body.binding(result).ident;
        let names = self.stored_names(id);
        let saver = hidden("__saver");
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
                    self.keeps(binding, "save_constant", &quote!(#value, &mut #saver, #name, #slot))
                } else {
                    self.keeps(binding, "save", &quote!(#value, &mut #saver, #name))
                };
                quote!(#call;)
            })
            .collect();
        let operation = self.operation(number);
        let perform = self.awaited(number, "__perform", &quote!(#operation, #context));
        let perform = quote_spanned!(self.body.points[number].span=> #perform.await);
        let binder = if saves.is_empty() { quote!(_) } else { quote!(mut #saver) };
        quote_spanned! {Span::mixed_site()=>
            if let ::core::option::Option::Some(#binder) = #context.checkpoint(#point, &#operation) {
                #(#saves)*
            }
            let #result = #perform;
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
        let across = hidden("__across");
        let checks = self.all_points().filter_map(|(id, number, point)| {
            let payload = self.payload(id);
            if !payload.iter().any(|binding| self.first_point[binding] == number) {
                return None;
            }
            let (witness, keeper) = (self.witness(point), self.keeper(number));
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
                    (&::workflow_runtime::__private::Kept::new(&#ident, &#across)).__must_be_stored();
                });
            }
            Some(quote_spanned! {Span::mixed_site()=>
                let (_, (#(#fields,)*),) = ::workflow_runtime::__private::unwitness(&#witness);
                let #across =
                    (&::workflow_runtime::__private::Named::new(__operation_of(#witness))).__across();
                #(#checks)*
                ::workflow_runtime::__private::keep(#keeper, #across);
            })
        });
        quote_spanned! {Span::mixed_site()=>
            #[allow(unreachable_code, unused_imports)]
            {
                use ::workflow_runtime::__private::{
                    OtherNamed as _, ReferenceKept as _, TaskNamed as _, ValueKept as _,
                };
                #(#checks)*
            };
        }
    }
}
