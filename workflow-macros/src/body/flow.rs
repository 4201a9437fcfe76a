//! What plain code does to variables: which earlier values it may read, which variables it surely assigns first, and
//! which it mentions at all.
//!
//! The analysis follows Rust's scopes and branches, so a name shadowed inside the code is not taken for the variable
//! outside of it, and `let x; if c { x = 1 } else { x = 2 }` counts as an assignment, not as a mention.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::{Block, Expr, Pat, Stmt};

use super::{macros, pattern};

type Names = BTreeSet<String>;

/// The effect of a piece of code on names declared outside of it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Flow {
    pub(crate) uses: Names,
    pub(crate) kills: Names,
    /// Everything that is read or assigned anywhere, even where it has no effect: it must be declared.
    pub(crate) mentions: Names,
    pub(crate) diverges: bool,
}

impl Flow {
    /// This code, then `next`.
    pub(crate) fn then(mut self, next: Flow) -> Flow {
        self.mentions.extend(next.mentions);
        if self.diverges {
            return self;
        }
        self.uses
            .extend(next.uses.into_iter().filter(|name| !self.kills.contains(name)));
        self.kills.extend(next.kills);
        self.diverges = next.diverges;
        self
    }

    /// Either this code or `other`.
    fn or(mut self, other: Flow) -> Flow {
        self.kills = match (self.diverges, other.diverges) {
            (true, _) => other.kills,
            (false, true) => self.kills,
            (false, false) => self.kills.intersection(&other.kills).cloned().collect(),
        };
        self.uses.extend(other.uses);
        self.mentions.extend(other.mentions);
        self.diverges &= other.diverges;
        self
    }

    /// This code may run any number of times.
    fn maybe(mut self) -> Flow {
        self.kills.clear();
        self.diverges = false;
        self
    }

    /// This code captures what it mentions: even to be assigned, that must have a value.
    fn captured(mut self) -> Flow {
        self.uses.clone_from(&self.mentions);
        self.maybe()
    }

    /// Names that the code declares itself are no concern of the code around it.
    fn hide(mut self, names: &[pattern::Bound]) -> Flow {
        for name in names {
            let name = text(&name.ident);
            self.uses.remove(&name);
            self.kills.remove(&name);
            self.mentions.remove(&name);
        }
        self
    }

    fn reads(names: Names) -> Flow {
        Flow {
            mentions: names.clone(),
            uses: names,
            ..Flow::default()
        }
    }

    fn assigns(name: String) -> Flow {
        Flow {
            kills: Names::from([name.clone()]),
            mentions: Names::from([name]),
            ..Flow::default()
        }
    }
}

/// An identifier's name without `r#`.
pub(crate) fn text(ident: &syn::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

pub(crate) fn of_block(block: &Block) -> Flow {
    of_stmts(&block.stmts)
}

fn of_stmts(stmts: &[Stmt]) -> Flow {
    let Some((first, rest)) = stmts.split_first() else {
        return Flow::default();
    };
    match first {
        Stmt::Local(local) => {
            let names = pattern::bound(&local.pat);
            let mut flow = Flow::default();
            if let Some(init) = &local.init {
                flow = of_expr(&init.expr);
                if let Some((_, otherwise)) = &init.diverge {
                    flow = flow.then(of_expr(otherwise).maybe());
                }
            }
            flow.then(of_stmts(rest).hide(&names))
        }
        Stmt::Item(_) => of_stmts(rest),
        Stmt::Expr(expr, _) => of_expr(expr).then(of_stmts(rest)),
        Stmt::Macro(stmt) => of_macro(&stmt.mac).then(of_stmts(rest)),
    }
}

/// A single statement; names that a `let` declares are not part of the answer.
pub(crate) fn of_stmt(stmt: &Stmt) -> Flow {
    of_stmts(std::slice::from_ref(stmt))
}

/// A condition's own effect, and the names that its `let` patterns bind.
fn of_condition(cond: &Expr) -> (Flow, Vec<pattern::Bound>) {
    match cond {
        Expr::Let(condition) => (of_expr(&condition.expr), pattern::bound(&condition.pat)),
        Expr::Binary(binary) if matches!(binary.op, syn::BinOp::And(_)) => {
            let (left, mut names) = of_condition(&binary.left);
            let (right, more) = of_condition(&binary.right);
            let flow = left.then(right.hide(&names).maybe());
            names.extend(more);
            (flow, names)
        }
        Expr::Paren(paren) => of_condition(&paren.expr),
        other => (of_expr(other), Vec::new()),
    }
}

pub(crate) fn of_expr(expr: &Expr) -> Flow {
    match expr {
        Expr::Path(path) => match path.path.get_ident() {
            Some(ident) if path.qself.is_none() => Flow::reads(Names::from([text(ident)])),
            _ => Flow::default(),
        },
        Expr::Assign(assign) => of_expr(&assign.right).then(of_assigned(&assign.left)),
        Expr::If(expr) => {
            let (cond, names) = of_condition(&expr.cond);
            let then = of_block(&expr.then_branch).hide(&names);
            let otherwise = expr
                .else_branch
                .as_ref()
                .map(|(_, branch)| of_expr(branch))
                .unwrap_or_default();
            cond.then(then.or(otherwise))
        }
        Expr::Let(_) => of_condition(expr).0,
        Expr::Match(expr) => {
            let mut arms: Option<Flow> = None;
            for arm in &expr.arms {
                let names = pattern::bound(&arm.pat);
                let mut flow = Flow::default();
                if let Pat::Guard(guard) = &arm.pat {
                    flow = of_expr(&guard.guard).maybe();
                }
                let flow = flow.then(of_expr(&arm.body)).hide(&names);
                arms = Some(match arms {
                    Some(before) => before.or(flow),
                    None => flow,
                });
            }
            of_expr(&expr.expr).then(arms.unwrap_or_default())
        }
        Expr::While(expr) => {
            let (cond, names) = of_condition(&expr.cond);
            cond.then(of_block(&expr.body).hide(&names).maybe())
        }
        Expr::ForLoop(expr) => {
            let body = of_block(&expr.body).hide(&pattern::bound(&expr.pat)).maybe();
            of_expr(&expr.expr).then(body)
        }
        Expr::Loop(expr) => of_block(&expr.body).maybe(),
        Expr::Block(expr) if expr.label.is_some() => of_block(&expr.block).maybe(),
        Expr::Block(expr) => of_block(&expr.block),
        Expr::Unsafe(expr) => of_block(&expr.block),
        Expr::Async(expr) => of_block(&expr.block).captured(),
        Expr::Const(_) => Flow::default(),
        Expr::Closure(closure) => {
            let names: Vec<_> = closure.inputs.iter().flat_map(pattern::bound).collect();
            of_expr(&closure.body).hide(&names).captured()
        }
        Expr::Binary(binary) if matches!(binary.op, syn::BinOp::And(_) | syn::BinOp::Or(_)) => {
            of_expr(&binary.left).then(of_expr(&binary.right).maybe())
        }
        Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => {
            let mut flow = of_children(expr);
            flow.diverges = true;
            flow
        }
        Expr::Macro(expr) => of_macro(&expr.mac),
        other => of_children(other),
    }
}

/// The left side of an assignment: a place, or a pattern of places.
fn of_assigned(left: &Expr) -> Flow {
    let all =
        |parts: &mut dyn Iterator<Item = &Expr>| parts.map(of_assigned).fold(Flow::default(), Flow::then);
    match left {
        Expr::Path(path) => match path.path.get_ident() {
            Some(ident) if path.qself.is_none() => Flow::assigns(text(ident)),
            _ => Flow::default(),
        },
        Expr::Tuple(tuple) => all(&mut tuple.elems.iter()),
        Expr::Array(array) => all(&mut array.elems.iter()),
        Expr::Struct(value) => all(&mut value.fields.iter().map(|field| &field.expr)),
        Expr::Call(call) => all(&mut call.args.iter()),
        place => of_expr(place),
    }
}

fn of_macro(mac: &syn::Macro) -> Flow {
    let mut flow = match macros::parse(mac) {
        Some(macros::Known::List { args, format, .. }) => {
            let mut flow = Flow::default();
            for arg in &args {
                flow = flow.then(match arg {
                    Expr::Assign(named) if format.is_some() => of_expr(&named.right),
                    arg => of_expr(arg),
                });
            }
            if let Some(format) = format {
                let captured = macros::captured(&args, format).into_iter().collect();
                flow = flow.then(Flow::reads(captured));
            }
            flow
        }
        Some(macros::Known::Repeat { value, count }) => of_expr(&value).then(of_expr(&count)),
        Some(macros::Known::Matches {
            scrutinee,
            pat,
            guard,
            ..
        }) => {
            let guard = guard
                .as_ref()
                .map(of_expr)
                .unwrap_or_default()
                .hide(&pattern::bound(&pat))
                .maybe();
            of_expr(&scrutinee).then(guard)
        }
        None => {
            let mut names = Names::new();
            macros::mentions(&mac.tokens, &mut |name| {
                names.insert(name.to_owned());
            });
            Flow::reads(names)
        }
    };
    flow.diverges |= macros::diverges(mac);
    flow
}

/// All sub-expressions, one after the other.
fn of_children(expr: &Expr) -> Flow {
    struct Children(Flow);
    impl<'ast> Visit<'ast> for Children {
        fn visit_expr(&mut self, expr: &'ast Expr) {
            self.0 = std::mem::take(&mut self.0).then(of_expr(expr));
        }
        fn visit_item(&mut self, _: &'ast syn::Item) {}
        fn visit_type(&mut self, _: &'ast syn::Type) {}
    }
    let mut children = Children(Flow::default());
    visit::visit_expr(&mut children, expr);
    children.0
}

/// Whether the end of the block cannot be reached, as far as syntax tells.
pub(crate) fn diverges(block: &Block) -> bool {
    of_block(block).diverges || block.stmts.last().is_some_and(stmt_diverges)
}

fn stmt_diverges(stmt: &Stmt) -> bool {
    match stmt {
        Stmt::Expr(Expr::Loop(expr), _) => !super::needs::breaks(&expr.body),
        Stmt::Expr(Expr::Call(call), _) => match &*call.func {
            Expr::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "exit"),
            _ => false,
        },
        _ => false,
    }
}
