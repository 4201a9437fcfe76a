//! Lowers a checked body into sequences and states (see [`ir`](super::ir)).
//!
//! Only code that awaits, and code that jumps to lowered loops, is taken apart; everything else stays as it was written.

mod control;
mod expr;
mod hoist;
mod jumps;

pub(crate) use hoist::{assigns, attrs_mut as expression_attributes};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proc_macro2::{Ident, Span};
use syn::{Attribute, Block, Expr, Local, Pat, Stmt, Type, parse_quote, parse_quote_spanned};

use super::flow::{self, Flow};
use super::ir::{
    Binding, BindingId, BindingKind, Body, Effects, End, Node, Point, Seq, SeqId, State, StateId, StateKind,
};
use super::{needs, pattern, rename};
use crate::diag::Diagnostics;

/// Where a value goes.
#[derive(Clone, Copy)]
enum Dest {
    /// It is the workflow's output.
    Return,
    /// It arrives at a join.
    Join(StateId),
    /// It is dropped, and the code goes on behind it.
    Discard,
}

/// A lowered loop or labelled block that `break` and `continue` may name.
struct Target {
    label: Option<String>,
    is_loop: bool,
    on_break: Dest,
    on_continue: Option<StateId>,
}

/// What can be told only after lowering and makes the next attempt differ.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Revisions {
    /// Bindings, by number, that need a name of their own: they shadow a variable that is live behind their scope.
    pub(crate) renamed: BTreeSet<usize>,
    /// Loops, by their tokens, that cannot stay as they were written.
    pub(crate) apart: BTreeSet<String>,
}

/// A parameter of the workflow, or a capture of a block.
#[derive(Clone)]
pub(crate) struct Param {
    /// The field of the input that holds it.
    pub(crate) field: Ident,
    pub(crate) pat: Pat,
    /// The type that is written down for it.
    pub(crate) ty: Option<Type>,
}

pub(super) struct Lowerer<'a> {
    body: Body,
    scope: Vec<BindingId>,
    targets: Vec<Target>,
    current: SeqId,
    diagnostics: &'a mut Diagnostics,
    /// How often each point name was used.
    names: BTreeMap<String, usize>,
    /// The name that `#[point("..")]` gives to the next point.
    explicit_name: Option<String>,
    /// Names that are given somewhere in the body.
    reserved: &'a BTreeSet<String>,
    revisions: &'a Revisions,
    fresh: HashMap<&'static str, usize>,
    /// How many states were entered.
    entered: usize,
    /// The closing brace of the block being lowered.
    closing: Span,
}

/// Lowers `block`. `revisions` holds what earlier attempts have taught.
pub(super) fn lower(
    params: &[Param],
    block: &Block,
    reserved: &BTreeSet<String>,
    revisions: &Revisions,
    diagnostics: &mut Diagnostics,
) -> Body {
    let mut lowerer = Lowerer {
        body: Body::default(),
        scope: Vec::new(),
        targets: Vec::new(),
        current: SeqId(0),
        diagnostics,
        names: BTreeMap::new(),
        explicit_name: None,
        reserved,
        revisions,
        fresh: HashMap::new(),
        entered: 0,
        closing: block.brace_token.span.close(),
    };
    let mut block = block.clone();
    patterns_of(params, &mut block);
    lowerer.params(params, &mut block);
    lowerer.block(&block, Dest::Return);
    lowerer.body
}

impl Lowerer<'_> {
    fn params(&mut self, params: &[Param], block: &mut Block) {
        for param in params {
            let mutable = matches!(&param.pat, Pat::Ident(pat) if pat.mutability.is_some());
            let kind = if is_plain(&param.pat) {
                BindingKind::User
            } else {
                BindingKind::Temporary
            };
            let id = self.new_binding(param.field.clone(), mutable, kind);
            self.body.bindings[id.0].ty.clone_from(&param.ty);
            let name = flow::text(&param.field);
            if self.revisions.renamed.contains(&id.0) {
                let to = format!("__{}_{}", id.0, name.trim_start_matches('_'));
                rename::block(block, &name, &to);
                self.body.bindings[id.0].ident = Ident::new(&to, param.field.span());
            }
            self.body.params.push((param.field.clone(), id));
            self.scope.push(id);
        }
        let start = self.new_state(StateKind::Start, None, None);
        self.enter(start);
    }

    // Sequences and states.

    fn new_seq(&mut self) -> SeqId {
        self.body.seqs.push(Seq {
            nodes: Vec::new(),
            end: End::Diverges,
        });
        SeqId(self.body.seqs.len() - 1)
    }

    fn new_state(&mut self, kind: StateKind, value: Option<BindingId>, ty: Option<Type>) -> StateId {
        let body = self.new_seq();
        self.body.states.push(State {
            kind,
            scope: self.scope.clone(),
            value,
            ty,
            body,
            position: usize::MAX,
        });
        StateId(self.body.states.len() - 1)
    }

    fn join(&mut self) -> StateId {
        self.new_state(StateKind::Join, None, None)
    }

    /// Code goes on in `state`; the value that arrives there is in scope from now on.
    fn enter(&mut self, state: StateId) {
        self.current = self.body.state(state).body;
        self.body.states[state.0].position = self.entered;
        self.entered += 1;
        if let Some(value) = self.body.state(state).value {
            self.scope.push(value);
        }
    }

    fn push(&mut self, node: Node) {
        self.body.seqs[self.current.0].nodes.push(node);
    }

    /// Ends the current sequence; what follows is not reachable until a state or sequence is entered.
    fn close(&mut self, end: End) {
        self.body.seqs[self.current.0].end = end;
        self.current = self.new_seq();
    }

    fn goto(&mut self, state: StateId, value: Option<Expr>) {
        if value.is_none() {
            self.leave_only(self.body.state(state).scope.len());
        }
        let mut effects = value
            .as_ref()
            .map_or_else(Effects::default, |value| self.effects_of(value));
        effects.ends = self
            .scope
            .get(self.body.state(state).scope.len()..)
            .unwrap_or_default()
            .to_vec();
        self.close(End::Goto {
            state,
            value,
            effects,
        });
    }

    // Variables.

    fn new_binding(&mut self, ident: Ident, mutable: bool, kind: BindingKind) -> BindingId {
        let name = flow::text(&ident);
        self.body.bindings.push(Binding {
            name,
            ident,
            mutable,
            kind,
            ty: None,
            scoped: false,
        });
        BindingId(self.body.bindings.len() - 1)
    }

    /// A generated variable, at the place of the user's code that its value comes from: there the compiler reports what
    /// is wrong with the value.
    fn fresh(&mut self, what: &'static str, mutable: bool, kind: BindingKind, span: Span) -> BindingId {
        let count = self.fresh.entry(what).or_default();
        *count += 1;
        let ident = Ident::new(&format!("__{what}{count}"), span);
        self.new_binding(ident, mutable, kind)
    }

    fn mention(&self, id: BindingId) -> Expr {
        let ident = &self.body.binding(id).ident;
        parse_quote!(#ident)
    }

    /// Declares the names that `pat` binds, renaming those that must not keep their name: in `pat`, and through
    /// `rename_scope(from, to)` wherever they are mentioned. The caller adds them to the scope where they come into it.
    fn declare(&mut self, pat: &mut Pat, rename_scope: &mut dyn FnMut(&str, &str)) -> Vec<BindingId> {
        pattern::bound(pat)
            .into_iter()
            .map(|bound| {
                let number = self.body.bindings.len();
                let mut ident = bound.ident;
                let name = flow::text(&ident);
                if self.revisions.renamed.contains(&number) {
                    let to = format!("__{number}_{}", name.trim_start_matches('_'));
                    rename::pat(pat, &name, &to);
                    rename_scope(&name, &to);
                    ident = Ident::new(&to, ident.span());
                }
                let id = self.new_binding(ident, bound.mutable, BindingKind::User);
                self.body.bindings[id.0].name = name;
                id
            })
            .collect()
    }

    fn resolve(&self, name: &str) -> Option<BindingId> {
        self.scope
            .iter()
            .rev()
            .copied()
            .find(|id| flow::text(&self.body.binding(*id).ident) == name)
    }

    fn effects(&mut self, flow: &Flow) -> Effects {
        let resolve = |names: &BTreeSet<String>| names.iter().filter_map(|name| self.resolve(name)).collect();
        let effects = Effects {
            uses: resolve(&flow.uses),
            kills: resolve(&flow.kills),
            mentions: resolve(&flow.mentions),
            ends: Vec::new(),
        };
        // The name of a function or constant, say, that was also a variable's name in a scope that has ended.
        let unknown = flow.uses.iter().filter(|name| self.resolve(name).is_none());
        let ended = unknown.flat_map(|name| {
            let bindings = self.body.bindings.iter().enumerate();
            bindings
                .filter(move |(_, binding)| flow::text(&binding.ident) == *name)
                .map(|(number, _)| number)
        });
        let ended: Vec<usize> = ended.collect();
        self.body.conflicts.extend(ended);
        effects
    }

    fn effects_of(&mut self, expr: &Expr) -> Effects {
        self.effects(&flow::of_expr(expr))
    }

    fn needs(&self, expr: &Expr) -> bool {
        let (labels, in_loop) = self.surroundings();
        needs::expr(expr, &labels, in_loop)
    }

    fn stmt_needs(&self, stmt: &Stmt) -> bool {
        let (labels, in_loop) = self.surroundings();
        needs::stmt(stmt, &labels, in_loop)
    }

    fn surroundings(&self) -> (Vec<String>, bool) {
        let labels = self
            .targets
            .iter()
            .filter_map(|target| target.label.clone())
            .collect();
        (labels, self.targets.iter().any(|target| target.is_loop))
    }

    /// Runs `lower` in a scope of its own.
    fn scoped<T>(&mut self, lower: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.scope.len();
        let result = lower(self);
        self.leave(mark);
        result
    }

    fn leave(&mut self, mark: usize) {
        self.leave_only(mark);
        self.scope.truncate(mark);
    }

    // Statements.

    /// Lowers a block in a scope of its own; its value goes to `dest`.
    fn block(&mut self, block: &Block, dest: Dest) {
        let mark = self.scope.len();
        let around = std::mem::replace(&mut self.closing, block.brace_token.span.close());
        self.stmts(&mut block.stmts.clone(), dest, mark);
        self.closing = around;
        self.scope.truncate(mark);
    }

    /// Lowers statements in their order; a declaration may rename what those behind it mention.
    fn stmts(&mut self, stmts: &mut [Stmt], dest: Dest, mark: usize) {
        let Some((first, rest)) = stmts.split_first_mut() else {
            self.leave_only(mark);
            return match dest {
                Dest::Discard => {}
                // A block without a value: where one is wanted, its closing brace is where it is missing.
                dest => self.deliver(parse_quote_spanned!(self.closing=> ()), dest),
            };
        };
        let first = &*first;
        match first {
            Stmt::Item(item) => self.body.items.push(item.clone()),
            Stmt::Local(local) => {
                self.local(local, rest);
                return self.stmts(rest, dest, mark);
            }
            Stmt::Expr(expr, None) if rest.is_empty() => return self.tail(expr, dest, mark),
            Stmt::Macro(stmt) if rest.is_empty() && stmt.semi_token.is_none() => {
                let expr = Expr::Macro(syn::ExprMacro {
                    attrs: self.take_point_attr(&stmt.attrs),
                    mac: stmt.mac.clone(),
                });
                return self.tail(&expr, dest, mark);
            }
            Stmt::Expr(expr, Some(_))
                if rest.is_empty() && !matches!(dest, Dest::Discard) && !is_control(expr) =>
            {
                // The block's value is `()`, or nothing at all if the statement diverges, as only rustc can tell.
                let expr = self.take_point_name(expr);
                let value = if self.needs(&expr) {
                    self.operand(&expr)
                } else {
                    expr
                };
                return self.deliver(parse_quote!({ #value; }), dest);
            }
            Stmt::Expr(expr, _) if self.stmt_needs(first) => {
                let expr = self.take_point_name(expr);
                self.discard(&expr);
            }
            Stmt::Macro(stmt) if self.stmt_needs(first) => {
                let expr = Expr::Macro(syn::ExprMacro {
                    attrs: self.take_point_attr(&stmt.attrs),
                    mac: stmt.mac.clone(),
                });
                self.discard(&expr);
            }
            plain => {
                let effects = self.effects(&flow::of_stmt(plain));
                self.push(Node::Stmt {
                    stmt: plain.clone(),
                    effects,
                    jumps: Vec::new(),
                });
                let block = Block {
                    brace_token: Default::default(),
                    stmts: vec![plain.clone()],
                };
                if flow::diverges(&block) {
                    self.close(End::Diverges);
                }
            }
        }
        self.stmts(rest, dest, mark);
    }

    /// The last expression of a block: it is evaluated while the block's variables are in scope.
    fn tail(&mut self, expr: &Expr, dest: Dest, mark: usize) {
        let expr = self.take_point_name(expr);
        match dest {
            Dest::Discard => {
                self.discard(&expr);
                self.leave_only(mark);
            }
            dest => self.value(&expr, dest),
        }
    }

    /// Notes that the variables declared since `mark` go out of scope here.
    fn leave_only(&mut self, mark: usize) {
        let scoped = self.scope.get(mark..).unwrap_or_default().to_vec();
        if !scoped.is_empty() {
            self.push(Node::Leave { scoped });
        }
    }

    fn local(&mut self, local: &Local, rest: &mut [Stmt]) {
        let attrs = self.take_point_attr(&local.attrs);
        let mut pat = local.pat.clone();
        let ty = match &pat {
            Pat::Type(typed) => Some((*typed.ty).clone()),
            _ => None,
        };
        let Some(init) = &local.init else {
            let defs = self.declare(&mut pat, &mut |from, to| rename::stmts(rest, from, to));
            self.note_type(&pat, &defs);
            let effects = Effects::default();
            self.push(Node::Let {
                attrs,
                pat,
                init: None,
                effects,
                defs: defs.clone(),
                jumps: Vec::new(),
            });
            self.scope.extend(defs);
            return;
        };
        let value = if self.needs(&init.expr) {
            self.typed_operand(&init.expr, ty)
        } else {
            (*init.expr).clone()
        };
        let effects = self.effects_of(&value);
        match &init.diverge {
            None => {
                let defs = self.declare(&mut pat, &mut |from, to| rename::stmts(rest, from, to));
                self.note_type(&pat, &defs);
                self.push(Node::Let {
                    attrs,
                    pat,
                    init: Some(value),
                    effects,
                    defs: defs.clone(),
                    jumps: Vec::new(),
                });
                self.scope.extend(defs);
            }
            Some((_, diverge)) => {
                let before = self.current;
                let otherwise = self.new_seq();
                self.current = otherwise;
                self.discard(diverge);
                self.current = before;
                let defs = self.declare(&mut pat, &mut |from, to| rename::stmts(rest, from, to));
                self.push(Node::LetElse {
                    attrs,
                    pat,
                    init: value,
                    effects,
                    defs: defs.clone(),
                    otherwise,
                });
                self.scope.extend(defs);
            }
        }
    }

    /// Keeps the type that `let name: type` writes down: a stage that only assigns the variable declares it again.
    fn note_type(&mut self, pat: &Pat, defs: &[BindingId]) {
        if let Pat::Type(typed) = pat
            && matches!(&*typed.pat, Pat::Ident(pat) if pat.by_ref.is_none())
            && let [id] = defs
        {
            self.body.bindings[id.0].ty = Some((*typed.ty).clone());
        }
    }

    // Points.

    /// Removes `#[point("name")]` from attributes and remembers the name for the statement's await.
    fn take_point_attr(&mut self, attrs: &[Attribute]) -> Vec<Attribute> {
        let (points, others): (Vec<_>, Vec<_>) = attrs
            .iter()
            .cloned()
            .partition(|attr| attr.path().is_ident("point"));
        for attr in points {
            self.explicit_name = attr.parse_args::<syn::LitStr>().ok().map(|name| name.value());
        }
        others
    }

    fn take_point_name(&mut self, expr: &Expr) -> Expr {
        let mut expr = expr.clone();
        if let Some(attrs) = hoist::attrs_mut(&mut expr) {
            let taken = self.take_point_attr(attrs);
            *attrs = taken;
        }
        expr
    }

    /// Ends the sequence at a durable point and goes on behind it; the answer mentions the operation's result.
    fn point(&mut self, operation: Expr, base_name: &str, span: Span) -> Expr {
        let name = self
            .explicit_name
            .take()
            .unwrap_or_else(|| self.automatic_name(base_name));
        let effects = self.effects_of(&operation);
        let number = self.body.points.len();
        self.body.points.push(Point { name, span });
        let result = self.fresh("result", false, BindingKind::Temporary, span);
        let state = self.new_state(StateKind::Point(number), Some(result), None);
        self.close(End::Point {
            state,
            operation,
            effects,
        });
        self.enter(state);
        self.mention(result)
    }

    fn automatic_name(&mut self, base: &str) -> String {
        loop {
            let count = self.names.entry(base.to_owned()).or_default();
            *count += 1;
            let name = if *count == 1 {
                base.to_owned()
            } else {
                format!("{base}#{count}")
            };
            if !self.reserved.contains(&name) {
                return name;
            }
        }
    }
}

/// Destructures the parameters that are patterns.
fn patterns_of(params: &[Param], block: &mut Block) {
    for param in params.iter().rev().filter(|param| !is_plain(&param.pat)) {
        let (pat, field) = (&param.pat, &param.field);
        block.stmts.insert(0, parse_quote!(let #pat = #field;));
    }
}

/// Expressions that have ends of their own when they are lowered.
fn is_control(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::If(_)
            | Expr::Match(_)
            | Expr::Block(_)
            | Expr::Loop(_)
            | Expr::While(_)
            | Expr::ForLoop(_)
            | Expr::Break(_)
            | Expr::Continue(_)
            | Expr::Return(_)
    )
}

fn is_plain(pat: &Pat) -> bool {
    matches!(pat, Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() && !pattern::is_constant(pat))
}
