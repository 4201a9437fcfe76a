//! Which variables each state needs: those whose value code behind it may mention.

use std::collections::{BTreeMap, BTreeSet};

use super::flow;
use super::graph::Graph;
use super::ir::{BindingId, BindingKind, Bindings, Body, Effects, End, Node, SeqId, StateId};

/// The outcome of the analysis.
pub(crate) struct Liveness {
    /// For each state, the variables that it is entered with (its arriving value is not among them).
    pub(crate) live: Vec<Bindings>,
    /// For each stage, the variables that its code mentions.
    pub(crate) mentioned: BTreeMap<StateId, Bindings>,
    /// For each stage, variables that its code assigns before reading, but does not declare.
    pub(crate) deferred: BTreeMap<StateId, Bindings>,
    /// For each stage, which of the body's loop items its code needs.
    pub(crate) items: BTreeMap<StateId, Vec<usize>>,
    /// Bindings that shadow a variable of the same name that is live behind them.
    pub(crate) conflicts: BTreeSet<usize>,
    /// Loops, by their tokens, that hide the name of a variable that their jumps carry.
    pub(crate) apart: BTreeSet<String>,
}

pub(crate) fn analyze(body: &mut Body, graph: &Graph) -> Liveness {
    mark_scoped(body);
    let body = &*body;
    let mut analysis = Analysis {
        body,
        live: vec![Bindings::new(); body.states.len()],
    };
    let stages: BTreeSet<StateId> = graph.stages.iter().copied().collect();
    let mut items = BTreeMap::new();
    loop {
        let mut changed = false;
        for index in (0..body.states.len()).rev() {
            let state = &body.states[index];
            let mut live = analysis.before(state.body);
            if let Some(value) = state.value {
                live.remove(&value);
            }
            if stages.contains(&StateId(index)) {
                items.insert(StateId(index), find_again(body, &mut live));
            }
            changed |= live != analysis.live[index];
            analysis.live[index] = live;
        }
        if !changed {
            break;
        }
    }
    let mut result = Liveness {
        live: analysis.live.clone(),
        mentioned: BTreeMap::new(),
        deferred: BTreeMap::new(),
        items,
        conflicts: body.conflicts.clone(),
        apart: BTreeSet::new(),
    };
    // What is found again has its name there as well.
    for (stage, items) in &result.items {
        let defs = items.iter().flat_map(|item| &body.loop_items[*item].defs);
        analysis.live[stage.0].extend(defs);
    }
    analysis.conflicts(graph, &mut result);
    analysis.hidden(&mut result);
    result.defer(body, graph);
    result
}

/// Puts what loop items are found from in their place, and says which ones: their numbers, outer loops first.
fn find_again(body: &Body, live: &mut Bindings) -> Vec<usize> {
    let mut found = Vec::new();
    for (number, item) in body.loop_items.iter().enumerate().rev() {
        if item.defs.iter().any(|def| live.contains(def)) {
            live.retain(|id| !item.defs.contains(id));
            live.extend(&item.uses);
            found.push(number);
        }
    }
    found.reverse();
    found
}

/// A `_guard` that nothing mentions lives until its scope ends.
fn mark_scoped(body: &mut Body) {
    let mut mentioned = Bindings::new();
    let mut note = |effects: &Effects| {
        mentioned.extend(&effects.mentions);
    };
    for seq in &body.seqs {
        seq.nodes.iter().for_each(|node| match node {
            Node::Let { effects, .. } | Node::LetElse { effects, .. } | Node::Stmt { effects, .. } => {
                note(effects)
            }
            Node::Leave { .. } => {}
        });
        match &seq.end {
            End::Diverges => {}
            End::Goto { effects, .. }
            | End::Point { effects, .. }
            | End::If { effects, .. }
            | End::Return { effects, .. } => note(effects),
            End::Match { effects, arms, .. } => {
                note(effects);
                arms.iter().for_each(|arm| note(&arm.guard_effects));
            }
        }
    }
    let params = body
        .states
        .first()
        .map(|start| start.scope.clone())
        .unwrap_or_default();
    for (index, binding) in body.bindings.iter_mut().enumerate() {
        let id = BindingId(index);
        binding.scoped = binding.kind == BindingKind::User
            && flow::text(&binding.ident).starts_with('_')
            && !mentioned.contains(&id)
            && !params.contains(&id);
    }
    let Body { seqs, bindings, .. } = body;
    for seq in seqs {
        if let End::Goto { effects, .. } | End::Return { effects, .. } = &mut seq.end {
            effects
                .uses
                .extend(effects.ends.iter().filter(|id| bindings[id.0].scoped));
        }
    }
}

struct Analysis<'a> {
    body: &'a Body,
    live: Vec<Bindings>,
}

impl Analysis<'_> {
    fn before(&self, seq: SeqId) -> Bindings {
        self.walk(seq, &mut |_, _| {})
    }

    /// The variables live before `seq`; `visit` sees each group of definitions with the variables live behind it.
    fn walk(&self, id: SeqId, visit: &mut dyn FnMut(&[BindingId], &Bindings)) -> Bindings {
        let seq = self.body.seq(id);
        let mut live = match &seq.end {
            End::Diverges => Bindings::new(),
            End::Return { effects, .. } => apply(Bindings::new(), effects),
            End::Goto { state, effects, .. } | End::Point { state, effects, .. } => {
                apply(self.live[state.0].clone(), effects)
            }
            End::If {
                effects,
                defs,
                then,
                otherwise,
                ..
            } => {
                let mut live = self.walk(*then, visit);
                visit(defs, &live);
                live.retain(|id| !defs.contains(id));
                live.extend(self.walk(*otherwise, visit));
                apply(live, effects)
            }
            End::Match { effects, arms, .. } => {
                let mut all = Bindings::new();
                for arm in arms {
                    let live = self.walk(arm.body, visit);
                    let mut live = apply(live, &arm.guard_effects);
                    visit(&arm.defs, &live);
                    live.retain(|id| !arm.defs.contains(id));
                    all.extend(live);
                }
                apply(all, effects)
            }
        };
        for node in seq.nodes.iter().rev() {
            live = match node {
                Node::Stmt { effects, .. } => apply(live, effects),
                Node::Let { effects, defs, .. } => {
                    visit(defs, &live);
                    live.retain(|id| !defs.contains(id));
                    apply(live, effects)
                }
                Node::LetElse {
                    effects,
                    defs,
                    otherwise,
                    ..
                } => {
                    visit(defs, &live);
                    live.retain(|id| !defs.contains(id));
                    live.extend(self.walk(*otherwise, visit));
                    apply(live, effects)
                }
                Node::Leave { scoped } => {
                    live.extend(scoped.iter().filter(|id| self.body.binding(**id).scoped));
                    live
                }
            };
            for jump in node.jumps() {
                live.extend(&self.live[jump.state.0]);
            }
        }
        live
    }

    fn hidden(&self, result: &mut Liveness) {
        let jumps = self
            .body
            .seqs
            .iter()
            .flat_map(|seq| &seq.nodes)
            .flat_map(Node::jumps);
        for jump in jumps {
            let mut carried = self.live[jump.state.0]
                .iter()
                .map(|id| flow::text(&self.body.binding(*id).ident));
            if carried.any(|name| jump.source.binds.contains(&name)) {
                result.apart.insert(jump.source.text.clone());
            }
        }
    }

    fn conflicts(&self, graph: &Graph, result: &mut Liveness) {
        for state in &graph.reachable {
            self.walk(self.body.state(*state).body, &mut |defs, live| {
                for def in defs {
                    let name = flow::text(&self.body.binding(*def).ident);
                    let clash = |id: &&BindingId| {
                        !defs.contains(id) && flow::text(&self.body.binding(**id).ident) == name
                    };
                    if live.iter().find(clash).is_some() {
                        result.conflicts.insert(def.0);
                    }
                }
            });
        }
    }
}

fn apply(mut live: Bindings, effects: &Effects) -> Bindings {
    live.retain(|id| !effects.kills.contains(id));
    live.extend(&effects.uses);
    live
}

impl Liveness {
    /// Finds the variables that a state's code mentions without being entered with them or declaring them.
    fn defer(&mut self, body: &Body, graph: &Graph) {
        for state in graph.stages.iter().copied() {
            let (mut mentioned, mut declared) = (Bindings::new(), self.live[state.0].clone());
            declared.extend(body.state(state).value);
            for item in self.items.get(&state).into_iter().flatten() {
                let item = &body.loop_items[*item];
                declared.extend(&item.defs);
                mentioned.extend(&item.uses);
            }
            let mut seen = BTreeSet::new();
            let mut waiting = vec![body.state(state).body];
            while let Some(seq) = waiting.pop() {
                if seen.insert(seq) {
                    region(
                        body,
                        graph,
                        &self.live,
                        seq,
                        &mut mentioned,
                        &mut declared,
                        &mut waiting,
                    );
                }
            }
            let deferred: Bindings = mentioned.difference(&declared).copied().collect();
            for id in &deferred {
                let name = flow::text(&body.binding(*id).ident);
                let clash = declared
                    .iter()
                    .filter(|other| flow::text(&body.binding(**other).ident) == name);
                self.conflicts
                    .extend(clash.filter(|other| **other > *id).map(|other| other.0));
            }
            self.deferred.insert(state, deferred);
            self.mentioned.insert(state, mentioned);
        }
    }
}

/// What one sequence of a stage mentions and declares, and the sequences behind it.
fn region(
    body: &Body,
    graph: &Graph,
    live: &[Bindings],
    seq: SeqId,
    mentioned: &mut Bindings,
    declared: &mut Bindings,
    inner: &mut Vec<SeqId>,
) {
    let seq = body.seq(seq);
    let mut noted = Bindings::new();
    let mut note = |effects: &Effects| {
        noted.extend(&effects.mentions);
        // Uses that no code says: the end of a scope.
        noted.extend(&effects.uses);
    };
    for node in &seq.nodes {
        match node {
            Node::Stmt { effects, .. } => note(effects),
            Node::Let { effects, defs, .. } => {
                note(effects);
                declared.extend(defs);
            }
            Node::LetElse {
                effects,
                defs,
                otherwise,
                ..
            } => {
                note(effects);
                declared.extend(defs);
                inner.push(*otherwise);
            }
            Node::Leave { .. } => {}
        }
    }
    for jump in seq.nodes.iter().flat_map(Node::jumps) {
        mentioned.extend(&live[jump.state.0]);
        if graph.inner.contains(&jump.state) {
            declared.extend(body.state(jump.state).value);
            inner.push(body.state(jump.state).body);
        }
    }
    match &seq.end {
        End::Diverges => {}
        End::Return { effects, .. } => note(effects),
        End::Point { state, effects, .. } => {
            note(effects);
            mentioned.extend(&live[state.0]);
        }
        End::Goto { state, effects, .. } => {
            note(effects);
            mentioned.extend(&live[state.0]);
            if graph.inner.contains(state) {
                declared.extend(body.state(*state).value);
                inner.push(body.state(*state).body);
            }
        }
        End::If {
            effects,
            defs,
            then,
            otherwise,
            ..
        } => {
            note(effects);
            declared.extend(defs);
            inner.extend([*then, *otherwise]);
        }
        End::Match { effects, arms, .. } => {
            note(effects);
            for arm in arms {
                note(&arm.guard_effects);
                declared.extend(&arm.defs);
                inner.push(arm.body);
            }
        }
    }
    mentioned.extend(noted);
}
