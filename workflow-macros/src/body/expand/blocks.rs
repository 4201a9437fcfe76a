//! The `async` blocks of a body, and the parts of a machine that only a block's has.
//!
//! A block is a value at its place in the body, and code in an arm of the choice of the stage, behind the stage that
//! holds the block: there rustc knows the types of the captures, and does not yet ask for that of the output. The arm is
//! entered when the workflow describes itself, which it does before it runs: from then on the code of each block can be
//! found by its type, also where a resumed workflow has not made the block.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::super::blocks;
use super::super::flow;
use super::super::ir::{End, StateId};
use super::{Expander, Form, hidden};

impl Expander<'_> {
    fn code(number: usize) -> Ident {
        hidden(&format!("__code{number}"))
    }

    /// The types that stand for the blocks, and the variables that learn the types of their captures and outputs.
    pub(super) fn block_witnesses(&self, emitted: &[usize]) -> TokenStream {
        let returned = matches!(self.form, Form::Block(_)).then(|| {
            quote_spanned! {Span::mixed_site()=>
                let __returned = ::core::marker::PhantomData;
                if false {
                    return ::core::option::Option::Some(::workflow_runtime::__private::unwitness(&__returned));
                }
            }
        });
        let witnesses = emitted.iter().map(|number| {
            let (name, code) = (hidden(&format!("__Block{number}")), Self::code(*number));
            quote_spanned! {Span::mixed_site()=>
                struct #name;
                impl ::workflow_runtime::__private::BlockCode for #name {
                    fn slot() -> &'static ::workflow_runtime::__private::CodeSlot {
                        static SLOT: ::workflow_runtime::__private::CodeSlot =
                            ::workflow_runtime::__private::CodeSlot::new();
                        &SLOT
                    }
                }
                let #code = ::workflow_runtime::__private::Code::<#name, _, _>::new();
            }
        });
        quote!(#(#witnesses)* #returned)
    }

    /// Puts the blocks in their places.
    pub(super) fn fill_blocks(&self, run: TokenStream) -> TokenStream {
        if self.machines.is_empty() {
            return run;
        }
        blocks::fill(run, &|number, captures| {
            let Some(machine) = self.machines.get(number) else {
                return TokenStream::new();
            };
            let code = Self::code(number);
            let names = machine.block.captures.iter();
            let captured = names.zip(captures).map(|(capture, ident)| {
                let name = flow::text(&capture.ident);
                let (function, value) = if machine.block.moves {
                    ("moved", quote_spanned!(ident.span()=> #ident))
                } else {
                    ("copied", quote_spanned!(ident.span()=> &#ident))
                };
                let function = Ident::new(function, ident.span());
                let call = quote_spanned!(ident.span()=> ::workflow_runtime::__private::Captured::#function);
                quote_spanned!(Span::mixed_site()=> let __captures = #call(#value, #name, __captures);)
            });
            quote_spanned! {Span::mixed_site()=>
                {
                    let __captures = ::workflow_runtime::__private::Captures::new();
                    #(#captured)*
                    #code.block(__captures)
                }
            }
        })
    }

    /// The code of the blocks that stand in a stage and in none before it.
    pub(super) fn block_arms(&self, stage: &TokenStream, emitted: &mut Vec<usize>) -> TokenStream {
        if self.machines.is_empty() {
            return TokenStream::new();
        }
        let mut arms = TokenStream::new();
        for number in blocks::numbers(stage) {
            let Some(machine) = self.machines.get(number).filter(|_| !emitted.contains(&number)) else {
                continue;
            };
            let stage = self.graph.stages.len() + emitted.len();
            emitted.push(number);
            let (next, code, step) = (stage + 1, Self::code(number), &machine.step);
            let (captures, context) = (hidden("__captures"), &self.context);
            let closure = quote_spanned! {machine.block.span.resolved_at(Span::mixed_site())=>
                |#captures, #context| { #step }
            };
            arms.extend(quote_spanned! {Span::mixed_site()=>
                #stage => {
                    #code.set(#closure);
                    __stage = #next;
                    continue;
                }
            });
        }
        arms
    }

    /// What a stage may be left with.
    pub(super) fn returned(&self) -> TokenStream {
        let output = &self.output;
        match self.form {
            Form::Workflow { .. } => {
                quote_spanned!(Span::mixed_site()=> ::workflow_runtime::__private::never::<#output>())
            }
            Form::Block(_) => {
                quote_spanned!(Span::mixed_site()=> ::workflow_runtime::__private::unwitness::<#output>(&__returned))
            }
        }
    }

    /// The type of what the code gives; nobody has written down that of a block. One that never gives anything is said
    /// to give nothing.
    pub(super) fn output_of(form: &Form<'_>, body: &super::Body) -> syn::Type {
        match form {
            Form::Workflow { output } => (*output).clone(),
            Form::Block(block) => {
                let returns = body.seqs.iter().any(|seq| matches!(seq.end, End::Return { .. }));
                if !returns && !leaves(&block.block) {
                    syn::parse_quote!(())
                } else {
                    syn::parse_quote!(_)
                }
            }
        }
    }

    /// The pattern of the list of a block's captures.
    fn captures(&self) -> TokenStream {
        let fields = self.body.params.iter().map(|(field, _)| field);
        fields.fold(quote!(()), |before, field| quote!((#before, #field)))
    }

    /// What a block's first stage is entered with: its captures, from the store.
    pub(super) fn stored_captures(&self, id: StateId) -> TokenStream {
        let (context, label) = (&self.context, self.label());
        let payload = self.payload(id);
        let patterns = payload.iter().map(|id| self.pattern(*id));
        let values = payload.iter().map(|id| {
            let binding = self.body.binding(*id);
            let (name, span) = (&binding.name, binding.ident.span());
            let restored = quote_spanned!(span=> ::workflow_runtime::__private::Captured::restored);
            let restored = quote_spanned!(span=> #restored(#context, #name));
            quote_spanned! {Span::mixed_site()=>
                match #restored {
                    ::core::option::Option::Some(__value) => __value,
                    ::core::option::Option::None => break #label,
                }
            }
        });
        let (captures, list) = (hidden("__captures"), self.captures());
        let fields = self.body.params.iter().map(|(field, _)| field);
        // The list tells the types.
        quote_spanned! {Span::mixed_site()=>
            let (#(#patterns,)*) = if false {
                let #list = ::workflow_runtime::__private::unwitness(&#captures);
                (#(#fields,)*)
            } else {
                (#(#values,)*)
            };
            #context.captured();
        }
    }

    /// Code that never runs and exists for its errors: no capture is a reference.
    pub(super) fn capture_checks(&self) -> TokenStream {
        if !matches!(self.form, Form::Block(_)) || self.body.params.is_empty() {
            return TokenStream::new();
        }
        let (captures, list) = (hidden("__captures"), self.captures());
        let checks = self.body.params.iter().map(|(ident, _)| {
            quote_spanned! {ident.span()=>
                (&::workflow_runtime::__private::CapturedVariable::new(&#ident)).__must_be_owned();
            }
        });
        quote_spanned! {Span::mixed_site()=>
            use ::workflow_runtime::__private::{ReferenceCaptured as _, ValueCaptured as _};
            let #list = ::workflow_runtime::__private::unwitness(&#captures);
            #(#checks)*
        }
    }
}

/// Whether code may leave its block with `return` or `?`.
fn leaves(block: &syn::Block) -> bool {
    struct Finder(bool);
    impl<'ast> syn::visit::Visit<'ast> for Finder {
        fn visit_expr(&mut self, expr: &'ast syn::Expr) {
            match expr {
                syn::Expr::Closure(_) | syn::Expr::Async(_) => {}
                syn::Expr::Return(_) | syn::Expr::Try(_) => self.0 = true,
                _ => syn::visit::visit_expr(self, expr),
            }
        }
        fn visit_macro(&mut self, mac: &'ast syn::Macro) {
            self.0 |= mac.tokens.to_string().contains(['?']) || mac.tokens.to_string().contains("return");
        }
        fn visit_item(&mut self, _: &'ast syn::Item) {}
    }
    let mut finder = Finder(false);
    syn::visit::Visit::visit_block(&mut finder, block);
    finder.0
}
