//! The loop over the stages, and each stage's block.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use super::super::ir::{LoopItem, StateId, StateKind};
use super::{Expander, Scope, hidden};

impl Expander<'_> {
    pub(super) fn machine(&self) -> TokenStream {
        let start = self.start();
        let output = self.output;
        let context = &self.context;
        let stages = self.graph.stages.iter().map(|id| self.stage(*id));
        quote_spanned! {Span::mixed_site()=>
            let mut __stage = __entry;
            let mut __content = #start;
            loop {
                let __next = ::std::sync::Mutex::new(::core::option::Option::None);
                let __ended = {
                    let #context = &mut *#context;
                    let __next = &__next;
                    __drive(match __stage { #(#stages)* _ => __no_such_stage::<#output>(__next) }, __next).await
                };
                if let ::core::option::Option::Some(__output) = __ended {
                    return __output;
                }
                match __taken(__next) {
                    ::core::result::Result::Ok(__to) => (__stage, __content) = __to,
                    ::core::result::Result::Err(__halt) => return #context.halt(__halt).await,
                }
            }
        }
    }

    /// What the first stage is entered with: the input, unless a stored instance is resumed.
    fn start(&self) -> TokenStream {
        let input = hidden("__input");
        let context = &self.context;
        let witness = self.witness(StateId(0));
        let fields = self.body.params.iter().map(|(field, _)| quote!(#input.#field));
        quote_spanned! {Span::mixed_site()=>
            match #input {
                _ if __entry != 0 => ::core::option::Option::None,
                ::core::option::Option::Some(#input) => __boxed(#witness, ((#(#fields,)*),)),
                ::core::option::Option::None => {
                    return #context.halt(::workflow_runtime::__private::Halt::no_input()).await
                }
            }
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

        let variables: Vec<_> = payload.iter().map(|binding| self.pattern(*binding)).collect();
        let variables = quote!((#(#variables,)*));
        let deferred = deferred.map(|binding| {
            let pattern = self.pattern(*binding);
            let ty = self.body.binding(*binding).ty.as_ref().map(|ty| quote!(: #ty));
            quote!(let #pattern #ty;)
        });
        let value = info.value.map(|value| self.pattern(value));
        let witness = self.witness(id);
        let enter = match info.kind {
            StateKind::Point(number) => self.perform(id, number, &variables, value.as_ref()),
            _ => {
                let value = value.map(|value| quote!(#value,));
                quote_spanned!(Span::mixed_site()=> let (#value #variables,) = __unboxed(#witness, __content);)
            }
        };
        let code = self.seq(info.body, scope);
        let output = self.output;
        let label = self.label();
        let items = items.iter().map(|LoopItem { pat, item, .. }| {
            quote_spanned! {Span::mixed_site()=>
                #[allow(unused_variables, unused_parens)]
                let ::core::option::Option::Some(#pat) = (#item) else {
                    __stop(__next, ::workflow_runtime::__private::Halt::no_such_item());
                    break #label
                };
            }
        });
        quote_spanned! {Span::mixed_site()=>
            #number => ::std::boxed::Box::pin(async move {
                if false { return __some::<#output>(); }
                #label: { #enter #(#deferred)* #(#items)* #code }
                ::core::future::pending().await
            }),
        }
    }

    pub(super) fn label(&self) -> syn::Lifetime {
        syn::Lifetime::new("'__stage", Span::mixed_site())
    }

    /// The transition to a stage that is entered with `content`.
    pub(super) fn go(&self, target: StateId, content: &TokenStream) -> TokenStream {
        let label = self.label();
        let number = self.numbers[&target];
        let witness = self.witness(target);
        let span = self.await_span(target);
        let boxed = quote_spanned!(span=> __boxed(#witness, #content));
        quote_spanned! {Span::mixed_site()=>
            __go(__next, #number, #boxed);
            break #label;
        }
    }

    /// The functions that stages share.
    pub(super) fn helpers(&self) -> TokenStream {
        let output = quote!(
            ::core::pin::Pin<
                ::std::boxed::Box<dyn ::core::future::Future<Output = T> + ::core::marker::Send + 'a>,
            >
        );
        quote_spanned! {Span::mixed_site()=>
            type __Content = ::core::option::Option<
                ::std::boxed::Box<dyn ::core::any::Any + ::core::marker::Send>
            >;
            type __Next = ::std::sync::Mutex<::core::option::Option<
                ::core::result::Result<(usize, __Content), ::workflow_runtime::__private::Halt>
            >>;
            struct __Witness<T>(::core::marker::PhantomData<fn() -> T>);
            impl<T> ::core::clone::Clone for __Witness<T> {
                fn clone(&self) -> Self { *self }
            }
            impl<T> ::core::marker::Copy for __Witness<T> {}
            fn __boxed<T: ::core::marker::Send + 'static>(_: __Witness<T>, content: T) -> __Content {
                ::core::option::Option::Some(::std::boxed::Box::new(content))
            }
            fn __unboxed<T: 'static>(_: __Witness<T>, content: __Content) -> T {
                match content.map(|content| content.downcast::<T>()) {
                    ::core::option::Option::Some(::core::result::Result::Ok(content)) => *content,
                    _ => __some(),
                }
            }
            fn __some<T>() -> T {
                ::core::unreachable!()
            }
            fn __go(next: &__Next, stage: usize, content: __Content) {
                if let ::core::result::Result::Ok(mut next) = next.lock() {
                    *next = ::core::option::Option::Some(::core::result::Result::Ok((stage, content)));
                }
            }
            fn __read<T>(
                next: &__Next,
                value: ::core::result::Result<T, ::workflow_runtime::__private::Halt>,
            ) -> ::core::option::Option<T> {
                match value {
                    ::core::result::Result::Ok(value) => ::core::option::Option::Some(value),
                    ::core::result::Result::Err(halt) => {
                        __stop(next, halt);
                        ::core::option::Option::None
                    }
                }
            }
            fn __stop(next: &__Next, halt: ::workflow_runtime::__private::Halt) {
                if let ::core::result::Result::Ok(mut next) = next.lock() {
                    *next = ::core::option::Option::Some(::core::result::Result::Err(halt));
                }
            }
            fn __taken(
                next: __Next,
            ) -> ::core::result::Result<(usize, __Content), ::workflow_runtime::__private::Halt> {
                match next.into_inner() {
                    ::core::result::Result::Ok(::core::option::Option::Some(next)) => next,
                    _ => __some(),
                }
            }
            fn __no_such_stage<'a, T: 'a>(next: &'a __Next) -> #output {
                __stop(next, ::workflow_runtime::__private::Halt::no_such_point());
                ::std::boxed::Box::pin(::core::future::pending())
            }
            async fn __drive<'a, T>(mut code: #output, next: &__Next) -> ::core::option::Option<T> {
                ::core::future::poll_fn(|context| match code.as_mut().poll(context) {
                    ::core::task::Poll::Ready(output) => {
                        ::core::task::Poll::Ready(::core::option::Option::Some(output))
                    }
                    ::core::task::Poll::Pending => match next.lock() {
                        ::core::result::Result::Ok(next) if next.is_none() => ::core::task::Poll::Pending,
                        _ => ::core::task::Poll::Ready(::core::option::Option::None),
                    },
                }).await
            }
        }
    }
}
