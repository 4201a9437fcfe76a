//! Decides what may be evaluated late, and small questions about expressions.

use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Expr, UnOp};

use super::super::blocks::MARKER;
use super::super::flow;

/// Whether evaluating `expr` after `later` instead of before it makes no difference: it has no effect, and nothing in
/// `later` may change the variables that it reads.
pub(super) fn can_wait(expr: &Expr, later: &[Expr]) -> bool {
    if !is_pure(expr) {
        return false;
    }
    let reads = flow::of_expr(expr).uses;
    // What `expr` borrows, nothing in `later` may change.
    let borrows = matches!(expr, Expr::Reference(_));
    !later.iter().any(|expr| changes(expr, &reads, !borrows))
}

/// As [`can_wait`], for a place that may be borrowed: a method called on it in `later` is one that a borrow allows.
pub(super) fn place_can_wait(expr: &Expr, later: &[Expr]) -> bool {
    if !is_place(expr) {
        return can_wait(expr, later);
    }
    let reads = flow::of_expr(expr).uses;
    !later.iter().any(|expr| changes(expr, &reads, false))
}

fn is_pure(expr: &Expr) -> bool {
    match expr {
        Expr::Lit(_) | Expr::Path(_) | Expr::Closure(_) => true,
        Expr::Paren(inner) => is_pure(&inner.expr),
        Expr::Group(inner) => is_pure(&inner.expr),
        Expr::Field(inner) => is_pure(&inner.base),
        Expr::Reference(inner) => is_place(&inner.expr) || is_pure(&inner.expr),
        Expr::Unary(inner) => match inner.op {
            UnOp::Deref(_) => is_place(&inner.expr),
            _ => matches!(&*inner.expr, Expr::Lit(_)),
        },
        Expr::Tuple(inner) => inner.elems.iter().all(is_pure),
        _ => false,
    }
}

/// A place that can be named again later: a variable, its fields, elements under constant indexes, what it points to.
fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) => true,
        Expr::Paren(inner) => is_place(&inner.expr),
        Expr::Group(inner) => is_place(&inner.expr),
        Expr::Field(inner) => is_place(&inner.base),
        Expr::Index(inner) => is_place(&inner.expr) && is_pure(&inner.index),
        Expr::Unary(inner) => matches!(inner.op, UnOp::Deref(_)) && is_place(&inner.expr),
        _ => false,
    }
}

/// Whether `expr` assigns to, or borrows mutably, one of the variables in `names`; with `methods`, a method that is
/// called on one counts, since it may borrow mutably.
fn changes(expr: &Expr, names: &std::collections::BTreeSet<String>, methods: bool) -> bool {
    struct Finder<'a> {
        names: &'a std::collections::BTreeSet<String>,
        methods: bool,
        found: bool,
    }
    impl Finder<'_> {
        /// The left side of an assignment, which may be a pattern.
        fn assigned(&mut self, left: &Expr) {
            match left {
                Expr::Tuple(inner) => inner.elems.iter().for_each(|elem| self.assigned(elem)),
                Expr::Array(inner) => inner.elems.iter().for_each(|elem| self.assigned(elem)),
                Expr::Call(inner) => inner.args.iter().for_each(|arg| self.assigned(arg)),
                Expr::Struct(inner) => inner.fields.iter().for_each(|field| self.assigned(&field.expr)),
                place => self.root(place),
            }
        }

        fn root(&mut self, mut place: &Expr) {
            loop {
                place = match place {
                    Expr::Field(inner) => &inner.base,
                    Expr::Index(inner) => &inner.expr,
                    Expr::Paren(inner) => &inner.expr,
                    Expr::Unary(inner) => &inner.expr,
                    Expr::Path(path) => {
                        let ident = path.path.get_ident();
                        self.found |= ident.is_some_and(|ident| self.names.contains(&flow::text(ident)));
                        return;
                    }
                    _ => return,
                };
            }
        }
    }
    impl<'ast> Visit<'ast> for Finder<'_> {
        fn visit_expr(&mut self, expr: &'ast Expr) {
            match expr {
                Expr::Assign(assign) => self.assigned(&assign.left),
                Expr::Binary(binary) if assigns(&binary.op) => self.root(&binary.left),
                Expr::Reference(reference) if reference.mutability.is_some() => self.root(&reference.expr),
                Expr::MethodCall(call) if self.methods => self.root(&call.receiver),
                _ => {}
            }
            visit::visit_expr(self, expr);
        }
    }
    let mut finder = Finder {
        names,
        methods,
        found: false,
    };
    finder.visit_expr(expr);
    finder.found
}

pub(super) fn compares(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_)
    )
}

pub(crate) fn assigns(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::AddAssign(_)
            | BinOp::SubAssign(_)
            | BinOp::MulAssign(_)
            | BinOp::DivAssign(_)
            | BinOp::RemAssign(_)
            | BinOp::BitXorAssign(_)
            | BinOp::BitAndAssign(_)
            | BinOp::BitOrAssign(_)
            | BinOp::ShlAssign(_)
            | BinOp::ShrAssign(_)
    )
}

/// `&place`, `&mut place`, `place.iter()` and `place.iter_mut()`: the collection stays where it is, and the loop keeps
/// a position instead of references, which could not be stored.
pub(super) fn borrowed_collection(source: &Expr) -> Option<(Expr, bool)> {
    match source {
        Expr::Paren(inner) => borrowed_collection(&inner.expr),
        Expr::Group(inner) => borrowed_collection(&inner.expr),
        Expr::Reference(inner) if is_place(&inner.expr) => {
            Some(((*inner.expr).clone(), inner.mutability.is_some()))
        }
        Expr::MethodCall(call) if call.args.is_empty() && is_place(&call.receiver) => {
            if call.method == "iter" {
                Some(((*call.receiver).clone(), false))
            } else if call.method == "iter_mut" {
                Some(((*call.receiver).clone(), true))
            } else {
                None
            }
        }
        _ => None,
    }
}

/// The automatic name of a point: what the awaited operation is called.
pub(super) fn point_name(base: &Expr) -> String {
    match base {
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => last_segment(&path.path),
            other => point_name(other),
        },
        Expr::MethodCall(call) => match &*call.receiver {
            Expr::Call(_) | Expr::MethodCall(_) | Expr::Struct(_) | Expr::Paren(_) => {
                point_name(&call.receiver)
            }
            Expr::Macro(expr) if expr.mac.path.is_ident(MARKER) => point_name(&call.receiver),
            _ => call.method.to_string(),
        },
        Expr::Path(path) => last_segment(&path.path),
        Expr::Struct(expr) => last_segment(&expr.path),
        Expr::Macro(expr) if expr.mac.path.is_ident(MARKER) => "block".to_owned(),
        Expr::Macro(expr) => last_segment(&expr.mac.path),
        Expr::Paren(inner) => point_name(&inner.expr),
        Expr::Group(inner) => point_name(&inner.expr),
        Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => flow::text(name),
            syn::Member::Unnamed(_) => point_name(&field.base),
        },
        Expr::Try(inner) => point_name(&inner.expr),
        _ => "await".to_owned(),
    }
}

fn last_segment(path: &syn::Path) -> String {
    let mut segments = path
        .segments
        .iter()
        .rev()
        .map(|segment| flow::text(&segment.ident));
    match segments.next() {
        // `Mail::new(..)` is a mail.
        Some(last) if last == "new" => segments.next().unwrap_or(last),
        Some(last) => last,
        None => "await".to_owned(),
    }
}

/// The attributes of an expression. (Rustc takes those of a statement `#[a] x = y;` for the left side's, and refuses
/// them, so there is no need to look further inside.)
pub(crate) fn attrs_mut(expr: &mut Expr) -> Option<&mut Vec<Attribute>> {
    macro_rules! own {
        ($($variant:ident),*) => { match expr { $(Expr::$variant(inner) => Some(&mut inner.attrs),)* _ => None } };
    }
    // The parser hands a statement's attributes to the leftmost part of what operators join.
    if own!(Assign, Binary, Cast).is_some_and(|attrs| attrs.is_empty()) {
        return match expr {
            Expr::Assign(inner) => attrs_mut(&mut inner.left),
            Expr::Binary(inner) => attrs_mut(&mut inner.left),
            Expr::Cast(inner) => attrs_mut(&mut inner.expr),
            _ => None,
        };
    }
    own!(
        Array, Assign, Async, Await, Binary, Block, Break, Call, Cast, Closure, Const, Continue, Field,
        ForLoop, Group, If, Index, Infer, Let, Lit, Loop, Macro, Match, MethodCall, Paren, Path, Range,
        RawAddr, Reference, Repeat, Return, Struct, Try, TryBlock, Tuple, Unary, Unsafe, While, Yield
    )
}
