//! The structured code inside of a stage.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Stmt};

use super::super::graph::Slot;
use super::super::ir::{BindingId, End, Jump, Node, SeqId, StateId};
use super::{Expander, Scope};

impl Expander<'_> {
    /// A sequence, with the inner joins that stand behind parts of it.
    pub(super) fn seq(&self, id: SeqId, scope: Scope) -> TokenStream {
        let hung = self.graph.hung.get(&id).map(Vec::as_slice).unwrap_or_default();
        self.part(id, 0, hung, scope)
    }

    /// The part of a sequence from `slot` on; `hung` are the joins behind it whose blocks are not yet open.
    fn part(&self, id: SeqId, mut slot: Slot, hung: &[(Slot, StateId)], mut scope: Scope) -> TokenStream {
        let seq = self.body.seq(id);
        let until = hung.first().map_or(seq.nodes.len(), |(slot, _)| *slot);
        let mut tokens = TokenStream::new();
        while slot < until {
            tokens.extend(self.node(&seq.nodes[slot], &mut scope));
            slot += 1;
        }
        match hung.split_first() {
            Some(((_, join), rest)) => tokens.extend(self.hung(id, slot, *join, rest, scope)),
            None => tokens.extend(self.end(&seq.end, scope)),
        }
        tokens
    }

    /// A labelled block around the rest of a sequence, and behind it the join that the block's jumps lead to.
    fn hung(
        &self,
        id: SeqId,
        slot: Slot,
        join: StateId,
        rest: &[(Slot, StateId)],
        mut scope: Scope,
    ) -> TokenStream {
        let info = self.body.state(join);
        let leaving: Vec<BindingId> = self.live.live[join.0]
            .iter()
            .copied()
            .filter(|id| !scope.declared.contains(id))
            .collect();
        let mut inside = scope.clone();
        inside.open.insert(join, leaving.clone());
        let block = self.part(id, slot, rest, inside);
        let label = self.join_label(join);
        let patterns = info
            .value
            .iter()
            .chain(&leaving)
            .map(|binding| self.pattern(*binding));
        let ty = info
            .value
            .map(|_| info.ty.as_ref().map_or_else(|| quote!(_), |ty| quote!(#ty)));
        let types = ty.into_iter().chain(leaving.iter().map(|_| quote!(_)));
        scope.declared.extend(info.value);
        scope.declared.extend(&leaving);
        let code = self.seq(info.body, scope);
        if info.value.is_none() && leaving.is_empty() {
            return quote!(#label: { #block } #code);
        }
        quote!(let (#(#patterns,)*): (#(#types,)*) = #label: { #block }; #code)
    }

    fn join_label(&self, join: StateId) -> syn::Lifetime {
        syn::Lifetime::new(&format!("'__join{}", join.0), Span::mixed_site())
    }

    fn node(&self, node: &Node, scope: &mut Scope) -> TokenStream {
        match node {
            // A variable that only later stages assign is declared there.
            Node::Let { init: None, defs, .. } if defs.iter().all(|id| !scope.mentioned.contains(id)) => {
                self.rebinds(defs)
            }
            Node::Let {
                attrs,
                pat,
                init,
                defs,
                jumps,
                ..
            } => {
                let init = init.as_ref().map(|init| {
                    let init = self.with_jumps(init, jumps, scope);
                    quote!(= #init)
                });
                let rebinds = self.rebinds(defs);
                scope.declared.extend(defs);
                quote!(#(#attrs)* let #pat #init; #rebinds)
            }
            Node::LetElse {
                attrs,
                pat,
                init,
                defs,
                otherwise,
                ..
            } => {
                let otherwise = self.seq(*otherwise, scope.clone());
                let rebinds = self.rebinds(defs);
                scope.declared.extend(defs);
                quote!(#(#attrs)* let #pat = #init else { #otherwise }; #rebinds)
            }
            Node::Stmt {
                stmt: Stmt::Expr(expr, None),
                jumps,
                ..
            } if !jumps.is_empty() => self.with_jumps(expr, jumps, scope),
            Node::Stmt {
                stmt: Stmt::Expr(expr, None),
                ..
            } if ends_like_a_block(expr) => quote!(#expr),
            Node::Stmt {
                stmt: Stmt::Expr(expr, None),
                ..
            } => quote!(#expr;),
            Node::Stmt {
                stmt: Stmt::Macro(stmt),
                ..
            } => {
                let mac = &stmt.mac;
                let attrs = &stmt.attrs;
                quote!(#(#attrs)* #mac;)
            }
            Node::Stmt { stmt, .. } => quote!(#stmt),
            // What a guard holds must be free before the code behind its scope.
            Node::Leave { scoped } => {
                let ended = |id: &&BindingId| self.body.binding(**id).scoped && scope.declared.contains(id);
                let idents = scoped
                    .iter()
                    .rev()
                    .filter(ended)
                    .map(|id| &self.body.binding(*id).ident);
                quote!(#(::core::mem::drop(#idents);)*)
            }
        }
    }

    /// A loop with its jumps put in.
    fn with_jumps(&self, expr: &Expr, jumps: &[Jump], scope: &Scope) -> TokenStream {
        if jumps.is_empty() {
            return quote!(#expr);
        }
        struct Filler(Vec<TokenStream>);
        impl VisitMut for Filler {
            fn visit_expr_mut(&mut self, expr: &mut Expr) {
                visit_mut::visit_expr_mut(self, expr);
                if let Expr::Macro(found) = expr
                    && found.mac.path.is_ident("__jump")
                    && let Ok(number) = found.mac.parse_body::<syn::LitInt>()
                    && let Ok(number) = number.base10_parse::<usize>()
                {
                    *expr = Expr::Verbatim(std::mem::take(&mut self.0[number]));
                }
            }
        }
        let code = jumps.iter().map(|jump| {
            let code = self.goto(jump.state, jump.value.as_ref(), scope.clone());
            quote!({ #code })
        });
        let mut expr = expr.clone();
        Filler(code.collect()).visit_expr_mut(&mut expr);
        quote!(#expr)
    }

    fn end(&self, end: &End, scope: Scope) -> TokenStream {
        match end {
            End::Diverges => TokenStream::new(),
            End::Return { value, .. } => quote!(return #value;),
            End::Goto { state, value, .. } => self.goto(*state, value.as_ref(), scope),
            End::Point { state, operation, .. } => self.prepare(*state, operation),
            End::If {
                cond,
                defs,
                then,
                otherwise,
                ..
            } => {
                let rebinds = self.rebinds(defs);
                let mut holds = scope.clone();
                holds.declared.extend(defs);
                let then = self.seq(*then, holds);
                // A branch that only leads on is written behind the `if`, which keeps long functions flat.
                if self.only_leads_on(*otherwise) {
                    let otherwise = self.seq(*otherwise, scope);
                    return quote!(if #cond { #rebinds #then } #otherwise);
                }
                let otherwise = self.seq(*otherwise, scope);
                quote!(if #cond { #rebinds #then } else { #otherwise })
            }
            End::Match { scrutinee, arms, .. } => {
                let arms = arms.iter().map(|arm| {
                    let attrs = &arm.attrs;
                    let pat = &arm.pat;
                    let guard = arm.guard.as_ref().map(|guard| quote!(if #guard));
                    let rebinds = self.rebinds(&arm.defs);
                    let mut scope = scope.clone();
                    scope.declared.extend(&arm.defs);
                    let body = self.seq(arm.body, scope);
                    quote!(#(#attrs)* #pat #guard => { #rebinds #body })
                });
                quote!(match #scrutinee { #(#arms)* })
            }
        }
    }

    /// Whether a sequence does nothing but lead to a join that is emitted in its place.
    fn only_leads_on(&self, seq: SeqId) -> bool {
        let seq = self.body.seq(seq);
        let silent = seq.nodes.iter().all(|node| matches!(node, Node::Leave { .. }));
        matches!(&seq.end, End::Goto { state, value: None, .. } if silent && self.graph.inner.contains(state))
    }

    fn goto(&self, id: StateId, value: Option<&Expr>, mut scope: Scope) -> TokenStream {
        let info = self.body.state(id);
        let ty = info.ty.as_ref();
        let typed = |value: &Expr| match ty {
            Some(ty) => {
                let span = value.span().resolved_at(Span::mixed_site());
                quote_spanned!(span=> { let __value: #ty = #value; __value },)
            }
            None => quote!(#value,),
        };
        if let Some(leaving) = scope.open.get(&id) {
            let label = self.join_label(id);
            if info.value.is_none() && leaving.is_empty() {
                return quote!(break #label;);
            }
            let value = info.value.and(value).map(typed);
            let leaving = leaving.iter().map(|id| &self.body.binding(*id).ident);
            return quote!(break #label (#value #(#leaving,)*););
        }
        if self.graph.inner.contains(&id) {
            let bind = info.value.zip(value).map(|(binding, value)| {
                let pattern = self.pattern(binding);
                let ty = ty.map(|ty| quote!(: #ty));
                quote!(let #pattern #ty = #value;)
            });
            scope.declared.extend(info.value);
            let code = self.seq(info.body, scope);
            return quote!(#bind #code);
        }
        let value = info.value.and(value).map(typed);
        let variables = self.mentions(&self.payload(id));
        self.go(id, &quote!((#value #variables,)))
    }
}

/// Statements that need no semicolon.
fn ends_like_a_block(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::If(_)
            | Expr::Match(_)
            | Expr::Block(_)
            | Expr::Unsafe(_)
            | Expr::Loop(_)
            | Expr::While(_)
            | Expr::ForLoop(_)
    )
}
