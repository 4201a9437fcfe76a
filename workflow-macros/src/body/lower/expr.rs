//! Expressions: every await inside of one becomes a point, in the order in which Rust evaluates.

use syn::spanned::Spanned;
use syn::{BinOp, Expr, ExprMacro, Stmt, Type, parse_quote};

use super::super::ir::{BindingKind, Effects, End, Node, StateKind};
use super::super::{flow, macros};
use super::{Dest, Lowerer, hoist};

impl Lowerer<'_> {
    /// Evaluates `expr` and sends its value to `dest`, which is not [`Dest::Discard`].
    pub(super) fn value(&mut self, expr: &Expr, dest: Dest) {
        if !self.needs(expr) {
            return self.deliver(expr.clone(), dest);
        }
        if self.is_plain_loop(expr) {
            let value = self.operand(expr);
            return self.deliver(value, dest);
        }
        match expr {
            Expr::If(inner) => self.if_(inner, dest),
            Expr::Match(inner) => self.match_(inner, dest),
            Expr::Block(inner) if inner.label.is_none() => self.block(&inner.block, dest),
            Expr::Block(inner) => self.labelled_block(inner, dest),
            Expr::Loop(inner) => self.loop_(inner, dest),
            Expr::Paren(inner) => self.value(&inner.expr, dest),
            Expr::Group(inner) => self.value(&inner.expr, dest),
            Expr::Break(_) | Expr::Continue(_) | Expr::Return(_) => self.discard(expr),
            other => {
                let value = self.operand(other);
                self.deliver(value, dest);
            }
        }
    }

    /// Evaluates `expr` for its effects and goes on behind it.
    pub(super) fn discard(&mut self, expr: &Expr) {
        if !self.needs(expr) {
            return match expr {
                Expr::Block(inner) if inner.label.is_none() && inner.attrs.is_empty() => {
                    self.scoped(|this| this.block(&inner.block, Dest::Discard));
                }
                _ => self.deliver(expr.clone(), Dest::Discard),
            };
        }
        if self.is_plain_loop(expr) {
            self.plain_loop(expr, false);
            return;
        }
        match expr {
            Expr::If(inner) => self.if_(inner, Dest::Discard),
            Expr::Match(inner) => self.match_(inner, Dest::Discard),
            Expr::Block(inner) if inner.label.is_none() => self.block(&inner.block, Dest::Discard),
            Expr::Block(inner) => self.labelled_block(inner, Dest::Discard),
            Expr::Loop(inner) => self.loop_(inner, Dest::Discard),
            Expr::While(inner) => self.while_(inner),
            Expr::ForLoop(inner) => self.for_(inner),
            Expr::Paren(inner) => self.discard(&inner.expr),
            Expr::Group(inner) => self.discard(&inner.expr),
            Expr::Break(inner) => self.break_(inner),
            Expr::Continue(inner) => self.continue_(inner),
            Expr::Return(inner) => match &inner.expr {
                Some(value) => self.value(value, Dest::Return),
                None => self.deliver(parse_quote!(()), Dest::Return),
            },
            other => {
                let value = self.operand(other);
                self.deliver(value, Dest::Discard);
            }
        }
    }

    /// Sends a plain value to `dest`.
    pub(super) fn deliver(&mut self, value: Expr, dest: Dest) {
        let flow = flow::of_expr(&value);
        let mut effects = self.effects(&flow);
        let mark = match dest {
            Dest::Return => self.body.params.len(),
            Dest::Join(state) => self.body.state(state).scope.len(),
            Dest::Discard => self.scope.len(),
        };
        effects.ends = self.scope.get(mark..).unwrap_or_default().to_vec();
        match dest {
            _ if flow.diverges => {
                self.push(Node::Stmt {
                    stmt: Stmt::Expr(value, Some(Default::default())),
                    effects,
                    jumps: Vec::new(),
                });
                self.close(End::Diverges);
            }
            Dest::Return => self.close(End::Return {
                value: Some(value),
                effects,
            }),
            Dest::Join(state) => self.close(End::Goto {
                state,
                value: Some(value),
                effects,
            }),
            Dest::Discard => {
                if !matches!(&value, Expr::Tuple(tuple) if tuple.elems.is_empty()) {
                    self.push(Node::Stmt {
                        stmt: Stmt::Expr(value, Some(Default::default())),
                        effects,
                        jumps: Vec::new(),
                    });
                }
            }
        }
    }

    /// As [`operand`](Self::operand), for a value whose type is written down.
    pub(super) fn typed_operand(&mut self, expr: &Expr, ty: Option<Type>) -> Expr {
        match expr {
            _ if self.is_plain_loop(expr) => self.operand(expr),
            Expr::If(_) | Expr::Match(_) | Expr::Loop(_) | Expr::Block(_) => self.joined(expr, ty),
            other => self.operand(other),
        }
    }

    /// A construct with several ends, as a value: its ends meet at a join that carries the value.
    fn joined(&mut self, expr: &Expr, ty: Option<Type>) -> Expr {
        let value = self.fresh("value", false, BindingKind::Temporary, expr.span());
        let join = self.new_state(StateKind::Join, Some(value), ty);
        let mark = self.scope.len();
        self.value(expr, Dest::Join(join));
        self.scope.truncate(mark);
        self.enter(join);
        self.mention(value)
    }

    /// Evaluates everything in `expr` up to and including its last await (or jump); the answer is a plain expression that
    /// evaluates the rest.
    pub(super) fn operand(&mut self, expr: &Expr) -> Expr {
        if !self.needs(expr) {
            return expr.clone();
        }
        if self.is_plain_loop(expr) {
            return self.plain_loop(expr, true).unwrap_or_else(|| parse_quote!(()));
        }
        let mut expr = expr.clone();
        match &mut expr {
            Expr::Await(inner) => {
                let name = hoist::point_name(&inner.base);
                let base = self.operand(&inner.base);
                return self.point(base, &name, inner.await_token.span);
            }
            Expr::Paren(inner) => *inner.expr = self.operand(&inner.expr),
            Expr::Group(inner) => *inner.expr = self.operand(&inner.expr),
            Expr::Try(inner) => *inner.expr = self.operand(&inner.expr),
            Expr::Unary(inner) => *inner.expr = self.operand(&inner.expr),
            Expr::Reference(inner) => *inner.expr = self.operand(&inner.expr),
            Expr::Cast(inner) => *inner.expr = self.operand(&inner.expr),
            Expr::Field(inner) => *inner.base = self.operand(&inner.base),
            Expr::Binary(inner) if matches!(inner.op, BinOp::And(_) | BinOp::Or(_)) => {
                if !self.needs(&inner.right) {
                    *inner.left = self.operand(&inner.left);
                    return expr;
                }
                let (left, right) = ((*inner.left).clone(), (*inner.right).clone());
                let short = matches!(inner.op, BinOp::Or(_));
                return self.short_circuit(&left, &right, short);
            }
            Expr::Binary(inner) if hoist::assigns(&inner.op) => {
                // As with `=`, the right side comes first for every type that the language itself adds up.
                *inner.right = self.operand(&inner.right);
                if self.needs(&inner.left) {
                    *inner.right = self.temporary((*inner.right).clone());
                    *inner.left = self.operand(&inner.left);
                }
            }
            Expr::Binary(inner) => {
                let mut parts = vec![(*inner.left).clone(), (*inner.right).clone()];
                // A comparison borrows its sides.
                self.sequence(&mut parts, if hoist::compares(&inner.op) { 2 } else { 0 });
                *inner.right = parts.remove(1);
                *inner.left = parts.remove(0);
            }
            Expr::Assign(inner) => {
                *inner.right = self.operand(&inner.right);
                if self.needs(&inner.left) {
                    *inner.right = self.temporary((*inner.right).clone());
                    *inner.left = self.operand(&inner.left);
                }
            }
            Expr::Call(inner) => {
                let mut parts = vec![(*inner.func).clone()];
                parts.extend(inner.args.iter().cloned());
                self.sequence(&mut parts, 0);
                *inner.func = parts.remove(0);
                inner
                    .args
                    .iter_mut()
                    .zip(parts)
                    .for_each(|(arg, part)| *arg = part);
            }
            Expr::MethodCall(inner) => {
                let mut parts = vec![(*inner.receiver).clone()];
                parts.extend(inner.args.iter().cloned());
                self.sequence(&mut parts, 1);
                *inner.receiver = parts.remove(0);
                inner
                    .args
                    .iter_mut()
                    .zip(parts)
                    .for_each(|(arg, part)| *arg = part);
            }
            Expr::Index(inner) => {
                let mut parts = vec![(*inner.expr).clone(), (*inner.index).clone()];
                self.sequence(&mut parts, 1);
                *inner.index = parts.remove(1);
                *inner.expr = parts.remove(0);
            }
            Expr::Array(inner) => self.sequence_punctuated(inner.elems.iter_mut(), 0),
            Expr::Tuple(inner) => self.sequence_punctuated(inner.elems.iter_mut(), 0),
            Expr::Struct(inner) => {
                for field in &mut inner.fields {
                    field.colon_token.get_or_insert_with(Default::default);
                }
                let fields = inner.fields.iter_mut().map(|field| &mut field.expr);
                self.sequence_punctuated(fields.chain(inner.rest.as_deref_mut()), 0);
            }
            Expr::Repeat(inner) => *inner.expr = self.operand(&inner.expr),
            Expr::Range(inner) => {
                let ends = inner
                    .start
                    .as_deref_mut()
                    .into_iter()
                    .chain(inner.end.as_deref_mut());
                self.sequence_punctuated(ends, 0);
            }
            Expr::Macro(inner) => self.macro_(inner),
            Expr::If(_) | Expr::Match(_) | Expr::Loop(_) | Expr::Block(_) => return self.joined(&expr, None),
            Expr::While(_) | Expr::ForLoop(_) => {
                self.discard(&expr);
                return parse_quote!(());
            }
            Expr::Break(_) | Expr::Continue(_) | Expr::Return(_) => {
                self.discard(&expr);
                return parse_quote!(::core::unreachable!());
            }
            other => self.diagnostics.error(
                other.span(),
                "W0030",
                "an `.await` cannot stand inside this kind of expression",
                "await into a variable first and use the variable here",
            ),
        }
        expr
    }

    /// `left && right` (or `left || right` with `short`) where `right` awaits.
    fn short_circuit(&mut self, left: &Expr, right: &Expr, short: bool) -> Expr {
        let value = self.fresh("value", false, BindingKind::Temporary, left.span());
        let join = self.new_state(StateKind::Join, Some(value), None);
        let decided = self.join();
        let mark = self.scope.len();
        let left: Expr = if short {
            parse_quote!(!(#left))
        } else {
            left.clone()
        };
        self.condition_value(&left, decided);
        self.value(right, Dest::Join(join));
        self.scope.truncate(mark);
        self.enter(decided);
        self.goto(join, Some(parse_quote!(#short)));
        self.enter(join);
        self.mention(value)
    }

    fn macro_(&mut self, expr: &mut ExprMacro) {
        match macros::parse(&expr.mac) {
            Some(macros::Known::List { mut args, format, .. }) => {
                let named = |arg: &Expr| format.is_some() && matches!(arg, Expr::Assign(_));
                let values = args
                    .iter_mut()
                    .map(|arg| if named(arg) { named_value(arg) } else { arg });
                // All but these borrow their arguments.
                let by_value = expr
                    .mac
                    .path
                    .segments
                    .last()
                    .is_some_and(|last| last.ident == "vec" || last.ident == "dbg");
                self.sequence_punctuated(values, if by_value { 0 } else { usize::MAX });
                expr.mac.tokens = quote::quote!(#args);
            }
            Some(macros::Known::Repeat { value, count }) => {
                let mut parts = vec![value, count];
                self.sequence(&mut parts, 0);
                let (value, count) = (&parts[0], &parts[1]);
                expr.mac.tokens = quote::quote!(#value; #count);
            }
            Some(macros::Known::Matches { scrutinee, rest, .. }) => {
                let scrutinee = self.operand(&scrutinee);
                expr.mac.tokens = quote::quote!(#scrutinee, #rest);
            }
            None => {}
        }
    }

    fn sequence_punctuated<'e>(&mut self, exprs: impl Iterator<Item = &'e mut Expr>, places: usize) {
        let slots: Vec<&mut Expr> = exprs.collect();
        let mut parts: Vec<Expr> = slots.iter().map(|slot| (**slot).clone()).collect();
        self.sequence(&mut parts, places);
        slots.into_iter().zip(parts).for_each(|(slot, part)| *slot = part);
    }

    /// Lowers sub-expressions that are evaluated from left to right. What stands before an await and could be observed
    /// there is evaluated into a temporary.
    ///
    /// The first `places` of them are places that stay where they are, as the receiver of a method that borrows it.
    fn sequence(&mut self, parts: &mut [Expr], places: usize) {
        let Some(last) = parts.iter().rposition(|part| self.needs(part)) else {
            return;
        };
        for index in 0..last {
            let (done, rest) = parts.split_at_mut(index + 1);
            let part = &mut done[index];
            if self.needs(part) {
                *part = self.operand(part);
            }
            let later = &rest[..last - index];
            let waits = if index < places {
                hoist::place_can_wait(part, later)
            } else {
                hoist::can_wait(part, later)
            };
            if !waits {
                *part = self.temporary(part.clone());
            }
        }
        parts[last] = self.operand(&parts[last]);
    }

    /// Evaluates a plain expression now and gives the variable that holds its value.
    fn temporary(&mut self, value: Expr) -> Expr {
        let effects: Effects = self.effects_of(&value);
        let id = self.fresh("temporary", true, BindingKind::Temporary, value.span());
        let ident = self.body.binding(id).ident.clone();
        self.push(Node::Let {
            attrs: Vec::new(),
            pat: parse_quote!(mut #ident),
            init: Some(value),
            effects,
            defs: vec![id],
            jumps: Vec::new(),
        });
        self.scope.push(id);
        self.mention(id)
    }
}

/// The value of a named format argument, `name = value`.
fn named_value(arg: &mut Expr) -> &mut Expr {
    match arg {
        Expr::Assign(named) => &mut named.right,
        other => other,
    }
}
