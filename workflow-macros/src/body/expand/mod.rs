//! Emits the state machine: a function that runs one stage.
//!
//! Each stage (see [`graph`](super::graph)) takes what it is entered with, runs its code, and ends by naming the stage to
//! go on at: at once, or behind the await of an operation. It is an async block that is polled once and never kept, so that
//! `return` and `?` end it with the workflow's output; where it goes on elsewhere, it waits instead of ending.
//!
//! ```text
//! match context.stage() {
//!     3 => run(async move {
//!         'stage: {
//!             let Some((value, (a, b))) = the output of point 2's operation, and its variables, else { break 'stage };
//!             ...
//!             await(operation, point 3, (b, c)); break 'stage;
//!         }
//!         pending().await
//!     }),
//! }
//! ```
//!
//! Whatever happens between two stages (a step is committed, its operation is performed) is code of the runtime that is
//! compiled once; generated code makes one call where it leaves for a point and one where it is back. How a variable is
//! stored is a value, made once per variable ([`points`]), and a point has the tuple of its variables' ones: rustc ties the
//! place that makes the variables to the stage that takes them through that tuple's type.
//!
//! Every async block is a function of its own to rustc, so compile time is proportional to the number of stages (one large
//! function, or an enum with a type parameter per state, costs the square of it and more). The stages stand in source
//! order, so types are inferred from top to bottom as in the source.

mod blocks;
mod points;
mod sequences;
mod stages;

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;

use super::Compiled;
use super::blocks::AsyncBlock;
use super::graph::Graph;
use super::ir::{BindingId, BindingKind, Bindings, Body, StateId, StateKind};
use super::liveness::Liveness;

/// What it is that is emitted.
pub(crate) enum Form<'a> {
    /// The statements of a workflow's `step` function.
    Workflow { output: &'a Type },
    /// The code of an `async` block, whose output's type nobody has written down.
    Block(&'a AsyncBlock),
}

/// The code of a block that stands in the body.
pub(crate) struct Machine<'a> {
    pub(crate) block: &'a AsyncBlock,
    pub(crate) step: TokenStream,
}

pub(crate) fn expand(
    body: &Body,
    graph: &Graph,
    live: &Liveness,
    form: &Form<'_>,
    machines: &[Machine<'_>],
) -> Compiled {
    let expander = Expander::new(body, graph, live, form, machines);
    let step = expander.step();
    Compiled {
        points: expander.point_names(),
        step: expander.fill_blocks(step),
    }
}

struct Expander<'a> {
    body: &'a Body,
    graph: &'a Graph,
    live: &'a Liveness,
    form: &'a Form<'a>,
    /// The output's type, as far as it is written down.
    output: Type,
    machines: &'a [Machine<'a>],
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
    fn new(
        body: &'a Body,
        graph: &'a Graph,
        live: &'a Liveness,
        form: &'a Form<'a>,
        machines: &'a [Machine<'a>],
    ) -> Self {
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
            form,
            output: Self::output_of(form, body),
            machines,
            points,
            numbers,
            constants,
            first_point,
            context: hidden("__context"),
        }
    }

    fn point_names(&self) -> Vec<String> {
        self.points
            .keys()
            .map(|number| self.body.points[*number].name.clone())
            .collect()
    }

    fn step(&self) -> TokenStream {
        let items = &self.body.items;
        let entries = self.graph.stages.iter().map(|id| self.entry(*id));
        let (machine, blocks) = self.machine();
        let checks = self.checks();
        let keepers = self.keepers();
        let codecs = self.codecs();
        let blocks = self.block_witnesses(&blocks);
        quote_spanned! {Span::mixed_site()=>
            #(#items)*
            #blocks
            #keepers
            #codecs
            #(#entries)*
            #machine
            #checks
        }
    }

    /// The variable that says how a stage is entered. A point's stands on the user's `await`, where rustc points at what
    /// is wrong with the operation.
    fn stage_variable(&self, id: StateId) -> Ident {
        let name = format!("__stage{}", self.numbers[&id]);
        match self.body.state(id).kind {
            StateKind::Point(number) => Ident::new(&name, self.body.points[number].span),
            _ => hidden(&name),
        }
    }

    fn entry(&self, id: StateId) -> TokenStream {
        let variable = self.stage_variable(id);
        let number = self.numbers[&id];
        match self.body.state(id).kind {
            StateKind::Start => TokenStream::new(),
            StateKind::Point(point) => {
                let (number, variables) = (self.points[&point], self.stored(id));
                quote_spanned! {Span::mixed_site()=>
                    let #variable = ::workflow_runtime::__private::Point::new(#number, #variables);
                }
            }
            StateKind::Join => quote_spanned! {Span::mixed_site()=>
                let #variable = ::workflow_runtime::__private::Join::new(#number);
            },
        }
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
}
