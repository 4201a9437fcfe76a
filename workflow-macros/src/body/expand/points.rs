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

    fn codec(&self, id: BindingId) -> Ident {
        hidden(&format!("__codec{}", id.0))
    }

    /// Per stored variable, how it is stored: asked of the trait of what can be kept, on the variable.
    pub(super) fn codecs(&self) -> TokenStream {
        let codecs = self.first_point.iter().map(|(id, first)| {
            let (info, codec, slot) = (self.body.binding(*id), self.codec(*id), id.0 as u32);
            let span = info.ident.span();
            if info.kind == BindingKind::Loop {
                let made = quote_spanned!(span=> ::workflow_runtime::__private::LoopState::codec(#slot));
                return quote!(let #codec = #made;);
            }
            let keeper = self.keeper(*first);
            let made = if self.constants.contains(id) {
                quote_spanned!(span=> ::workflow_runtime::__private::Keeper::constant(#slot))
            } else {
                quote_spanned!(span=> ::workflow_runtime::__private::Keeper::variable())
            };
            quote!(let #codec = ::workflow_runtime::__private::tie(#keeper, #made);)
        });
        codecs.collect()
    }

    pub(super) fn describe(&self) -> TokenStream {
        self.all_points()
            .map(|(id, number, _)| {
                let context = &self.context;
                let point = self.stage_variable(id);
                let note = self.awaited(number, "__note", &quote!(#point, #context));
                quote!(#note;)
            })
            .collect()
    }

    /// The names of a point's variables there, and how they are stored.
    pub(super) fn stored(&self, id: StateId) -> TokenStream {
        let names = self.stored_names(id);
        let stored = self.payload(id).into_iter().map(|binding| {
            let (name, codec) = (&names[&binding], self.codec(binding));
            quote!(::workflow_runtime::__private::Stored(#name, #codec))
        });
        bundle(stored.collect())
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
        // A variable that was moved before is still needed behind the await, where the compiler shall say so.
        let variables = self.payload(id).into_iter().map(|id| {
            let mut ident = self.body.binding(id).ident.clone();
            ident.set_span(span.resolved_at(ident.span()));
            quote!(#ident)
        });
        let variables = bundle(variables.collect());
        // What the point's variables are kept across is known here, before the first of them is asked for.
        let named = self.first_point.values().any(|first| *first == number).then(|| {
            let keeper = self.keeper(number);
            let named =
                quote_spanned!(span=> (&::workflow_runtime::__private::Named::of(&#awaited)).__across());
            quote!(::workflow_runtime::__private::keep(#keeper, #named);)
        });
        let (point, label) = (self.stage_variable(id), self.label());
        let leave = self.awaited(number, "__await", &quote!(#awaited, #point, #context, #variables));
        quote_spanned! {Span::mixed_site()=>
            let #awaited = #operation;
            #named
            #leave;
            break #label;
        }
    }

    /// What the code behind a point begins with.
    pub(super) fn arrive(&self, id: StateId, number: usize, value: Option<&TokenStream>) -> TokenStream {
        let context = &self.context;
        let (point, label) = (self.stage_variable(id), self.label());
        let variables = bundle(self.payload(id).into_iter().map(|id| self.pattern(id)).collect());
        let arrived = self.awaited(number, "__awaited", &quote!(#point, #context));
        let value = value.map_or_else(|| quote!(_), TokenStream::clone);
        quote_spanned! {Span::mixed_site()=>
            let ::core::option::Option::Some((#value, #variables)) = #arrived else { break #label };
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
            let (point, keeper) = (self.stage_variable(id), self.keeper(number));
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
            let fields = bundle(fields);
            Some(quote_spanned! {Span::mixed_site()=>
                let #fields = #point.values();
                #(#checks)*
            })
        });
        let captures = self.capture_checks();
        quote_spanned! {Span::mixed_site()=>
            #[allow(unreachable_code, unused_imports)]
            {
                use ::workflow_runtime::__private::{ReferenceKept as _, ValueKept as _};
                #(#checks)*
                #captures
            };
        }
    }
}

/// As many variables have an implementation of `Variables` as one tuple.
const VARIABLES_MAX: usize = 8;

/// The tuple of the parts; one of tuples where there are many.
fn bundle(mut parts: Vec<TokenStream>) -> TokenStream {
    while parts.len() > VARIABLES_MAX {
        let groups = parts.chunks(VARIABLES_MAX);
        parts = groups.map(|group| quote!((#(#group,)*))).collect();
    }
    quote!((#(#parts,)*))
}
