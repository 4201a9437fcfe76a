//! The intermediate form of a workflow's body: sequences of plain Rust that end by choosing the next sequence or state.
//!
//! A *state* is a place where the machine can be entered: its start, each durable point, and each place where several
//! paths meet (after a branch, at the head of a loop). Whatever lies between two states is a tree of sequences, and is
//! emitted as one piece of structured Rust, so that references and temporaries live there as they do in the source.

use std::collections::BTreeSet;
use std::rc::Rc;

use proc_macro2::{Ident, Span};
use syn::{Attribute, Expr, Item, Pat, Stmt, Type};

/// A variable of the workflow: each `let`, pattern or parameter that introduces a name makes a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct BindingId(pub(crate) usize);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SeqId(pub(crate) usize);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct StateId(pub(crate) usize);

pub(crate) type Bindings = BTreeSet<BindingId>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BindingKind {
    /// Named by the user.
    User,
    /// A sub-expression's value, evaluated before an await further right in the same expression.
    Temporary,
    /// What a `for` loop still has to visit.
    Loop,
}

pub(crate) struct Binding {
    /// The name in the source, under which the variable is stored.
    pub(crate) name: String,
    /// The name that user code mentions; generated names carry a span that user code cannot mention.
    pub(crate) ident: Ident,
    pub(crate) mutable: bool,
    pub(crate) kind: BindingKind,
    /// The type that its declaration writes down.
    pub(crate) ty: Option<Type>,
    /// A `_name` that nothing mentions lives to the end of its scope, as guards do.
    pub(crate) scoped: bool,
}

/// What a piece of plain code does to the variables around it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Effects {
    /// Variables whose value from before is mentioned.
    pub(crate) uses: Bindings,
    /// Variables that are assigned anew, on every path, before any such mention.
    pub(crate) kills: Bindings,
    /// All variables that the code reads or assigns, whether or not that has an effect.
    pub(crate) mentions: Bindings,
    /// Variables whose scope ends behind the code.
    pub(crate) ends: Vec<BindingId>,
}

/// A jump out of a loop that is emitted as it was written, to a place that is not. The loop holds `__jump!(n)` there,
/// where `n` is the jump's index in its node.
pub(crate) struct Jump {
    pub(crate) state: StateId,
    pub(crate) value: Option<Expr>,
    /// The loop as it was written.
    pub(crate) source: Rc<Source>,
}

/// A loop that is emitted as it was written.
pub(crate) struct Source {
    /// Its tokens.
    pub(crate) text: String,
    /// Names that it binds: a jump out of it must not mention them.
    pub(crate) binds: BTreeSet<String>,
}

/// A piece of plain code that does not jump, or only as its list of jumps says.
pub(crate) enum Node {
    Let {
        attrs: Vec<Attribute>,
        pat: Pat,
        init: Option<Expr>,
        effects: Effects,
        defs: Vec<BindingId>,
        jumps: Vec<Jump>,
    },
    LetElse {
        attrs: Vec<Attribute>,
        pat: Pat,
        init: Expr,
        effects: Effects,
        defs: Vec<BindingId>,
        otherwise: SeqId,
    },
    Stmt {
        stmt: Stmt,
        effects: Effects,
        jumps: Vec<Jump>,
    },
    /// A scope ends: variables declared in it are dropped when nothing else keeps them.
    Leave { scoped: Vec<BindingId> },
}

impl Node {
    pub(crate) fn jumps(&self) -> &[Jump] {
        match self {
            Node::Let { jumps, .. } | Node::Stmt { jumps, .. } => jumps,
            Node::LetElse { .. } | Node::Leave { .. } => &[],
        }
    }
}

pub(crate) struct Arm {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) pat: Pat,
    pub(crate) guard: Option<Expr>,
    pub(crate) guard_effects: Effects,
    pub(crate) defs: Vec<BindingId>,
    pub(crate) body: SeqId,
}

pub(crate) enum End {
    /// Plain code that diverges by itself, or code that nothing reaches.
    Diverges,
    Goto {
        state: StateId,
        value: Option<Expr>,
        effects: Effects,
    },
    Point {
        state: StateId,
        operation: Expr,
        effects: Effects,
    },
    If {
        cond: Expr,
        effects: Effects,
        defs: Vec<BindingId>,
        then: SeqId,
        otherwise: SeqId,
    },
    Match {
        scrutinee: Expr,
        effects: Effects,
        arms: Vec<Arm>,
    },
    Return {
        value: Option<Expr>,
        effects: Effects,
    },
}

pub(crate) struct Seq {
    pub(crate) nodes: Vec<Node>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StateKind {
    Start,
    Point(usize),
    Join,
}

pub(crate) struct State {
    pub(crate) kind: StateKind,
    /// The variables in scope here, outermost first.
    pub(crate) scope: Vec<BindingId>,
    /// The value that arrives with the transition: a point's result, or a branch's value.
    pub(crate) value: Option<BindingId>,
    pub(crate) ty: Option<Type>,
    pub(crate) body: SeqId,
    /// Position in the source: states are emitted in the order in which their code stands there, because rustc infers
    /// types from top to bottom.
    pub(crate) position: usize,
}

pub(crate) struct Point {
    /// Stable name, unique in the workflow.
    pub(crate) name: String,
    /// The `await` token.
    pub(crate) span: Span,
}

/// Variables that refer to the item of a collection that a `for` loop is at. They are not stored: each stage that
/// mentions them finds them again, from the collection and the loop's position in it.
pub(crate) struct LoopItem {
    pub(crate) pat: Pat,
    /// Gives the item as an `Option`.
    pub(crate) item: Expr,
    pub(crate) defs: Vec<BindingId>,
    /// The variables that `item` needs.
    pub(crate) uses: Bindings,
}

/// A workflow's body, ready for liveness and emission.
#[derive(Default)]
pub(crate) struct Body {
    pub(crate) bindings: Vec<Binding>,
    pub(crate) seqs: Vec<Seq>,
    pub(crate) states: Vec<State>,
    pub(crate) points: Vec<Point>,
    pub(crate) items: Vec<Item>,
    /// Outer loops come first.
    pub(crate) loop_items: Vec<LoopItem>,
    /// The fields of the input, with the variables that they become.
    pub(crate) params: Vec<(Ident, BindingId)>,
    /// Bindings that need a name of their own, as far as lowering can tell: their name means something else where their
    /// scope has ended in the source, but not in the emitted code.
    pub(crate) conflicts: BTreeSet<usize>,
}

impl Body {
    pub(crate) fn binding(&self, id: BindingId) -> &Binding {
        &self.bindings[id.0]
    }

    pub(crate) fn seq(&self, id: SeqId) -> &Seq {
        &self.seqs[id.0]
    }

    pub(crate) fn state(&self, id: StateId) -> &State {
        &self.states[id.0]
    }
}
