//! Takes the `async` blocks out of a body, so that each can be compiled into a machine of its own.
//!
//! What a block mentions of the variables around it are its captures. In the block's place stands `__block!(n, captures..)`,
//! which the other passes treat as any macro: it reads its captures. The emitted code has the block's n-th value there.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, ExprAsync, Local, Pat, parse_quote, parse_quote_spanned};

use super::lower::Param;
use super::{flow, macros, pattern};
use crate::diag::Diagnostics;

/// The macro that stands in a block's place.
pub(super) const MARKER: &str = "__block";

/// Methods of the standard collections and of texts that change what they are called on. Of any other method rustc says so.
const CHANGES: [&str; 16] = [
    "append",
    "clear",
    "dedup",
    "drain",
    "entry",
    "extend",
    "insert",
    "pop",
    "pop_front",
    "push",
    "push_back",
    "push_str",
    "retain",
    "sort",
    "sort_by_key",
    "truncate",
];

/// A block that was taken out.
pub(crate) struct AsyncBlock {
    /// The variables around the block that it mentions, where it first does.
    pub(crate) captures: Vec<Capture>,
    /// `async move`: the captures are the block's own.
    pub(crate) moves: bool,
    pub(crate) block: Block,
    pub(crate) span: Span,
}

/// A variable around a block that the block mentions.
#[derive(Clone)]
pub(crate) struct Capture {
    pub(crate) ident: Ident,
    pub(crate) mutable: bool,
}

impl AsyncBlock {
    /// The captures as the parameters of the block's machine.
    pub(crate) fn params(&self) -> Vec<Param> {
        let param = |capture: &Capture| {
            let ident = &capture.ident;
            let pat: Pat = if self.moves && capture.mutable {
                parse_quote!(mut #ident)
            } else {
                parse_quote!(#ident)
            };
            Param {
                field: ident.clone(),
                pat,
                ty: None,
            }
        };
        self.captures.iter().map(param).collect()
    }
}

/// Whose body it is that blocks are taken out of.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Owner {
    Workflow,
    /// A block that works on copies of its captures.
    Copies,
    /// A block whose captures are its own.
    Moves,
}

/// Takes the blocks out of the body; blocks within them stay.
pub(super) fn extract(
    params: &[Param],
    owner: Owner,
    block: &mut Block,
    diagnostics: &mut Diagnostics,
) -> Vec<AsyncBlock> {
    let mut extractor = Extractor {
        scope: Vec::new(),
        blocks: Vec::new(),
        diagnostics,
    };
    for param in params {
        extractor.declare(&param.pat, owner == Owner::Copies);
    }
    extractor.visit_block_mut(block);
    extractor.blocks
}

/// A variable in scope.
struct Name {
    text: String,
    mutable: bool,
    /// A copy that the block around the code was given.
    copied: bool,
}

struct Extractor<'a> {
    scope: Vec<Name>,
    blocks: Vec<AsyncBlock>,
    diagnostics: &'a mut Diagnostics,
}

impl Extractor<'_> {
    fn declare(&mut self, pat: &Pat, copied: bool) {
        let names = pattern::bound(pat).into_iter().map(|bound| Name {
            text: flow::text(&bound.ident),
            mutable: bound.mutable,
            copied,
        });
        self.scope.extend(names);
    }

    fn resolve(&self, text: &str) -> Option<&Name> {
        self.scope.iter().rev().find(|name| name.text == text)
    }

    /// Visits code in a scope of its own.
    fn within(&mut self, visit: impl FnOnce(&mut Self)) {
        let mark = self.scope.len();
        visit(self);
        self.scope.truncate(mark);
    }

    fn take(&mut self, expr: &ExprAsync) -> Expr {
        let span = expr.async_token.span;
        let mentions = flow::of_block(&expr.block).mentions;
        let tokens = expr.block.to_token_stream();
        let captures: Vec<Capture> = mentions
            .iter()
            .filter_map(|text| {
                let name = self.resolve(text)?;
                let ident = first_mention(&tokens, text).unwrap_or_else(|| captured(text, span));
                Some(Capture {
                    ident,
                    mutable: name.mutable,
                })
            })
            .collect();
        let number = self.blocks.len();
        let marker = Ident::new(MARKER, span);
        let idents = captures.iter().map(|capture| &capture.ident);
        let taken = parse_quote_spanned!(span=> #marker!(#number #(, #idents)*));
        self.blocks.push(AsyncBlock {
            captures,
            moves: expr.capture.is_some(),
            block: expr.block.clone(),
            span,
        });
        taken
    }

    /// Code that changes a copy would have no effect outside of the block.
    fn change(&mut self, place: &Expr) {
        match place {
            Expr::Tuple(inner) => inner.elems.iter().for_each(|elem| self.change(elem)),
            Expr::Array(inner) => inner.elems.iter().for_each(|elem| self.change(elem)),
            Expr::Call(inner) => inner.args.iter().for_each(|arg| self.change(arg)),
            Expr::Struct(inner) => inner.fields.iter().for_each(|field| self.change(&field.expr)),
            Expr::Field(inner) => self.change(&inner.base),
            Expr::Index(inner) => self.change(&inner.expr),
            Expr::Paren(inner) => self.change(&inner.expr),
            Expr::Path(path) => {
                let Some(ident) = path.path.get_ident() else {
                    return;
                };
                let text = flow::text(ident);
                if self.resolve(&text).is_some_and(|name| name.copied) {
                    self.diagnostics.error(
                        ident.span(),
                        "W0036",
                        format!(
                            "an `async` block cannot change `{text}`, which belongs to the code around it: the block is \
                             stored with a copy of each variable that it mentions"
                        ),
                        "give the new value as the block's result and use it behind the await: `let (a, b) = join!(async { .. }, ..)`; \
                         a variable that only this block needs can be moved into it (`async move`)",
                    );
                }
            }
            _ => {}
        }
    }
}

impl VisitMut for Extractor<'_> {
    fn visit_block_mut(&mut self, block: &mut Block) {
        self.within(|this| visit_mut::visit_block_mut(this, block));
    }

    fn visit_local_mut(&mut self, local: &mut Local) {
        if let Some(init) = &mut local.init {
            self.visit_expr_mut(&mut init.expr);
            if let Some((_, otherwise)) = &mut init.diverge {
                self.visit_expr_mut(otherwise);
            }
        }
        self.declare(&local.pat, false);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Async(block) => *expr = self.take(block),
            Expr::Closure(closure) => self.within(|this| {
                closure.inputs.iter().for_each(|input| this.declare(input, false));
                // `async |x| body` gives a block when it is called.
                if let (Some(token), syn::ReturnType::Default) = (closure.asyncness, &closure.output) {
                    let body = &closure.body;
                    *closure.body = parse_quote_spanned!(token.span=> async { #body });
                    closure.asyncness = None;
                }
                this.visit_expr_mut(&mut closure.body);
            }),
            Expr::If(inner) => {
                self.within(|this| {
                    this.visit_expr_mut(&mut inner.cond);
                    this.visit_block_mut(&mut inner.then_branch);
                });
                if let Some((_, otherwise)) = &mut inner.else_branch {
                    self.visit_expr_mut(otherwise);
                }
            }
            Expr::While(inner) => self.within(|this| {
                this.visit_expr_mut(&mut inner.cond);
                this.visit_block_mut(&mut inner.body);
            }),
            // Its names are in scope to the end of the condition and of what the condition guards.
            Expr::Let(inner) => {
                self.visit_expr_mut(&mut inner.expr);
                self.declare(&inner.pat, false);
            }
            Expr::ForLoop(inner) => {
                self.visit_expr_mut(&mut inner.expr);
                self.within(|this| {
                    this.declare(&inner.pat, false);
                    this.visit_block_mut(&mut inner.body);
                });
            }
            Expr::Match(inner) => {
                self.visit_expr_mut(&mut inner.expr);
                for arm in &mut inner.arms {
                    self.within(|this| {
                        this.declare(&arm.pat, false);
                        if let Pat::Guard(guard) = &mut arm.pat {
                            this.visit_expr_mut(&mut guard.guard);
                        }
                        this.visit_expr_mut(&mut arm.body);
                    });
                }
            }
            Expr::Assign(inner) => {
                self.change(&inner.left);
                visit_mut::visit_expr_mut(self, expr);
            }
            Expr::Binary(inner) if super::lower::assigns(&inner.op) => {
                self.change(&inner.left);
                visit_mut::visit_expr_mut(self, expr);
            }
            Expr::Reference(inner) if inner.mutability.is_some() => {
                self.change(&inner.expr);
                visit_mut::visit_expr_mut(self, expr);
            }
            Expr::MethodCall(inner) => {
                if CHANGES.iter().any(|name| inner.method == name) {
                    self.change(&inner.receiver);
                }
                visit_mut::visit_expr_mut(self, expr);
            }
            Expr::Const(_) => {}
            _ => visit_mut::visit_expr_mut(self, expr),
        }
    }

    fn visit_macro_mut(&mut self, mac: &mut syn::Macro) {
        if contains_async(&mac.tokens) {
            macros::rewrite(mac, &mut |expr| self.visit_expr_mut(expr));
        }
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}

fn contains_async(tokens: &TokenStream) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "async",
        TokenTree::Group(group) => contains_async(&group.stream()),
        _ => false,
    })
}

/// A variable that only a format string mentions.
fn captured(text: &str, span: Span) -> Ident {
    let mut ident = syn::parse_str(text).unwrap_or_else(|_| Ident::new_raw(text, span));
    ident.set_span(span);
    ident
}

/// The first identifier of this name that is no field or method.
fn first_mention(tokens: &TokenStream, text: &str) -> Option<Ident> {
    let mut after_dot = false;
    for token in tokens.clone() {
        match &token {
            TokenTree::Ident(ident) if !after_dot && flow::text(ident) == text => {
                return Some(ident.clone());
            }
            TokenTree::Group(group) => {
                if let Some(found) = first_mention(&group.stream(), text) {
                    return Some(found);
                }
            }
            _ => {}
        }
        after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.' && !after_dot);
    }
    None
}

/// Puts code in the place of each marker.
pub(super) fn fill(tokens: TokenStream, code: &dyn Fn(usize, &[Ident]) -> TokenStream) -> TokenStream {
    let mut filled = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == MARKER && is_bang(tokens.peek()) => {
                tokens.next();
                if let Some(TokenTree::Group(group)) = tokens.next()
                    && let Some((number, captures)) = arguments(group.stream())
                {
                    filled.extend(code(number, &captures));
                }
            }
            TokenTree::Group(group) => {
                let mut inner = proc_macro2::Group::new(group.delimiter(), fill(group.stream(), code));
                inner.set_span(group.span());
                filled.extend([TokenTree::Group(inner)]);
            }
            other => filled.extend([other]),
        }
    }
    filled
}

/// The numbers of the blocks that stand in the tokens.
pub(super) fn numbers(tokens: &TokenStream) -> Vec<usize> {
    let found = std::cell::RefCell::new(Vec::new());
    let _ = fill(tokens.clone(), &|number, _| {
        found.borrow_mut().push(number);
        TokenStream::new()
    });
    found.into_inner()
}

fn is_bang(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == '!')
}

fn arguments(tokens: TokenStream) -> Option<(usize, Vec<Ident>)> {
    let mut tokens = tokens.into_iter();
    let TokenTree::Literal(number) = tokens.next()? else {
        return None;
    };
    let number = number.to_string();
    let number = number.trim_end_matches("usize").parse().ok()?;
    let captures = tokens
        .filter_map(|token| match token {
            TokenTree::Ident(ident) => Some(ident),
            _ => None,
        })
        .collect();
    Some((number, captures))
}
