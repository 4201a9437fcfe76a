//! Emits the state machine as a sequence of stages.
//!
//! Each stage (see [`graph`](super::graph)) has a slot: an `Option` of what it is entered with. At any time at most one
//! slot is filled. The stages stand in source order, and each one looks like this:
//!
//! ```text
//! let (slot_4, slot_7) = match slot_3 {
//!     Some((operation, (a, b))) => 'stage_3: {
//!         save a and b; let result = perform(operation).await;
//!         ...
//!         break 'stage_3 (Some(..what stage 4 needs..), None)
//!     }
//!     None => (None or what was stored at point 4, None),
//! };
//! ```
//!
//! So control falls through from stage to stage; a loop is a `loop` around its stages, left when none of them has filled
//! the head's slot again. Rustc infers every type from top to bottom as in the source, sees each value on a straight
//! path (the future holds only what is alive, plus the slots of the loops and branches around it), and needs time
//! proportional to the number of stages.

mod points;
mod sequences;
mod stages;

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::Compiled;
use super::graph::Graph;
use super::ir::{BindingId, BindingKind, Bindings, Body, StateId, StateKind};
use super::liveness::Liveness;

pub(crate) fn expand(body: &Body, graph: &Graph, live: &Liveness) -> Compiled {
    let expander = Expander::new(body, graph, live);
    let points = expander.points.keys().map(|number| body.points[*number].name.clone()).collect();
    Compiled { points, run: expander.run() }
}

struct Expander<'a> {
    body: &'a Body,
    graph: &'a Graph,
    live: &'a Liveness,
    /// Reachable points, by the number they had in lowering, and their final numbers.
    points: BTreeMap<usize, usize>,
    /// Immutable variables that are stored: written once, however many steps they live.
    constants: BTreeSet<BindingId>,
    /// The first point that each stored variable lives across; messages name it.
    first_point: BTreeMap<BindingId, usize>,
    context: Ident,
}

/// What is known at the place where code is being emitted.
#[derive(Clone, Default)]
struct Scope {
    /// The stage being emitted.
    stage: usize,
    /// Variables declared around this place, in the emitted code.
    declared: Bindings,
    /// The successors of the stage whose slots its value fills; the other successors' slots are assigned.
    fills: Vec<StateId>,
    /// For each inner join whose block is open here: the variables that leave the block with the jump.
    open: BTreeMap<StateId, Vec<BindingId>>,
}

/// An identifier that user code cannot mention.
fn hidden(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

impl<'a> Expander<'a> {
    fn new(body: &'a Body, graph: &'a Graph, live: &'a Liveness) -> Self {
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
        points.values_mut().enumerate().for_each(|(number, slot)| *slot = number);
        let constants = first_point
            .keys()
            .copied()
            .filter(|id| body.binding(*id).kind == BindingKind::User && !body.binding(*id).mutable)
            .collect();
        Expander { body, graph, live, points, constants, first_point, context: hidden("__context") }
    }

    fn run(&self) -> TokenStream {
        let items = &self.body.items;
        let markers = self.markers();
        let start = self.start();
        let stages = self.stages();
        let describe = self.describe();
        let checks = self.checks();
        let context = &self.context;
        let scaffold = quote_spanned! {Span::mixed_site()=>
            let mut __entry = #context.entry(<Self as ::workflow_runtime::Workflow>::POINTS);
            let mut __halt = ::core::option::Option::None;
            #start
            #stages
            if __entry == ::workflow_runtime::__private::DESCRIBE {
                #describe
                __halt = ::core::option::Option::Some(::workflow_runtime::__private::Halt::described());
            }
            return #context.halt(match __halt {
                ::core::option::Option::Some(__halt) => __halt,
                ::core::option::Option::None => ::workflow_runtime::__private::Halt::no_such_point(),
            }).await;
            #checks
        };
        quote!(#(#items)* #markers #scaffold)
    }

    fn slot(&self, id: StateId) -> Ident {
        let name = match self.body.state(id).kind {
            StateKind::Start => "__start".to_owned(),
            StateKind::Point(number) => format!("__point{}", self.points[&number]),
            StateKind::Join => format!("__join{}", id.0),
        };
        hidden(&name)
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
        if binding.mutable { quote!(mut #ident) } else { quote!(#ident) }
    }

    fn mentions(&self, ids: &[BindingId]) -> TokenStream {
        let idents = ids.iter().map(|id| &self.body.binding(*id).ident);
        quote!((#(#idents,)*))
    }
}
