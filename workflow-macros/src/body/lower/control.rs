//! Branches, loops and jumps.

use std::rc::Rc;

use proc_macro2::{Ident, Span};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    BinOp, Expr, ExprForLoop, ExprIf, ExprLoop, ExprMatch, ExprWhile, Label, Pat, Stmt, UnOp, parse_quote,
    parse_quote_spanned,
};

use super::super::ir::{Arm, BindingKind, Effects, End, Jump, LoopItem, Node, Source, StateId, StateKind};
use super::super::{flow, needs, pattern, rename};
use super::{Dest, Lowerer, Target, hoist, jumps};

impl Lowerer<'_> {
    /// Lowers a condition. Behind it, the current sequence is the one where it holds, with the variables of its `let`
    /// patterns in scope; where it does not hold, control goes to `otherwise`. `rename_scope` renames mentions of those
    /// variables in the code that the condition guards.
    fn condition(&mut self, cond: &Expr, otherwise: StateId, rename_scope: &mut dyn FnMut(&str, &str)) {
        if !self.needs(cond) {
            return self.plain_condition(cond.clone(), otherwise, rename_scope);
        }
        match cond {
            Expr::Paren(paren) => self.condition(&paren.expr, otherwise, rename_scope),
            Expr::Group(group) => self.condition(&group.expr, otherwise, rename_scope),
            Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => {
                let mut right = (*binary.right).clone();
                self.condition(&binary.left, otherwise, &mut |from, to| {
                    rename::expr(&mut right, from, to);
                    rename_scope(from, to);
                });
                self.condition(&right, otherwise, rename_scope);
            }
            Expr::Binary(binary) if matches!(binary.op, BinOp::Or(_)) => {
                let holds = self.join();
                let second = self.join();
                self.condition(&binary.left, second, rename_scope);
                self.goto(holds, None);
                self.enter(second);
                self.condition(&binary.right, otherwise, rename_scope);
                self.goto(holds, None);
                self.enter(holds);
            }
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                let inverse = self.join();
                self.condition(&unary.expr, inverse, rename_scope);
                self.goto(otherwise, None);
                self.enter(inverse);
            }
            Expr::Let(condition) => {
                let value = self.operand(&condition.expr);
                let mut plain = condition.clone();
                *plain.expr = value;
                self.plain_condition(Expr::Let(plain), otherwise, rename_scope);
            }
            other => {
                let value = self.operand(other);
                self.plain_condition(value, otherwise, rename_scope);
            }
        }
    }

    /// A condition that binds no variables.
    pub(super) fn condition_value(&mut self, cond: &Expr, otherwise: StateId) {
        self.condition(cond, otherwise, &mut |_, _| {});
    }

    fn plain_condition(
        &mut self,
        mut cond: Expr,
        otherwise: StateId,
        rename_scope: &mut dyn FnMut(&str, &str),
    ) {
        let effects = self.effects(&flow::of_expr(&cond));
        let mut defs = Vec::new();
        self.declare_condition(&mut cond, rename_scope, &mut defs);
        let then = self.new_seq();
        let not = self.new_seq();
        self.close(End::If {
            cond,
            effects,
            defs: defs.clone(),
            then,
            otherwise: not,
        });
        self.current = not;
        self.goto(otherwise, None);
        self.current = then;
        self.scope.extend(defs);
    }

    /// Declares the variables of the `let` patterns in a chain of conditions, from left to right.
    fn declare_condition(
        &mut self,
        cond: &mut Expr,
        rename_scope: &mut dyn FnMut(&str, &str),
        defs: &mut Vec<super::super::ir::BindingId>,
    ) {
        match cond {
            Expr::Let(condition) => defs.extend(self.declare(&mut condition.pat, rename_scope)),
            Expr::Paren(paren) => self.declare_condition(&mut paren.expr, rename_scope, defs),
            Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => {
                let right = &mut binary.right;
                self.declare_condition(
                    &mut binary.left,
                    &mut |from, to| {
                        rename::expr(right, from, to);
                        rename_scope(from, to);
                    },
                    defs,
                );
                self.declare_condition(right, rename_scope, defs);
            }
            _ => {}
        }
    }

    pub(super) fn if_(&mut self, expr: &ExprIf, dest: Dest) {
        let otherwise = self.join();
        let (dest, after) = self.destination(dest);
        let mut then = expr.then_branch.clone();
        let mark = self.scope.len();
        self.condition(&expr.cond, otherwise, &mut |from, to| {
            rename::block(&mut then, from, to)
        });
        self.block(&then, dest);
        self.finish_branch(mark, after);
        self.enter(otherwise);
        match &expr.else_branch {
            Some((_, branch)) => self.branch(branch, dest),
            None => self.branch(&parse_quote_spanned!(expr.if_token.span=> {}), dest),
        }
        self.finish_branch(mark, after);
        if let Some(after) = after {
            self.enter(after);
        }
    }

    pub(super) fn match_(&mut self, expr: &ExprMatch, dest: Dest) {
        let scrutinee = if self.needs(&expr.expr) {
            self.operand(&expr.expr)
        } else {
            (*expr.expr).clone()
        };
        let (dest, after) = self.destination(dest);
        let effects = self.effects_of(&scrutinee);
        let mark = self.scope.len();
        let from = self.current;
        let mut arms = Vec::new();
        for arm in &expr.arms {
            let (mut pat, mut guard) = match &arm.pat {
                Pat::Guard(guard) => ((*guard.pat).clone(), Some((*guard.guard).clone())),
                pat => (pat.clone(), None),
            };
            let mut body = (*arm.body).clone();
            let defs = self.declare(&mut pat, &mut |from, to| {
                rename::expr(&mut body, from, to);
                if let Some(guard) = &mut guard {
                    rename::expr(guard, from, to);
                }
            });
            self.scope.extend(&defs);
            let guard_effects = guard
                .as_ref()
                .map(|guard| self.effects_of(guard))
                .unwrap_or_default();
            let seq = self.new_seq();
            self.current = seq;
            self.branch(&body, dest);
            self.finish_branch(mark, after);
            arms.push(Arm {
                attrs: arm.attrs.clone(),
                pat,
                guard,
                guard_effects,
                defs,
                body: seq,
            });
        }
        self.current = from;
        self.close(End::Match {
            scrutinee,
            effects,
            arms,
        });
        if let Some(after) = after {
            self.enter(after);
        }
    }

    /// Where the branches of a construct meet: nowhere of its own when its value goes elsewhere.
    fn destination(&mut self, dest: Dest) -> (Dest, Option<StateId>) {
        match dest {
            Dest::Discard => (Dest::Discard, Some(self.join())),
            dest => (dest, None),
        }
    }

    fn branch(&mut self, expr: &Expr, dest: Dest) {
        match dest {
            Dest::Discard => self.discard(expr),
            dest => self.value(expr, dest),
        }
    }

    fn finish_branch(&mut self, mark: usize, after: Option<StateId>) {
        self.leave(mark);
        if let Some(after) = after {
            self.goto(after, None);
        }
    }

    // Loops.

    fn target<T>(&mut self, target: Target, lower: impl FnOnce(&mut Self) -> T) -> T {
        self.targets.push(target);
        let result = lower(self);
        self.targets.pop();
        result
    }

    pub(super) fn loop_(&mut self, expr: &ExprLoop, dest: Dest) {
        let head = self.join();
        let (on_break, after) = match dest {
            Dest::Discard => {
                let after = self.join();
                (Dest::Join(after), Some(after))
            }
            dest => (dest, None),
        };
        self.goto(head, None);
        self.enter(head);
        let target = Target {
            label: label(expr.label.as_ref()),
            is_loop: true,
            on_break,
            on_continue: Some(head),
        };
        self.target(target, |this| this.block(&expr.body, Dest::Discard));
        self.goto(head, None);
        if let Some(after) = after {
            self.enter(after);
        }
    }

    pub(super) fn while_(&mut self, expr: &ExprWhile) {
        let head = self.join();
        let after = self.join();
        self.goto(head, None);
        self.enter(head);
        let mark = self.scope.len();
        let mut body = expr.body.clone();
        let target = Target {
            label: label(expr.label.as_ref()),
            is_loop: true,
            on_break: Dest::Join(after),
            on_continue: Some(head),
        };
        self.condition(&expr.cond, after, &mut |from, to| {
            rename::block(&mut body, from, to)
        });
        self.target(target, |this| this.block(&body, Dest::Discard));
        self.leave(mark);
        self.goto(head, None);
        self.enter(after);
    }

    pub(super) fn for_(&mut self, expr: &ExprForLoop) {
        let mark = self.scope.len();
        let source = if self.needs(&expr.expr) {
            self.operand(&expr.expr)
        } else {
            (*expr.expr).clone()
        };
        let span = expr.expr.span();
        let state = self.loop_state(&expr.pat, span);
        let ident = self.body.binding(state).ident.clone();
        let mut found_again = None;
        let (init, next): (Expr, Expr) = match hoist::borrowed_collection(&source) {
            Some((place, mutable)) => {
                let (borrow, ordered) = if mutable {
                    (
                        quote_spanned!(span=> &mut #place),
                        quote_spanned!(span=> ::workflow_runtime::__private::OrderedMut),
                    )
                } else {
                    (
                        quote_spanned!(span=> &#place),
                        quote_spanned!(span=> ::workflow_runtime::__private::Ordered),
                    )
                };
                let next = quote_spanned! {span=>
                    match #borrow { __collection => #ordered::next_item(__collection, &mut #ident) }
                };
                if is_reference(&expr.pat) {
                    let item: Expr = parse_quote! {
                        match #borrow { __collection => #ordered::this_item(__collection, &#ident) }
                    };
                    let mut uses = self.effects_of(&item).uses;
                    uses.insert(state);
                    found_again = Some((item, uses));
                }
                (
                    parse_quote!(::workflow_runtime::__private::Cursor::new()),
                    parse_quote!(#next),
                )
            }
            None => {
                let items = Ident::new("__source", span);
                let start = quote_spanned!(span=> start(#items));
                let init = quote! {
                    match #source {
                        #items => {
                            #[allow(unused_imports)]
                            use ::workflow_runtime::__private::{ItemsKind as _, RangeKind as _};
                            (&#items).__loop_kind().#start
                        }
                    }
                };
                (parse_quote!(#init), parse_quote!(#ident.next()))
            }
        };
        let effects = self.effects_of(&source);
        self.push(Node::Let {
            attrs: Vec::new(),
            pat: parse_quote!(mut #ident),
            init: Some(init),
            effects,
            defs: vec![state],
            jumps: Vec::new(),
        });
        self.scope.push(state);

        let head = self.join();
        let after = self.join();
        self.goto(head, None);
        self.enter(head);
        let mut pat = (*expr.pat).clone();
        let mut body = expr.body.clone();
        let inner = self.scope.len();
        let effects = self.effects_of(&next);
        let defs = self.declare(&mut pat, &mut |from, to| rename::block(&mut body, from, to));
        if let Some((item, uses)) = found_again
            && defs.iter().all(|def| !self.body.binding(*def).mutable)
        {
            let (pat, defs) = (pat.clone(), defs.clone());
            self.body.loop_items.push(LoopItem {
                pat,
                item,
                defs,
                uses,
            });
        }
        let (some, none) = (self.new_seq(), self.new_seq());
        let arms = vec![
            Arm {
                attrs: Vec::new(),
                pat: parse_quote!(::core::option::Option::Some(#pat)),
                guard: None,
                guard_effects: Effects::default(),
                defs: defs.clone(),
                body: some,
            },
            Arm {
                attrs: Vec::new(),
                pat: parse_quote!(::core::option::Option::None),
                guard: None,
                guard_effects: Effects::default(),
                defs: Vec::new(),
                body: none,
            },
        ];
        self.close(End::Match {
            scrutinee: next,
            effects,
            arms,
        });
        self.current = none;
        self.goto(after, None);
        self.current = some;
        self.scope.extend(defs);
        let target = Target {
            label: label(expr.label.as_ref()),
            is_loop: true,
            on_break: Dest::Join(after),
            on_continue: Some(head),
        };
        self.target(target, |this| this.block(&body, Dest::Discard));
        self.leave(inner);
        self.goto(head, None);
        self.scope.truncate(mark);
        self.enter(after);
    }

    /// The variable that holds what a `for` loop still has to visit; it is stored under the pattern's first name.
    fn loop_state(&mut self, pat: &Pat, span: Span) -> super::super::ir::BindingId {
        let name = pattern::bound(pat)
            .first()
            .map_or_else(|| "_".to_owned(), |bound| flow::text(&bound.ident));
        let number = self.body.bindings.len();
        let name_part = name.trim_start_matches('_');
        let ident = Ident::new(format!("__for_{number}_{name_part}").trim_end_matches('_'), span);
        let id = self.new_binding(ident, true, BindingKind::Loop);
        self.body.bindings[id.0].name = format!("for {name}");
        id
    }

    pub(super) fn labelled_block(&mut self, expr: &syn::ExprBlock, dest: Dest) {
        let (on_break, after) = match dest {
            Dest::Discard => {
                let after = self.join();
                (Dest::Join(after), Some(after))
            }
            dest => (dest, None),
        };
        let target = Target {
            label: label(expr.label.as_ref()),
            is_loop: false,
            on_break,
            on_continue: None,
        };
        self.target(target, |this| {
            this.block(&expr.block, if after.is_some() { Dest::Discard } else { dest })
        });
        if let Some(after) = after {
            self.goto(after, None);
            self.enter(after);
        }
    }

    // Loops without awaits that jump out to code that is lowered.

    /// A loop without awaits stays as it was written, even if it jumps to code that does not; unless it hides the name of
    /// a variable that its jumps carry.
    pub(super) fn is_plain_loop(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Loop(_) | Expr::While(_) | Expr::ForLoop(_))
            && !needs::awaits(expr)
            && (self.revisions.apart.is_empty()
                || !self.revisions.apart.contains(&expr.to_token_stream().to_string()))
    }

    /// Emits such a loop as it was written, with its jumps replaced; the answer is the loop's value.
    pub(super) fn plain_loop(&mut self, expr: &Expr, wants_value: bool) -> Option<Expr> {
        let effects = self.effects_of(expr);
        let source = Rc::new(Source {
            text: expr.to_token_stream().to_string(),
            binds: pattern::all_bound(expr),
        });
        let mut expr = expr.clone();
        let (jumps, unknown) = jumps::replace(&mut expr, |label| {
            let target = self.find(Some(label), false)?;
            Some((self.targets[target].on_break, self.targets[target].on_continue))
        });
        for span in unknown {
            self.unknown_label(span);
        }
        let mut resolved = Vec::new();
        for jump in jumps {
            let state = match (jump.to, jump.continues) {
                ((_, Some(head)), true) => head,
                ((Dest::Join(join), _), false) => join,
                _ => self.return_join(),
            };
            let carries = self.body.state(state).value.is_some();
            let value = jump
                .value
                .or_else(|| carries.then(|| parse_quote!(())))
                .filter(|_| carries);
            resolved.push(Jump {
                state,
                value,
                source: source.clone(),
            });
        }
        let jumps = resolved;
        if !wants_value {
            self.push(Node::Stmt {
                stmt: Stmt::Expr(expr, None),
                effects,
                jumps,
            });
            return None;
        }
        let id = self.fresh("temporary", true, BindingKind::Temporary, expr.span());
        let ident = self.body.binding(id).ident.clone();
        let pat = parse_quote!(mut #ident);
        self.push(Node::Let {
            attrs: Vec::new(),
            pat,
            init: Some(expr),
            effects,
            defs: vec![id],
            jumps,
        });
        self.scope.push(id);
        Some(self.mention(id))
    }

    /// A join whose value is the workflow's output.
    fn return_join(&mut self) -> StateId {
        let value = self.fresh("value", false, BindingKind::Temporary, self.closing);
        let join = self.new_state(StateKind::Join, Some(value), None);
        let (current, mark) = (self.current, self.scope.len());
        self.enter(join);
        let value = self.mention(value);
        self.deliver(value, Dest::Return);
        self.scope.truncate(mark);
        self.current = current;
        join
    }

    // Jumps.

    pub(super) fn break_(&mut self, expr: &syn::ExprBreak) {
        let value = expr.expr.as_ref().map(|value| {
            if self.needs(value) {
                self.operand(value)
            } else {
                (**value).clone()
            }
        });
        let Some(target) = self.find(expr.label.as_ref(), false) else {
            return self.unknown_label(expr.span());
        };
        match self.targets[target].on_break {
            Dest::Return => self.deliver(value.unwrap_or_else(|| parse_quote!(())), Dest::Return),
            Dest::Join(state) if self.body.state(state).value.is_some() => {
                self.goto(state, Some(value.unwrap_or_else(|| parse_quote!(()))));
            }
            Dest::Join(state) => {
                if let Some(value) = value {
                    self.deliver(value, Dest::Discard);
                }
                self.goto(state, None);
            }
            Dest::Discard => self.close(End::Diverges),
        }
    }

    pub(super) fn continue_(&mut self, expr: &syn::ExprContinue) {
        match self
            .find(expr.label.as_ref(), true)
            .and_then(|target| self.targets[target].on_continue)
        {
            Some(head) => self.goto(head, None),
            None => self.unknown_label(expr.span()),
        }
    }

    fn find(&self, label: Option<&syn::Lifetime>, needs_loop: bool) -> Option<usize> {
        self.targets.iter().rposition(|target| match label {
            Some(label) => {
                target.label.as_deref() == Some(&label.ident.to_string()) && (!needs_loop || target.is_loop)
            }
            None => target.is_loop,
        })
    }

    fn unknown_label(&mut self, span: Span) {
        self.diagnostics.error(
            span,
            "W0019",
            "this jump leads to no loop or block around it",
            "check the label, and that the loop is not outside of a closure or async block",
        );
        self.close(End::Diverges);
    }
}

fn label(label: Option<&Label>) -> Option<String> {
    label.map(|label| label.name.ident.to_string())
}

/// Whether the pattern of a loop over a borrowed collection keeps references to the item; `&item` copies it.
fn is_reference(pat: &Pat) -> bool {
    match pat {
        Pat::Reference(_) => false,
        Pat::Paren(inner) => is_reference(&inner.pat),
        _ => true,
    }
}
