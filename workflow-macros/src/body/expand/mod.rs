//! Emits the state machine: a loop that runs one stage after the other.
//!
//! Each stage (see [`graph`](super::graph)) is an async block: it takes what the stage is entered with, stores it and
//! performs the operation if it is a durable point, runs the code behind it, and ends by naming the next stage and what
//! that one is entered with. Because a stage is an async block, `return` and `?` end it with the workflow's output.
//!
//! ```text
//! loop {
//!     let code: Pin<Box<dyn Future<Output = Output> + Send>> = match stage {
//!         3 => Box::pin(async move {
//!             'stage: {
//!                 let (operation, (a, b)) = content, or what was stored at point 3;
//!                 store a and b; let value = perform(operation).await;
//!                 ...
//!                 go to stage 4 with (operation, (b, c)); break 'stage;
//!             }
//!             pending().await
//!         }),
//!     };
//! }
//! ```
//!
//! What a stage is entered with is boxed. Its type is a tuple that rustc infers: one witness per stage ties the places
//! that make it to the place that takes it. Every block is a function of its own to rustc, so compile time is
//! proportional to the number of stages (one large function, or an enum with a type parameter per state, costs the
//! square of it and more), and the future holds the running stage only. The stages stand in source order, so types are
//! inferred from top to bottom as in the source.

mod points;
mod sequences;
mod stages;

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Type;

use super::Compiled;
use super::graph::Graph;
use super::ir::{BindingId, BindingKind, Bindings, Body, StateId, StateKind};
use super::liveness::Liveness;

pub(crate) fn expand(body: &Body, graph: &Graph, live: &Liveness, output: &Type) -> Compiled {
    let expander = Expander::new(body, graph, live, output);
    let points = expander
        .points
        .keys()
        .map(|number| body.points[*number].name.clone())
        .collect();
    Compiled {
        points,
        items: expander.items(),
        run: expander.run(),
    }
}

struct Expander<'a> {
    body: &'a Body,
    graph: &'a Graph,
    live: &'a Liveness,
    output: &'a Type,
    /// Reachable points, by the number they had in lowering, and their final numbers.
    points: BTreeMap<usize, usize>,
    /// The number of each stage: 0 for the start, one more than the point's number for points, then the joins.
    numbers: BTreeMap<StateId, usize>,
    /// Immutable variables that are stored: written once, however many steps they live.
    constants: BTreeSet<BindingId>,
    /// The first point that each stored variable lives across; messages name it.
    first_point: BTreeMap<BindingId, usize>,
    context: Ident,
}

/// What is known at the place where code is being emitted.
#[derive(Clone, Default)]
struct Scope {
    /// Variables that the stage's code mentions.
    mentioned: Bindings,
    /// Variables declared around this place, in the emitted code.
    declared: Bindings,
    /// For each inner join whose block is open here: the variables that leave the block with the jump.
    open: BTreeMap<StateId, Vec<BindingId>>,
}

/// An identifier that user code cannot mention.
fn hidden(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

impl<'a> Expander<'a> {
    fn new(body: &'a Body, graph: &'a Graph, live: &'a Liveness, output: &'a Type) -> Self {
        let mut points = BTreeMap::new();
        let mut first_point = BTreeMap::new();
        for state in &graph.stages {
            if let StateKind::Point(number) = body.state(*state).kind {
                points.insert(number, 0);
                for id in &live.live[state.0] {
                    first_point.entry(*id).or_insert(number);
                }
            }
        }
        points
            .values_mut()
            .enumerate()
            .for_each(|(number, slot)| *slot = number);
        let mut joins = points.len();
        let numbers = graph.stages.iter().map(|state| {
            let number = match body.state(*state).kind {
                StateKind::Start => 0,
                StateKind::Point(number) => points[&number] + 1,
                StateKind::Join => {
                    joins += 1;
                    joins
                }
            };
            (*state, number)
        });
        let numbers = numbers.collect();
        let constants = first_point
            .keys()
            .copied()
            .filter(|id| body.binding(*id).kind == BindingKind::User && !body.binding(*id).mutable)
            .collect();
        Expander {
            body,
            graph,
            live,
            output,
            points,
            numbers,
            constants,
            first_point,
            context: hidden("__context"),
        }
    }

    fn run(&self) -> TokenStream {
        let items = &self.body.items;
        let witnesses = self.graph.stages.iter().map(|id| self.witness(*id));
        let machine = self.machine();
        let describe = self.describe();
        let checks = self.checks();
        let context = &self.context;
        let scaffold = quote_spanned! {Span::mixed_site()=>
            let __entry = #context.entry(<Self as ::workflow_runtime::Workflow>::POINTS);
            if __entry != ::workflow_runtime::__private::DESCRIBE {
                #machine
            }
            #describe
            return #context.halt(::workflow_runtime::__private::Halt::described()).await;
            #checks
        };
        let witnesses = quote_spanned! {Span::mixed_site()=>
            #(let #witnesses = __Witness(::core::marker::PhantomData);)*
        };
        quote!(#(#items)* #witnesses #scaffold)
    }

    fn witness(&self, id: StateId) -> Ident {
        hidden(&format!("__witness{}", self.numbers[&id]))
    }

    /// The variables that a stage is entered with, in a fixed order.
    fn payload(&self, id: StateId) -> Vec<BindingId> {
        match self.body.state(id).kind {
            StateKind::Start => self.body.state(id).scope.clone(),
            _ => self.live.live[id.0].iter().copied().collect(),
        }
    }

    /// The pattern that binds a variable again.
    fn pattern(&self, id: BindingId) -> TokenStream {
        let binding = self.body.binding(id);
        let ident = &binding.ident;
        if binding.mutable {
            quote!(mut #ident)
        } else {
            quote!(#ident)
        }
    }

    fn mentions(&self, ids: &[BindingId]) -> TokenStream {
        let idents = ids.iter().map(|id| &self.body.binding(*id).ident);
        quote!((#(#idents,)*))
    }

    fn marker(&self, number: usize) -> Ident {
        let name = &self.body.points[number].name;
        let mut text: String = name
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' })
            .collect();
        if text.starts_with(|c: char| c.is_numeric()) || text == "_" {
            text.insert(0, '_');
        }
        syn::parse_str::<Ident>(&text).unwrap_or_else(|_| format_ident!("r#{}", text))
    }
}
