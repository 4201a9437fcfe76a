//! Which code must be lowered: code that awaits, or that jumps to a loop or block that is itself lowered.

use syn::visit::{self, Visit};
use syn::{Block, Expr, Stmt};

use super::macros;

/// What a search looks for.
#[derive(Default)]
struct Finder<'a> {
    /// Labels of lowered loops and blocks around the code.
    labels: &'a [String],
    /// Whether an unlabelled `break` or `continue` here belongs to a lowered loop.
    in_loop: bool,
    /// Look for awaits.
    awaits: bool,
    /// Loops of the searched code around the current place.
    depth: usize,
    found: bool,
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::Await(_) => {
                self.found |= self.awaits;
                visit::visit_expr(self, expr);
            }
            // What these hold runs elsewhere or later; `check` refuses awaits inside of them.
            Expr::Closure(_) | Expr::Async(_) | Expr::Const(_) => {}
            Expr::ForLoop(inner) => {
                self.visit_expr(&inner.expr);
                self.depth += 1;
                self.visit_block(&inner.body);
                self.depth -= 1;
            }
            Expr::While(_) | Expr::Loop(_) => {
                self.depth += 1;
                visit::visit_expr(self, expr);
                self.depth -= 1;
            }
            Expr::Break(jump) => {
                self.jump(jump.label.as_ref());
                visit::visit_expr(self, expr);
            }
            Expr::Continue(jump) => self.jump(jump.label.as_ref()),
            Expr::Macro(mac) => self.visit_macro(&mac.mac),
            _ => visit::visit_expr(self, expr),
        }
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        // Known macros are looked into; a jump inside an unknown macro cannot be seen and fails to compile.
        let mut look = |expr: &Expr| {
            let mut inner = Finder {
                labels: self.labels,
                in_loop: self.in_loop,
                awaits: self.awaits,
                depth: self.depth,
                found: false,
            };
            inner.visit_expr(expr);
            self.found |= inner.found;
        };
        match macros::parse(mac) {
            Some(macros::Known::List { args, .. }) => args.iter().for_each(&mut look),
            Some(macros::Known::Repeat { value, count }) => {
                look(&value);
                look(&count);
            }
            Some(macros::Known::Matches { scrutinee, .. }) => look(&scrutinee),
            None => {}
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

impl Finder<'_> {
    fn jump(&mut self, label: Option<&syn::Lifetime>) {
        self.found |= match label {
            Some(label) => self.labels.contains(&label.ident.to_string()),
            None => self.in_loop && self.depth == 0,
        };
    }
}

/// Must `expr` be lowered, inside lowered loops and blocks with these labels?
pub(crate) fn expr(expr: &Expr, labels: &[String], in_loop: bool) -> bool {
    let mut finder = Finder {
        labels,
        in_loop,
        awaits: true,
        ..Finder::default()
    };
    finder.visit_expr(expr);
    finder.found
}

/// Does `expr` await?
pub(crate) fn awaits(expr: &Expr) -> bool {
    let mut finder = Finder {
        awaits: true,
        ..Finder::default()
    };
    finder.visit_expr(expr);
    finder.found
}

/// Must `stmt` be lowered?
pub(crate) fn stmt(stmt: &Stmt, labels: &[String], in_loop: bool) -> bool {
    let mut finder = Finder {
        labels,
        in_loop,
        awaits: true,
        ..Finder::default()
    };
    finder.visit_stmt(stmt);
    finder.found
}

/// Does this body of a `loop` break out of that loop (or out of a labelled one)?
pub(crate) fn breaks(body: &Block) -> bool {
    struct Breaks {
        depth: usize,
        found: bool,
    }
    impl<'ast> Visit<'ast> for Breaks {
        fn visit_expr(&mut self, expr: &'ast Expr) {
            match expr {
                Expr::Closure(_) | Expr::Async(_) => {}
                Expr::ForLoop(_) | Expr::While(_) | Expr::Loop(_) => {
                    self.depth += 1;
                    visit::visit_expr(self, expr);
                    self.depth -= 1;
                }
                Expr::Break(jump) => self.found |= jump.label.is_some() || self.depth == 0,
                _ => visit::visit_expr(self, expr),
            }
        }
        fn visit_item(&mut self, _: &'ast syn::Item) {}
    }
    let mut finder = Breaks {
        depth: 0,
        found: false,
    };
    finder.visit_block(body);
    finder.found
}
