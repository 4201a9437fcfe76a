//! Emits the state machine: an enum with one variant per state, and a loop that matches on it.
//!
//! The enum's payloads are generic parameters, so rustc infers every type from the code that makes and takes them. All
//! code of a state is structured Rust; it ends by setting the next state, or by returning.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Stmt, Type};

use super::Compiled;
use super::ir::{BindingId, BindingKind, Body, End, Node, SeqId, StateId, StateKind};
use super::liveness::Liveness;

pub(crate) fn expand(body: &Body, live: &Liveness, output: &Type) -> Compiled {
    Expander::new(body, live).run(output)
}

struct Expander<'a> {
    body: &'a Body,
    live: &'a Liveness,
    /// The states that are variants of the enum, in source order.
    states: Vec<StateId>,
    /// Reachable points, by the number they had in lowering, and their final numbers.
    points: BTreeMap<usize, usize>,
    /// Immutable variables that are stored: written once, however many steps they live.
    constants: BTreeSet<BindingId>,
    /// The first point that each stored variable lives across; messages name it.
    first_point: BTreeMap<BindingId, usize>,
    context: Ident,
    state: Ident,
}

impl<'a> Expander<'a> {
    fn new(body: &'a Body, live: &'a Liveness) -> Self {
        let states: Vec<_> =
            live.reachable.iter().copied().filter(|state| !live.inlined.contains(state)).collect();
        let mut points = BTreeMap::new();
        let mut first_point = BTreeMap::new();
        for state in &states {
            if let StateKind::Point(number) = body.state(*state).kind {
                points.insert(number, 0);
                for id in &live.live[state.0] {
                    first_point.entry(*id).or_insert(number);
                }
            }
        }
        points.values_mut().enumerate().for_each(|(number, slot)| *slot = number);
        let constants = first_point
            .keys()
            .copied()
            .filter(|id| body.binding(*id).kind == BindingKind::User && !body.binding(*id).mutable)
            .collect();
        let site = Span::mixed_site();
        Expander {
            body,
            live,
            states,
            points,
            constants,
            first_point,
            context: Ident::new("__context", site),
            state: Ident::new("__state", site),
        }
    }

    fn run(&self, output: &Type) -> Compiled {
        let site = Span::mixed_site();
        let (context, state) = (&self.context, &self.state);
        let input = Ident::new("__input", site);
        let items = &self.body.items;
        let declaration = self.declaration();
        let markers = self.markers();
        let operations = self.operations();
        let start = self.start();
        let resumes = self.resumes();
        let arms: Vec<_> = self.states.iter().map(|state| self.arm(*state)).collect();
        let checks = self.checks();
        let points: Vec<String> =
            self.points.keys().map(|number| self.body.points[*number].name.clone()).collect();
        let run = quote! {
            #(#items)*
            #declaration
            #markers
            let __witness = ::core::marker::PhantomData;
            let __entry = #context.entry(<Self as ::workflow_runtime::Workflow>::POINTS);
            if __entry == ::workflow_runtime::__private::DESCRIBE {
                #operations
                return #context.halt(::workflow_runtime::__private::Halt::described()).await;
            }
            let mut #state = ::workflow_runtime::__private::witness(&__witness, match __entry {
                0 => match #input {
                    ::core::option::Option::Some(#input) => #start,
                    ::core::option::Option::None => {
                        return #context.halt(::workflow_runtime::__private::Halt::no_input()).await
                    }
                },
                #resumes
                _ => return #context.halt(::workflow_runtime::__private::Halt::no_such_point()).await,
            });
            '__workflow: loop {
                match #state { #(#arms)* }
            }
            #checks
            ::core::unreachable!()
        };
        let _ = output;
        Compiled { points, run }
    }

    // The enum.

    fn variant(&self, id: StateId) -> Ident {
        let name = match self.body.state(id).kind {
            StateKind::Start => "Start".to_owned(),
            StateKind::Point(number) => format!("Point{}", self.points[&number]),
            StateKind::Join => format!("Join{}", id.0),
        };
        Ident::new(&name, Span::mixed_site())
    }

    /// The type parameters of a state's variant: first its operation or value, then its variables.
    fn parameters(&self, id: StateId) -> Vec<Ident> {
        let variables = format_ident!("V{}", id.0);
        match self.body.state(id).kind {
            StateKind::Point(_) => vec![format_ident!("O{}", id.0), variables],
            _ if self.body.state(id).value.is_some() => vec![format_ident!("X{}", id.0), variables],
            _ => vec![variables],
        }
    }

    fn declaration(&self) -> TokenStream {
        let parameters: Vec<Ident> = self.states.iter().flat_map(|id| self.parameters(*id)).collect();
        let variants = self.states.iter().map(|id| {
            let variant = self.variant(*id);
            let own = self.parameters(*id);
            match self.body.state(*id).kind {
                StateKind::Point(_) => {
                    let (operation, variables) = (&own[0], &own[1]);
                    quote!(#variant(::workflow_runtime::__private::Prepared<#operation>, #variables))
                }
                _ => quote!(#variant(#(#own),*)),
            }
        });
        let operations: Vec<Ident> = self
            .states
            .iter()
            .filter(|id| matches!(self.body.state(**id).kind, StateKind::Point(_)))
            .map(|id| format_ident!("O{}", id.0))
            .collect();
        quote! {
            enum __State<#(#parameters),*> { #(#variants),* }
            fn __operations<#(#parameters),*>(
                _: &::core::marker::PhantomData<__State<#(#parameters),*>>,
            ) -> (#(::core::marker::PhantomData<#operations>,)*) {
                (#(::core::marker::PhantomData::<#operations>,)*)
            }
        }
    }

    /// One type per point, so that messages can name the await.
    fn markers(&self) -> TokenStream {
        let markers: BTreeSet<Ident> = self.first_point.values().map(|number| self.marker(*number)).collect();
        let markers = markers.iter();
        quote! {
            #[allow(non_camel_case_types, dead_code)]
            mod __await_of { #(pub(super) enum #markers {})* }
        }
    }

    fn marker(&self, number: usize) -> Ident {
        let name = &self.body.points[number].name;
        let mut text: String =
            name.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect();
        if text.starts_with(|c: char| c.is_numeric()) || text == "_" {
            text.insert(0, '_');
        }
        syn::parse_str::<Ident>(&text).unwrap_or_else(|_| format_ident!("r#{}", text))
    }

    fn operations(&self) -> TokenStream {
        let describe = self.points.iter().map(|(number, point)| {
            let context = &self.context;
            let span = self.body.points[*number].span.resolved_at(Span::mixed_site());
            let operation = Ident::new("__operation", span);
            let index = syn::Index::from(*point);
            let described = format_ident!("__described");
            quote_spanned! {span=>
                let #operation = #described.#index;
                ::workflow_runtime::__private::describe(#context, #point, #operation);
            }
        });
        quote! {
            let __described = __operations(&__witness);
            #(#describe)*
        }
    }

    // Entries.

    fn start(&self) -> TokenStream {
        let start = StateId(0);
        let variant = self.variant(start);
        let site = Span::mixed_site();
        let fields = self.payload(start).into_iter().map(|id| {
            let field = &self.body.binding(id).ident;
            let input = Ident::new("__input", site);
            quote!(#input.#field)
        });
        quote!(__State::#variant((#(#fields,)*)))
    }

    fn resumes(&self) -> TokenStream {
        self.states
            .iter()
            .filter_map(|id| match self.body.state(*id).kind {
                StateKind::Point(number) => Some((*id, self.points[&number])),
                _ => None,
            })
            .map(|(id, point)| {
                let entry = point + 1;
                let variant = self.variant(id);
                let context = &self.context;
                let names = self.stored_names(id);
                let values = self.payload(id).into_iter().map(|binding| {
                    let name = &names[&binding];
                    let span = self.body.binding(binding).ident.span().resolved_at(Span::mixed_site());
                    if self.body.binding(binding).kind == BindingKind::Loop {
                        quote_spanned!(span=> ::workflow_runtime::__private::restore_loop(#context, #name)?)
                    } else {
                        let restore = Ident::new("restore", span);
                        let marker = self.marker(self.first_point[&binding]);
                        quote!(::workflow_runtime::__private::#restore::<_, __await_of::#marker>(#context, #name)?)
                    }
                });
                quote! {
                    #entry => match (|| ::core::result::Result::Ok::<_, ::workflow_runtime::__private::Halt>(
                        __State::#variant(#context.restore_operation()?, (#(#values,)*))
                    ))() {
                        ::core::result::Result::Ok(__resumed) => __resumed,
                        ::core::result::Result::Err(__halt) => return #context.halt(__halt).await,
                    },
                }
            })
            .collect()
    }

    /// The variables that a state is entered with, in a fixed order.
    fn payload(&self, id: StateId) -> Vec<BindingId> {
        match self.body.state(id).kind {
            StateKind::Start => self.body.state(id).scope.clone(),
            _ => self.live.live[id.0].iter().copied().collect(),
        }
    }

    /// The names under which a point stores its variables. They do not depend on unrelated code: a user's variable has
    /// its own name, a loop is named after its pattern, temporaries are counted per point.
    fn stored_names(&self, id: StateId) -> BTreeMap<BindingId, String> {
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

    // States.

    fn arm(&self, id: StateId) -> TokenStream {
        let variant = self.variant(id);
        let variables = self.payload(id).into_iter().map(|binding| self.pattern(binding));
        let info = self.body.state(id);
        let deferred = self.live.deferred.get(&id).into_iter().flatten().map(|binding| {
            let pattern = self.pattern(*binding);
            quote!(let #pattern;)
        });
        let code = self.seq(info.body);
        match (info.kind, info.value) {
            (StateKind::Point(number), Some(result)) => {
                let perform = self.perform(id, number, result);
                quote! {
                    __State::#variant(__operation, (#(#variables,)*)) => '__plain: {
                        #(#deferred)* #perform #code
                    }
                }
            }
            (_, Some(value)) => {
                let value = self.pattern(value);
                quote! {
                    __State::#variant(#value, (#(#variables,)*)) => '__plain: { #(#deferred)* #code }
                }
            }
            (_, None) => quote! {
                __State::#variant((#(#variables,)*)) => '__plain: { #(#deferred)* #code }
            },
        }
    }

    fn pattern(&self, id: BindingId) -> TokenStream {
        let binding = self.body.binding(id);
        let ident = &binding.ident;
        if binding.mutable { quote!(mut #ident) } else { quote!(#ident) }
    }

    fn perform(&self, id: StateId, number: usize, result: BindingId) -> TokenStream {
        let context = &self.context;
        let point = self.points[&number];
        let result = &self.body.binding(result).ident;
        let names = self.stored_names(id);
        let saves: Vec<_> = self
            .payload(id)
            .into_iter()
            .map(|binding| {
                let ident = &self.body.binding(binding).ident;
                let name = &names[&binding];
                let span = ident.span().resolved_at(Span::mixed_site());
                let slot = binding.0 as u32;
                if self.body.binding(binding).kind == BindingKind::Loop {
                    let saver = format_ident!("__saver");
                    return quote_spanned! {span=>
                        ::workflow_runtime::__private::save_loop(&mut #saver, #name, #slot, &#ident);
                    };
                }
                let marker = self.marker(self.first_point[&binding]);
                if self.constants.contains(&binding) {
                    let save = Ident::new("save_constant", span);
                    quote! {
                        ::workflow_runtime::__private::#save::<_, __await_of::#marker>(
                            &mut __saver, #name, #slot, &#ident,
                        );
                    }
                } else {
                    let save = Ident::new("save", span);
                    quote! {
                        ::workflow_runtime::__private::#save::<_, __await_of::#marker>(&mut __saver, #name, &#ident);
                    }
                }
            })
            .collect();
        let saver = if saves.is_empty() { quote!(__saver) } else { quote!(mut __saver) };
        quote! {
            if let ::core::option::Option::Some(#saver) = #context.checkpoint(#point, &__operation) {
                #(#saves)*
            }
            let #result = #context.perform(__operation).await;
        }
    }

    fn rebinds(&self, defs: &[BindingId]) -> TokenStream {
        let context = &self.context;
        defs.iter()
            .filter(|id| self.constants.contains(id))
            .map(|id| {
                let slot = id.0 as u32;
                quote!(#context.rebind(#slot);)
            })
            .collect()
    }

    // Sequences.

    fn seq(&self, id: SeqId) -> TokenStream {
        let seq = self.body.seq(id);
        let nodes = seq.nodes.iter().map(|node| self.node(node));
        let end = self.end(&seq.end);
        quote!(#(#nodes)* #end)
    }

    fn node(&self, node: &Node) -> TokenStream {
        match node {
            Node::Let { attrs, pat, init, defs, .. } => {
                let init = init.as_ref().map(|init| quote!(= #init));
                let rebinds = self.rebinds(defs);
                quote!(#(#attrs)* let #pat #init; #rebinds)
            }
            Node::LetElse { pat, init, defs, otherwise, .. } => {
                let otherwise = self.seq(*otherwise);
                let rebinds = self.rebinds(defs);
                quote!(let #pat = #init else { #otherwise }; #rebinds)
            }
            Node::Stmt { stmt: Stmt::Expr(expr, None), .. } if ends_like_a_block(expr) => quote!(#expr),
            Node::Stmt { stmt: Stmt::Expr(expr, None), .. } => quote!(#expr;),
            Node::Stmt { stmt: Stmt::Macro(stmt), .. } => {
                let mac = &stmt.mac;
                let attrs = &stmt.attrs;
                quote!(#(#attrs)* #mac;)
            }
            Node::Stmt { stmt, .. } => quote!(#stmt),
            Node::Leave { .. } => TokenStream::new(),
        }
    }

    fn end(&self, end: &End) -> TokenStream {
        match end {
            End::Diverges => TokenStream::new(),
            End::Return { value, .. } => quote!(return #value;),
            End::Goto { state, value, .. } => self.goto(*state, value.as_ref()),
            End::Point { state, operation, .. } => {
                let (context, current) = (&self.context, &self.state);
                let variant = self.variant(*state);
                let variables = self.variables(*state);
                let StateKind::Point(number) = self.body.state(*state).kind else { return TokenStream::new() };
                let span = self.body.points[number].span.resolved_at(Span::mixed_site());
                let awaited = Ident::new("__awaited", span);
                let prepare = quote_spanned!(span=> #context.prepare(#awaited));
                quote! {
                    let #awaited = #operation;
                    let __operation = #prepare;
                    #current = __State::#variant(__operation, #variables);
                    continue '__workflow;
                }
            }
            End::If { cond, defs, then, otherwise, .. } => {
                let rebinds = self.rebinds(defs);
                let then = self.seq(*then);
                // A branch that only leads on is written behind the `if`, which keeps long functions flat.
                if let Some(after) = self.only_leads_on(*otherwise) {
                    let after = self.goto(after, None);
                    return quote!(if #cond { #rebinds #then } #after);
                }
                let otherwise = self.seq(*otherwise);
                quote!(if #cond { #rebinds #then } else { #otherwise })
            }
            End::Match { scrutinee, arms, .. } => {
                let arms = arms.iter().map(|arm| {
                    let attrs = &arm.attrs;
                    let pat = &arm.pat;
                    let guard = arm.guard.as_ref().map(|guard| quote!(if #guard));
                    let rebinds = self.rebinds(&arm.defs);
                    let body = self.seq(arm.body);
                    quote!(#(#attrs)* #pat #guard => { #rebinds #body })
                });
                quote!(match #scrutinee { #(#arms)* })
            }
        }
    }

    /// The inlined join behind a sequence that does nothing but lead there.
    fn only_leads_on(&self, seq: SeqId) -> Option<StateId> {
        let seq = self.body.seq(seq);
        let silent = seq.nodes.iter().all(|node| matches!(node, Node::Leave { .. }));
        match &seq.end {
            End::Goto { state, value: None, .. } if silent && self.live.inlined.contains(state) => Some(*state),
            _ => None,
        }
    }

    fn goto(&self, id: StateId, value: Option<&Expr>) -> TokenStream {
        let info = self.body.state(id);
        let ty = info.ty.as_ref();
        if self.live.inlined.contains(&id) {
            let bind = info.value.zip(value).map(|(binding, value)| {
                let pattern = self.pattern(binding);
                let ty = ty.map(|ty| quote!(: #ty));
                quote!(let #pattern #ty = #value;)
            });
            let code = self.seq(info.body);
            return quote!(#bind #code);
        }
        let current = &self.state;
        let variant = self.variant(id);
        let variables = self.variables(id);
        let value = info.value.zip(value).map(|(_, value)| match ty {
            Some(ty) => {
                let span = value.span().resolved_at(Span::mixed_site());
                quote_spanned!(span=> { let __value: #ty = #value; __value },)
            }
            None => quote!(#value,),
        });
        quote! {
            #current = __State::#variant(#value #variables);
            continue '__workflow;
        }
    }

    fn variables(&self, id: StateId) -> TokenStream {
        let variables = self.payload(id).into_iter().map(|binding| &self.body.binding(binding).ident);
        quote!((#(#variables,)*))
    }

    // Checks.

    /// Code that never runs and exists for its errors: each stored variable is checked once, where all types are known.
    fn checks(&self) -> TokenStream {
        let mut arms = Vec::new();
        for id in &self.states {
            let StateKind::Point(number) = self.body.state(*id).kind else { continue };
            let payload = self.payload(*id);
            let first = |binding: &BindingId| self.first_point[binding] == number;
            if !payload.iter().any(first) {
                continue;
            }
            let variant = self.variant(*id);
            let mut fields = Vec::new();
            let mut checks = Vec::new();
            for binding in &payload {
                if !first(binding) {
                    fields.push(quote!(_));
                    continue;
                }
                let info = self.body.binding(*binding);
                let ident = &info.ident;
                let span = ident.span().resolved_at(Span::mixed_site());
                fields.push(quote!(#ident));
                let marker = self.marker(number);
                let check = Ident::new("__check", span);
                let kept = if info.kind == BindingKind::Loop { quote!(KeptLoop) } else { quote!(Kept) };
                checks.push(quote! {
                    (&::workflow_runtime::__private::#kept::<_, __await_of::#marker>::new(&#ident)).#check();
                });
            }
            arms.push(quote!(__State::#variant(_, (#(#fields,)*)) => { #(#checks)* }));
        }
        quote! {
            #[allow(unreachable_code, unused_imports)]
            {
                use ::workflow_runtime::__private::{ReferenceKept as _, ValueKept as _};
                match ::workflow_runtime::__private::unwitness(&__witness) { #(#arms)* _ => {} }
            }
        }
    }
}

/// Statements that need no semicolon.
fn ends_like_a_block(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::If(_) | Expr::Match(_) | Expr::Block(_) | Expr::Unsafe(_) | Expr::Loop(_) | Expr::While(_) | Expr::ForLoop(_)
    )
}
