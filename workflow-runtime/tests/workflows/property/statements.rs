//! Random statements, blocks, conditions and matches.

use super::program::{Generator, TYPES, Target, Ty};

impl Generator {
    /// `{ .. }` in a scope of its own, with a value of this type at its end.
    pub(crate) fn block(&mut self, depth: usize, tail: Option<Ty>) -> String {
        self.scoped(|this| {
            let stmts = this.stmts(depth);
            let tail = tail.map_or_else(String::new, |ty| this.expr(ty, depth));
            format!("{{\n{stmts}{tail}\n}}")
        })
    }

    pub(crate) fn stmts(&mut self, depth: usize) -> String {
        if self.quiet > 0 {
            return String::new();
        }
        let count = if depth == 0 {
            self.random.below(2)
        } else {
            1 + self.random.below(3)
        };
        (0..count).map(|_| self.stmt(depth)).collect()
    }

    pub(crate) fn stmt(&mut self, depth: usize) -> String {
        let simple = depth == 0 || self.random.percent(55);
        let mut text = if simple {
            self.simple_stmt(depth)
        } else {
            self.compound_stmt(depth - 1)
        };
        text.push('\n');
        text
    }

    fn simple_stmt(&mut self, depth: usize) -> String {
        match self.random.below(20) {
            0..=4 => {
                let ty = *self.random.pick(&TYPES);
                self.let_(ty, depth)
            }
            5 => self.destructure(depth),
            6..=9 => self.assign(depth),
            10 => self.let_else(depth),
            11 if self.may_await() => format!("unit({}).await;", self.expr(Ty::Int, depth)),
            12 if self.may_await() => "sleep(\"5ms\").await;".to_owned(),
            13 if self.may_await() => {
                let n = self.random.below(20);
                format!("assert_eq!(inc({n}).await, {n} + 1);")
            }
            14 => match self.changeable(Ty::Vector) {
                Some(var) => {
                    let name = self.scope[var].name.clone();
                    let item = self.frozen(var, |this| this.expr(Ty::Int, depth));
                    format!("{name}.push({item});")
                }
                None => self.let_(Ty::Vector, depth),
            },
            15 => match self.movable(Ty::Text) {
                Some(var) => {
                    self.scope[var].moved = true;
                    format!("drop({});", self.scope[var].name)
                }
                None => self.let_(Ty::Text, depth),
            },
            16 => {
                let ty = *self.random.pick(&TYPES);
                format!("let _ = {};", self.expr(ty, depth))
            }
            17 => {
                // Declared here, assigned later.
                let ty = *self.random.pick(&TYPES);
                let name = format!("late{}", self.unique());
                let (text, _) = self.condition_and(depth, |this| {
                    let stmts = this.stmts(depth.min(1));
                    let value = this.expr(ty, depth);
                    format!("{{\n{stmts}{name} = {value};\n}}")
                });
                let other = self.scoped(|this| this.expr(ty, depth));
                self.declare(&name, ty, false);
                let annotation = if self.random.percent(30) {
                    format!(": {}", ty.rust())
                } else {
                    String::new()
                };
                format!("let {name}{annotation};\n{text} else {{\n{name} = {other};\n}}")
            }
            18 => {
                let condition = self.expr(Ty::Bool, depth);
                format!("assert!({condition} || true, \"never {{}}\", 1);")
            }
            _ => self.let_(Ty::Int, depth),
        }
    }

    fn let_(&mut self, ty: Ty, depth: usize) -> String {
        let value = self.expr(ty, depth);
        let name = self.new_name();
        let mutable = self.random.percent(60);
        self.declare(&name, ty, mutable);
        let mutable = if mutable { "mut " } else { "" };
        let annotation = if self.random.percent(30) {
            format!(": {}", ty.rust())
        } else {
            String::new()
        };
        format!("let {mutable}{name}{annotation} = {value};")
    }

    fn two_names(&mut self) -> (String, String) {
        let one = self.new_name();
        let two = self.new_name();
        if one == two {
            (one, format!("{two}2"))
        } else {
            (one, two)
        }
    }

    fn destructure(&mut self, depth: usize) -> String {
        let (one, two) = self.two_names();
        match self.random.below(4) {
            0 => {
                let (first, second) = (*self.random.pick(&TYPES), *self.random.pick(&TYPES));
                let value = format!("({}, {})", self.expr(first, depth), self.expr(second, depth));
                self.declare(&one, first, false);
                self.declare(&two, second, true);
                format!("let ({one}, mut {two}) = {value};")
            }
            1 => {
                let value = self.expr(Ty::Pt, depth);
                self.declare(&one, Ty::Int, true);
                self.declare(&two, Ty::Text, false);
                format!("let Pt {{ x: mut {one}, label: {two} }} = {value};")
            }
            2 => {
                let all: Vec<String> = (0..3).map(|_| self.expr(Ty::Int, depth)).collect();
                self.declare(&one, Ty::Int, false);
                self.declare(&two, Ty::Int, false);
                format!("let [{one}, _, {two}] = [{}];", all.join(", "))
            }
            _ => match (self.changeable(Ty::Int), self.changeable(Ty::Maybe)) {
                (Some(int), Some(maybe)) => {
                    let (int, maybe) = (self.scope[int].name.clone(), self.scope[maybe].name.clone());
                    let value = format!("({}, {})", self.expr(Ty::Int, depth), self.expr(Ty::Maybe, depth));
                    format!("({int}, {maybe}) = {value};")
                }
                _ => self.let_(Ty::Maybe, depth),
            },
        }
    }

    fn assign(&mut self, depth: usize) -> String {
        let ty = *self.random.pick(&TYPES);
        let Some(var) = self.changeable(ty) else {
            return self.let_(ty, depth);
        };
        let name = self.scope[var].name.clone();
        match (ty, self.random.below(3)) {
            (Ty::Int, 0) => {
                let value = self.expr(Ty::Int, depth);
                let operator = *self.random.pick(&["+=", "-="]);
                format!("{name} {operator} {value} % 100;")
            }
            (Ty::Pt, 0) => {
                let value = self.expr(Ty::Int, depth);
                // The value may have moved the variable.
                if self.scope[var].moved {
                    format!("let _ = {value};")
                } else {
                    format!("{name}.x = {value};")
                }
            }
            (Ty::Vector, 0) => {
                let value = self.frozen(var, |this| this.expr(Ty::Int, depth));
                format!("if !{name}.is_empty() {{ {name}[0] = {value}; }}")
            }
            _ => {
                let value = self.expr(ty, depth);
                if self.scope[var].moved && self.targets.is_empty() && self.quiet == 0 {
                    // Assigned anew: it has a value again, unless only one branch came here.
                    return format!("{name} = {value};");
                }
                format!("{name} = {value};")
            }
        }
    }

    fn let_else(&mut self, depth: usize) -> String {
        let (ty, name) = (*self.random.pick(&[Ty::Shape, Ty::Maybe]), self.new_name());
        let value = self.expr(ty, depth);
        let Some(jump) = self.jump(depth) else {
            return format!("let _ = {value};");
        };
        self.declare(&name, Ty::Int, ty == Ty::Shape);
        match ty {
            Ty::Shape => {
                format!(
                    "let (Shape::Line(mut {name}) | Shape::Rect {{ w: mut {name}, .. }}) = ({value}) else {{ {jump} }};"
                )
            }
            _ => format!("let Some({name}) = ({value}) else {{ {jump} }};"),
        }
    }

    fn compound_stmt(&mut self, depth: usize) -> String {
        match self.random.below(12) {
            11 => self.async_block(depth),
            0..=2 => {
                let (mut text, _) = self.condition_and(depth, |this| this.branch(depth));
                if self.random.percent(30) {
                    let (more, _) = self.condition_and(depth, |this| this.branch(depth));
                    text = format!("{text} else {more}");
                }
                if self.random.percent(50) {
                    text = format!("{text} else {}", self.branch(depth));
                }
                text
            }
            3 | 4 => self.match_(depth, None),
            5 => self.block(depth, None),
            6 => self.while_(depth),
            7..=9 => self.for_(depth),
            _ => {
                let label = format!("'l{}", self.unique());
                let target = Target {
                    label: Some(label.clone()),
                    is_loop: false,
                    value: None,
                };
                let block = self.within(target, |this| this.branch(depth));
                format!("{label}: {block}")
            }
        }
    }

    /// `async` blocks: awaited alone, with a limit, or beside one that awaits nothing.
    fn async_block(&mut self, depth: usize) -> String {
        if self.quiet > 0 {
            return self.block(depth, None);
        }
        let ty = *self.random.pick(&TYPES);
        let block = self.apart(ty, |this| this.block(depth, Some(ty)));
        let (name, mutable) = (self.new_name(), self.random.percent(50));
        let pattern = if mutable {
            format!("mut {name}")
        } else {
            name.clone()
        };
        let text = match self.random.below(3) {
            0 => {
                let other = *self.random.pick(&TYPES);
                let still = self.apart(other, |this| this.quietly(|this| this.expr(other, 1)));
                format!("let ({pattern}, _) = join!(async {block}, async {{ {still} }});")
            }
            1 => format!("let {pattern} = async {block}.timeout(\"1h\").await.ok().expect(\"in time\");"),
            _ => format!("let {pattern} = async {block}.await;"),
        };
        self.declare(&name, ty, mutable);
        text
    }

    /// Code of a block, whose output has this type: it may read what is around it, and leaves only the block.
    fn apart(&mut self, ty: Ty, write: impl FnOnce(&mut Self) -> String) -> String {
        let around = self.scope.len();
        let targets = std::mem::take(&mut self.targets);
        let (output, fallible) = (self.output, self.fallible);
        (self.output, self.fallible) = (ty, false);
        self.scope.iter_mut().for_each(|var| var.frozen += 1);
        let text = write(self);
        self.scope[..around].iter_mut().for_each(|var| var.frozen -= 1);
        (self.output, self.fallible) = (output, fallible);
        self.targets = targets;
        text
    }

    /// A block that may end in a jump.
    fn branch(&mut self, depth: usize) -> String {
        self.scoped(|this| {
            let stmts = this.stmts(depth);
            let jump = if this.random.percent(8) {
                this.jump(depth).unwrap_or_default()
            } else {
                String::new()
            };
            format!("{{\n{stmts}{jump}\n}}")
        })
    }

    /// `if condition` and what it guards, which sees the condition's variables.
    pub(crate) fn condition_and(
        &mut self,
        depth: usize,
        write: impl FnOnce(&mut Self) -> String,
    ) -> (String, ()) {
        self.scoped(|this| {
            let condition = this.condition(depth);
            let guarded = write(this);
            (format!("if {condition} {guarded}"), ())
        })
    }

    fn condition(&mut self, depth: usize) -> String {
        let mut parts = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            if self.random.percent(35) {
                let (value, name) = (self.expr(Ty::Maybe, depth), self.new_name());
                self.declare(&name, Ty::Int, false);
                parts.push(format!("let Some({name}) = ({value})"));
            } else {
                parts.push(self.boolean(depth));
            }
        }
        parts.join(" && ")
    }

    fn loop_target(&mut self) -> (Target, String) {
        let label = self.random.percent(40).then(|| format!("'l{}", self.unique()));
        let written = label
            .as_ref()
            .map_or_else(String::new, |label| format!("{label}: "));
        (
            Target {
                label,
                is_loop: true,
                value: None,
            },
            written,
        )
    }

    fn while_(&mut self, depth: usize) -> String {
        let (target, label) = self.loop_target();
        let turns = 1 + self.random.below(3);
        if self.random.percent(40)
            && let Some(var) = self.changeable(Ty::Vector)
        {
            let vector = self.scope[var].name.clone();
            let name = self.new_name();
            return self.frozen(var, |this| {
                this.within(target, |this| {
                    this.scoped(|this| {
                        this.declare(&name, Ty::Int, false);
                        let body = this.branch(depth);
                        // The loop's own variable may shadow the vector inside of the body only.
                        format!(
                            "{vector}.truncate(3);\n{label}while let Some({name}) = {vector}.pop() {body}"
                        )
                    })
                })
            });
        }
        let fuel = format!("fuel{}", self.unique());
        self.within(target, |this| {
            this.scoped(|this| {
                // A jump in a condition would leave a loop that is not there yet.
                let targets = std::mem::take(&mut this.targets);
                this.still += 1;
                this.targets = targets
                    .iter()
                    .filter(|target| target.is_loop)
                    .map(|_| Target {
                        label: None,
                        is_loop: true,
                        value: None,
                    })
                    .collect();
                let condition = this.quietless_condition(depth);
                this.still -= 1;
                this.targets = targets;
                let body = this.branch(depth);
                let body = body.trim_start_matches('{').to_owned();
                format!(
                    "let mut {fuel} = {turns};\n{label}while {fuel} > 0 && {condition} {{\n{fuel} -= 1;{body}"
                )
            })
        })
    }

    /// A condition without jumps: only operands.
    fn quietless_condition(&mut self, depth: usize) -> String {
        if self.random.percent(40) && self.may_await() {
            let argument = self.quietly(|this| this.expr(Ty::Int, depth.min(1)));
            return if self.random.percent(50) {
                let name = self.new_name();
                self.declare(&name, Ty::Int, true);
                format!("let Some(mut {name}) = find({argument}).await")
            } else {
                format!("even({argument}).await")
            };
        }
        self.quietly(|this| this.boolean(depth.min(1)))
    }

    fn for_(&mut self, depth: usize) -> String {
        let (target, label) = self.loop_target();
        let name = self.new_name();
        match self.random.below(8) {
            0 | 1 => {
                let end = self.expr(Ty::Int, depth);
                let range = *self.random.pick(&["0..", "0..=", "1.."]);
                let body = self.loop_body(target, &[(&name, Ty::Int)], depth);
                format!("{label}for {name} in {range}({end}).rem_euclid(4) {body}")
            }
            2 => {
                let items = self.expr(Ty::Vector, depth);
                let body = self.loop_body(target, &[(&name, Ty::Int)], depth);
                format!("{label}for mut {name} in ({items}).into_iter().take(3) {body}")
            }
            3 => {
                let items = self.expr(Ty::Vector, depth);
                let index = format!("i{}", self.unique());
                let body = self.loop_body(target, &[(&name, Ty::Int)], depth);
                format!("{label}for ({index}, {name}) in ({items}).into_iter().enumerate().take(3) {body}")
            }
            4 => match self.readable(Ty::Vector) {
                Some(var) => {
                    let vector = self.scope[var].name.clone();
                    let body = self.frozen(var, |this| this.loop_body(target, &[(&name, Ty::Int)], depth));
                    let source = *self.random.pick(&["&{v}", "{v}.iter()"]);
                    format!("{label}for &{name} in {} {body}", source.replace("{v}", &vector))
                }
                None => self.let_(Ty::Vector, depth),
            },
            5 => match self.changeable(Ty::Vector) {
                Some(var) => {
                    let vector = self.scope[var].name.clone();
                    let item = format!("item{}", self.unique());
                    let shift = self.quietly(|this| this.hidden(var, |this| this.expr(Ty::Int, 0)));
                    let body = self.hidden(var, |this| this.loop_body(target, &[], depth));
                    // The item is used before and behind the awaits of the body.
                    let body = body.trim_start_matches('{').trim_end();
                    let body = body.strip_suffix('}').unwrap_or(body);
                    format!(
                        "{label}for {item} in &mut {vector} {{\n*{item} = (*{item} + {shift}) % 997;{body}\
                         *{item} = (*{item} + 1) % 997;\n}}"
                    )
                }
                None => self.let_(Ty::Vector, depth),
            },
            6 => {
                let text = self.expr(Ty::Text, depth);
                let letter = format!("letter{}", self.unique());
                let body = self.loop_body(target, &[], depth);
                let body = body.trim_start_matches('{').to_owned();
                format!(
                    "{label}for {letter} in ({text}).chars().take(2).collect::<Vec<_>>() {{\nlet _ = {letter};{body}"
                )
            }
            _ => {
                let (one, two) = self.two_names();
                let a = self.expr(Ty::Int, depth);
                let b = self.expr(Ty::Text, depth);
                let body = self.loop_body(target, &[(&one, Ty::Int), (&two, Ty::Text)], depth);
                format!("{label}for ({one}, {two}) in [({a}, {b}), (2_i64, \"two\".to_string())] {body}")
            }
        }
    }

    fn loop_body(&mut self, target: Target, vars: &[(&str, Ty)], depth: usize) -> String {
        self.within(target, |this| {
            this.scoped(|this| {
                vars.iter().for_each(|(name, ty)| this.declare(name, *ty, false));
                this.branch(depth)
            })
        })
    }

    /// A match; its arms are values of this type, or blocks.
    pub(crate) fn match_(&mut self, depth: usize, ty: Option<Ty>) -> String {
        let name = self.new_name();
        let (scrutinee, arms): (String, Vec<(String, Vec<(String, Ty)>, bool)>) = match self.random.below(6) {
            0 => {
                let value = self.expr(Ty::Maybe, depth);
                let bound = vec![(name.clone(), Ty::Int)];
                (
                    value,
                    vec![
                        (format!("Some({name})"), bound.clone(), true),
                        ("Some(0) | None".to_owned(), vec![], false),
                        (format!("Some({name})"), bound, false),
                    ],
                )
            }
            1 => {
                let value = self.expr(Ty::Shape, depth);
                let (one, two) = self.two_names();
                (
                    value,
                    vec![
                        (
                            format!("Shape::Line({name} @ 1..=9)"),
                            vec![(name.clone(), Ty::Int)],
                            false,
                        ),
                        (
                            format!("Shape::Rect {{ w: {one}, h: {two} }}"),
                            vec![(one, Ty::Int), (two, Ty::Int)],
                            true,
                        ),
                        (
                            format!("Shape::Line({name}) | Shape::Rect {{ w: {name}, .. }}"),
                            vec![(name.clone(), Ty::Int)],
                            false,
                        ),
                        ("Shape::Dot".to_owned(), vec![], false),
                    ],
                )
            }
            2 => {
                let value = self.expr(Ty::Int, depth);
                (
                    format!("({value}) % 10"),
                    vec![
                        ("0 | 1".to_owned(), vec![], false),
                        (format!("{name} @ 2..=5"), vec![(name.clone(), Ty::Int)], true),
                        ("6..".to_owned(), vec![], false),
                        (name.clone(), vec![(name.clone(), Ty::Int)], false),
                    ],
                )
            }
            3 => {
                let first = self.expr(Ty::Maybe, depth);
                let second = self.expr(Ty::Bool, depth);
                (
                    format!("({first}, {second})"),
                    vec![
                        (
                            format!("(Some({name}), true)"),
                            vec![(name.clone(), Ty::Int)],
                            false,
                        ),
                        ("(None, _)".to_owned(), vec![], true),
                        ("(_, _)".to_owned(), vec![], false),
                    ],
                )
            }
            4 => {
                let value = self.expr(Ty::Pt, depth);
                (
                    value,
                    vec![
                        (
                            format!("Pt {{ x: 1..=9, label: {name} }}"),
                            vec![(name.clone(), Ty::Text)],
                            false,
                        ),
                        (
                            format!("Pt {{ x: {name}, .. }}"),
                            vec![(name.clone(), Ty::Int)],
                            false,
                        ),
                    ],
                )
            }
            _ => match self.readable(Ty::Text) {
                Some(var) => (
                    format!("{}.as_str()", self.scope[var].name),
                    vec![
                        ("\"t\" | \"n1\"".to_owned(), vec![], false),
                        ("\"\"".to_owned(), vec![], false),
                        ("_".to_owned(), vec![], false),
                    ],
                ),
                None => (
                    self.expr(Ty::Bool, depth),
                    vec![
                        ("true".to_owned(), vec![], false),
                        ("false".to_owned(), vec![], false),
                    ],
                ),
            },
        };
        let mut text = format!("match ({scrutinee}) {{\n");
        for (pattern, bound, guarded) in arms {
            let arm = self.scoped(|this| {
                bound.iter().for_each(|(name, ty)| this.declare(name, *ty, false));
                let guard = match guarded {
                    true => format!(" if {}", this.quietly(|this| this.boolean(1))),
                    false => String::new(),
                };
                let body = match ty {
                    Some(ty) if this.random.percent(50) => format!("{{ {} }}", this.expr(ty, depth)),
                    Some(ty) => this.block(depth, Some(ty)),
                    None => this.branch(depth),
                };
                format!("{pattern}{guard} => {body}\n")
            });
            text.push_str(&arm);
        }
        text + "}"
    }
}
