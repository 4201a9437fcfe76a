//! The stages and the loops around them.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use super::super::graph::Loop;
use super::super::ir::{StateId, StateKind};
use super::{Expander, Scope, hidden};

impl Expander<'_> {
    /// The slot of the start: filled with the input unless a stored instance is resumed.
    pub(super) fn start(&self) -> TokenStream {
        let input = hidden("__input");
        let fields = self.payload(StateId(0)).into_iter().map(|id| {
            let field = &self.body.binding(id).ident;
            quote!(#input.#field)
        });
        quote_spanned! {Span::mixed_site()=>
            let __start = match #input {
                ::core::option::Option::Some(#input) if __entry == 0 => {
                    ::core::option::Option::Some(((#(#fields,)*),))
                }
                _ => {
                    if __entry == 0 {
                        __halt = ::core::option::Option::Some(::workflow_runtime::__private::Halt::no_input());
                    }
                    ::core::option::Option::None
                }
            };
        }
    }

    pub(super) fn stages(&self) -> TokenStream {
        let mut declared = BTreeSet::from([StateId(0)]);
        self.range(0, self.graph.stages.len(), None, &mut declared)
    }

    /// The stages from `from` on, up to `to`, inside `within`. `declared` are the stages whose slots are declared.
    fn range(
        &self,
        from: usize,
        to: usize,
        within: Option<Loop>,
        declared: &mut BTreeSet<StateId>,
    ) -> TokenStream {
        let mut tokens = TokenStream::new();
        let mut index = from;
        while index < to {
            match self.graph.loop_at(index) {
                Some(found) if within != Some(found) => {
                    tokens.extend(self.loop_(found, declared));
                    index = found.last + 1;
                }
                _ => {
                    tokens.extend(self.stage(index, declared));
                    index += 1;
                }
            }
        }
        tokens
    }

    fn loop_(&self, found: Loop, declared: &mut BTreeSet<StateId>) -> TokenStream {
        let head = self.slot(self.graph.stages[found.head]);
        let members = &self.graph.stages[found.head..=found.last];
        let mut outside: Vec<StateId> = Vec::new();
        for member in members {
            for target in self.graph.successors.get(member).into_iter().flatten() {
                if !members.contains(target) && !declared.contains(target) && !outside.contains(target) {
                    outside.push(*target);
                }
            }
        }
        let declarations = outside.iter().map(|target| {
            let slot = self.slot(*target);
            let stored = self.stored(*target);
            quote_spanned!(Span::mixed_site()=> let mut #slot = #stored;)
        });
        declared.extend(&outside);
        let mut inside = declared.clone();
        let stages = self.range(found.head, found.last + 1, Some(found), &mut inside);
        quote_spanned! {Span::mixed_site()=>
            #(#declarations)*
            loop {
                #stages
                match #head {
                    ::core::option::Option::Some(_) => {}
                    ::core::option::Option::None => break,
                }
            }
        }
    }

    fn stage(&self, index: usize, declared: &mut BTreeSet<StateId>) -> TokenStream {
        let id = self.graph.stages[index];
        let info = self.body.state(id);
        let slot = self.slot(id);
        let successors = self.graph.successors.get(&id).map(Vec::as_slice).unwrap_or_default();
        let fills: Vec<StateId> =
            successors.iter().copied().filter(|target| !declared.contains(target)).collect();
        declared.extend(&fills);

        let payload = self.payload(id);
        let deferred = self.live.deferred.get(&id).into_iter().flatten();
        let mut scope = Scope { stage: index, fills: fills.clone(), ..Scope::default() };
        scope.declared.extend(&payload);
        scope.declared.extend(deferred.clone());
        scope.declared.extend(info.value);

        let variables = payload.iter().map(|binding| self.pattern(*binding));
        let deferred = deferred.map(|binding| {
            let pattern = self.pattern(*binding);
            quote!(let #pattern;)
        });
        let (arrives, perform) = match (info.kind, info.value) {
            (StateKind::Point(number), Some(result)) => {
                let operation = self.operation(number);
                (quote!(#operation,), self.perform(id, number, result))
            }
            (_, Some(value)) => {
                let value = self.pattern(value);
                (quote!(#value,), TokenStream::new())
            }
            (_, None) => (TokenStream::new(), TokenStream::new()),
        };
        let code = self.seq(info.body, scope);
        let label = self.stage_label(index);
        let filled = fills.iter().map(|target| self.slot(*target));
        let stored = fills.iter().map(|target| self.stored(*target));
        // A loop's head may be entered again, so its slot must stay usable.
        let (take, taken) = if self.graph.loop_at(index).is_some() {
            let taken = hidden("__taken");
            (
                quote_spanned! {Span::mixed_site()=>
                    let #taken = #slot;
                    #slot = ::core::option::Option::None;
                },
                taken,
            )
        } else {
            (TokenStream::new(), slot)
        };
        quote_spanned! {Span::mixed_site()=>
            #take
            let (#(mut #filled,)*) = match #taken {
                __filled @ ::core::option::Option::Some(_) => #label: {
                    let (#arrives (#(#variables,)*),) = __content(__filled);
                    #(#deferred)* #perform #code
                }
                __empty => (#(#stored,)*),
            };
        }
    }

    pub(super) fn stage_label(&self, stage: usize) -> syn::Lifetime {
        syn::Lifetime::new(&format!("'__stage{stage}"), Span::mixed_site())
    }

    /// The transition to a stage, with the expression that fills its slot.
    pub(super) fn fill(&self, target: StateId, value: &TokenStream, scope: &Scope) -> TokenStream {
        let label = self.stage_label(scope.stage);
        let mut assign = None;
        if !scope.fills.contains(&target) {
            let slot = self.slot(target);
            assign = Some(quote_spanned! {Span::mixed_site()=>
                #slot = ::core::option::Option::Some(#value);
            });
        }
        let fills = scope.fills.iter().map(|other| {
            if *other == target {
                quote_spanned!(Span::mixed_site()=> ::core::option::Option::Some(#value))
            } else {
                quote_spanned!(Span::mixed_site()=> ::core::option::Option::None)
            }
        });
        quote!(#assign break #label (#(#fills,)*);)
    }
}
