//! How the states of a body hang together, and which of them become stages of the emitted code.
//!
//! A *stage* is a state that can be entered from several places that share no code: the start, each durable point, each
//! head of a loop, and each join whose ways in lie in different stages. Every other join belongs to the one stage that
//! all its ways in lie in. It is emitted inside that stage's structured code, behind a labelled block at the nearest
//! sequence that dominates it, so that variables and references stay where they are and need not be carried.

use std::collections::{BTreeMap, BTreeSet};

use super::ir::{Body, End, Node, SeqId, StateId, StateKind};

/// The place inside a sequence where something begins: the index of a node, or the number of nodes for the end.
pub(crate) type Slot = usize;

#[derive(Default)]
pub(crate) struct Graph {
    /// Reachable states, in source order.
    pub(crate) reachable: Vec<StateId>,
    /// The states that are stages, in source order.
    pub(crate) stages: Vec<StateId>,
    /// Joins that are emitted inside of a stage.
    pub(crate) inner: BTreeSet<StateId>,
    /// Inner joins with several ways in, by the sequence that dominates them: where their block begins. Outer blocks
    /// come first.
    pub(crate) hung: BTreeMap<SeqId, Vec<(Slot, StateId)>>,
}

/// A transition: the state it leads to, and the way to it through the sequences of the state that it leaves.
struct Edge {
    to: StateId,
    /// It starts in the middle of a loop.
    jump: bool,
    path: Vec<(SeqId, Slot)>,
}

pub(crate) fn analyze(body: &Body) -> Graph {
    let mut edges: BTreeMap<StateId, Vec<Edge>> = BTreeMap::new();
    let mut order = vec![StateId(0)];
    let mut next = 0;
    while next < order.len() {
        let state = order[next];
        next += 1;
        let mut found = Vec::new();
        collect(body, body.state(state).body, &mut Vec::new(), &mut found);
        for edge in &found {
            if !order.contains(&edge.to) {
                order.push(edge.to);
            }
        }
        edges.insert(state, found);
    }
    order.sort_by_key(|state| body.state(*state).position);
    let mut graph = Graph {
        reachable: order,
        ..Graph::default()
    };
    let owners = graph.owners(body, &edges);
    graph.stages = graph
        .reachable
        .iter()
        .copied()
        .filter(|state| owners[state] == *state)
        .collect();
    graph.inner = graph
        .reachable
        .iter()
        .copied()
        .filter(|state| owners[state] != *state)
        .collect();
    graph.hang(body, &edges);
    graph
}

fn collect(body: &Body, seq: SeqId, path: &mut Vec<(SeqId, Slot)>, found: &mut Vec<Edge>) {
    let content = body.seq(seq);
    for (slot, node) in content.nodes.iter().enumerate() {
        for jump in node.jumps() {
            let mut path = path.clone();
            path.push((seq, slot));
            found.push(Edge {
                to: jump.state,
                jump: true,
                path,
            });
        }
        if let Node::LetElse { otherwise, .. } = node {
            path.push((seq, slot));
            collect(body, *otherwise, path, found);
            path.pop();
        }
    }
    path.push((seq, content.nodes.len()));
    match &content.end {
        End::Goto { state, .. } | End::Point { state, .. } => found.push(Edge {
            to: *state,
            jump: false,
            path: path.clone(),
        }),
        End::If { then, otherwise, .. } => {
            collect(body, *then, path, found);
            collect(body, *otherwise, path, found);
        }
        End::Match { arms, .. } => arms.iter().for_each(|arm| collect(body, arm.body, path, found)),
        End::Diverges | End::Return { .. } => {}
    }
    path.pop();
}

impl Graph {
    /// For each state, the stage that its code belongs to.
    fn owners(&self, body: &Body, edges: &BTreeMap<StateId, Vec<Edge>>) -> BTreeMap<StateId, StateId> {
        let mut ways_in: BTreeMap<StateId, Vec<StateId>> = BTreeMap::new();
        for (from, edges) in edges {
            for edge in edges {
                ways_in.entry(edge.to).or_default().push(*from);
            }
        }
        let position = |state: StateId| body.state(state).position;
        // A join that control comes back to is a loop's head, hence a stage.
        let is_stage = |state: StateId| {
            body.state(state).kind != StateKind::Join
                || ways_in[&state]
                    .iter()
                    .any(|from| position(*from) >= position(state))
        };
        // Without the edges that lead back, source order is a topological order: one pass is enough.
        let mut owners: BTreeMap<StateId, StateId> = BTreeMap::new();
        for state in &self.reachable {
            let owner = if is_stage(*state) {
                *state
            } else {
                let mut all = ways_in[state].iter().map(|from| owners[from]);
                match all.next() {
                    Some(first) if all.all(|owner| owner == first) => first,
                    _ => *state,
                }
            };
            owners.insert(*state, owner);
        }
        owners
    }

    /// Finds the places of the inner joins.
    fn hang(&mut self, body: &Body, edges: &BTreeMap<StateId, Vec<Edge>>) {
        // The way from its stage's first sequence to the place where an inner join's code stands.
        let mut places: BTreeMap<StateId, Vec<(SeqId, Slot)>> = BTreeMap::new();
        for join in self
            .reachable
            .iter()
            .copied()
            .filter(|state| self.inner.contains(state))
        {
            let mut ways = Vec::new();
            let mut jumps = false;
            for (from, edges) in edges {
                for edge in edges.iter().filter(|edge| edge.to == join) {
                    let mut way = places.get(from).cloned().unwrap_or_default();
                    way.extend(&edge.path);
                    ways.push(way);
                    jumps |= edge.jump;
                }
            }
            let [first, others @ ..] = &ways[..] else { continue };
            if others.is_empty() && !jumps {
                places.insert(join, first.clone());
                continue;
            }
            let same = |depth: &usize| {
                others
                    .iter()
                    .all(|way| way.get(*depth).map(|step| step.0) == first.get(*depth).map(|step| step.0))
            };
            let common = (0..first.len()).take_while(same).count();
            let (seq, _) = first[common - 1];
            let slot = ways.iter().map(|way| way[common - 1].1).min().unwrap_or_default();
            let mut place = first[..common - 1].to_vec();
            place.push((seq, slot));
            places.insert(join, place);
            self.hung.entry(seq).or_default().push((slot, join));
        }
        for hung in self.hung.values_mut() {
            hung.sort_by_key(|(slot, join)| (*slot, std::cmp::Reverse(body.state(*join).position)));
        }
    }
}
