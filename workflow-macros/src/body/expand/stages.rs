//! The choice of the stage to run, and each stage's block.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use super::super::ir::{LoopItem, StateId, StateKind};
use super::{Expander, Form, Scope, hidden};

impl Expander<'_> {
    /// Runs the stage where the context is. The answer also tells which blocks stand in the stages.
    pub(super) fn machine(&self) -> (TokenStream, Vec<usize>) {
        let context = &self.context;
        let describe = self.describe();
        let mut blocks = Vec::new();
        let mut arms = Vec::new();
        for id in &self.graph.stages {
            let stage = self.stage(*id);
            let behind = self.block_arms(&stage, &mut blocks);
            arms.extend([stage, behind]);
        }
        let arms = quote_spanned! {Span::mixed_site()=>
            #(#arms)*
            ::workflow_runtime::__private::DESCRIBE => {
                #describe
                ::core::option::Option::None
            }
            _ => {
                #context.stop(::workflow_runtime::__private::Halt::no_such_point());
                ::core::option::Option::None
            }
        };
        let points = match self.form {
            Form::Workflow { .. } => quote!(<Self as ::workflow_runtime::Workflow>::POINTS),
            Form::Block(_) => {
                let names = self.point_names();
                quote!(&[#(#names),*])
            }
        };
        if blocks.is_empty() {
            let machine =
                quote_spanned!(Span::mixed_site()=> return match #context.stage(#points) { #arms };);
            return (machine, blocks);
        }
        // To describe itself the code passes by its blocks first.
        let first = self.graph.stages.len();
        let last = first + blocks.len();
        let machine = quote_spanned! {Span::mixed_site()=>
            let mut __stage = match #context.stage(#points) {
                ::workflow_runtime::__private::DESCRIBE => #first,
                __stage => __stage,
            };
            loop {
                if __stage == #last {
                    __stage = ::workflow_runtime::__private::DESCRIBE;
                }
                return match __stage { #arms };
            }
        };
        (machine, blocks)
    }

    /// The first stage is entered with the workflow's input.
    fn start(&self, id: StateId) -> TokenStream {
        if let Form::Block(_) = self.form {
            return self.stored_captures(id);
        }
        let input = hidden("__input");
        let (context, label) = (&self.context, self.label());
        let variables = self
            .payload(id)
            .into_iter()
            .zip(&self.body.params)
            .map(|(binding, (field, _))| {
                let pattern = self.pattern(binding);
                quote!(let #pattern = #input.#field;)
            });
        quote_spanned! {Span::mixed_site()=>
            let ::core::option::Option::Some(#input) = #input else {
                #context.stop(::workflow_runtime::__private::Halt::no_input());
                break #label;
            };
            #(#variables)*
        }
    }

    fn stage(&self, id: StateId) -> TokenStream {
        let info = self.body.state(id);
        let number = self.numbers[&id];
        let payload = self.payload(id);
        let deferred = self.live.deferred.get(&id).into_iter().flatten();
        let mentioned = self.live.mentioned.get(&id).cloned().unwrap_or_default();
        let mut scope = Scope {
            mentioned,
            ..Scope::default()
        };
        scope.declared.extend(&payload);
        scope.declared.extend(deferred.clone());
        scope.declared.extend(info.value);
        let items = self.live.items.get(&id).into_iter().flatten();
        let items: Vec<_> = items.map(|item| &self.body.loop_items[*item]).collect();
        scope.declared.extend(items.iter().flat_map(|item| &item.defs));

        let deferred = deferred.map(|binding| {
            let pattern = self.pattern(*binding);
            let ty = self.body.binding(*binding).ty.as_ref().map(|ty| quote!(: #ty));
            quote!(let #pattern #ty;)
        });
        let value = info.value.map(|value| self.pattern(value));
        let enter = match info.kind {
            StateKind::Start => self.start(id),
            StateKind::Point(number) => self.arrive(id, number, value.as_ref()),
            StateKind::Join => {
                let (join, context) = (self.stage_variable(id), &self.context);
                let variables = payload.iter().map(|binding| self.pattern(*binding));
                let value = value.map(|value| quote!(#value,));
                quote_spanned! {Span::mixed_site()=>
                    let (#value (#(#variables,)*),) = ::workflow_runtime::__private::enter(#join, #context);
                }
            }
        };
        let code = self.seq(info.body, scope);
        let returned = self.returned();
        let label = self.label();
        let context = &self.context;
        let items = items.iter().map(|LoopItem { pat, item, .. }| {
            quote_spanned! {Span::mixed_site()=>
                #[allow(unused_variables, unused_parens)]
                let ::core::option::Option::Some(#pat) = (#item) else {
                    #context.stop(::workflow_runtime::__private::Halt::no_such_item());
                    break #label
                };
            }
        });
        quote_spanned! {Span::mixed_site()=>
            #number => {
                let __code = async move {
                    if false { return #returned; }
                    #label: { #enter #(#deferred)* #(#items)* #code }
                    ::core::future::pending().await
                };
                ::workflow_runtime::__private::run(::core::pin::pin!(__code))
            }
        }
    }

    pub(super) fn label(&self) -> syn::Lifetime {
        syn::Lifetime::new("'__stage", Span::mixed_site())
    }

    /// The transition to a join that is entered with `content`.
    pub(super) fn go(&self, target: StateId, content: &TokenStream) -> TokenStream {
        let (label, context) = (self.label(), &self.context);
        let join = self.stage_variable(target);
        quote_spanned! {Span::mixed_site()=>
            ::workflow_runtime::__private::go(#join, #context, #content);
            break #label;
        }
    }
}
