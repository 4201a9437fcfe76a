//! Random expressions of each type.

use super::program::{Generator, Target, Ty};

impl Generator {
    /// An expression that can stand anywhere but at the begin of a statement.
    pub(crate) fn expr(&mut self, ty: Ty, depth: usize) -> String {
        if depth > 0 && self.random.percent(25) {
            return self.branching(ty, depth - 1);
        }
        if !ty.is_copy()
            && self.random.percent(20)
            && let Some(var) = self.movable(ty)
        {
            self.scope[var].moved = true;
            return self.scope[var].name.clone();
        }
        if (depth == 0 || self.random.percent(30))
            && self.random.percent(85)
            && let Some(var) = self.readable(ty)
        {
            let name = &self.scope[var].name;
            return if ty.is_copy() { name.clone() } else { format!("{name}.clone()") };
        }
        let Some(depth) = depth.checked_sub(1) else { return self.leaf(ty) };
        match ty {
            Ty::Int => self.int(depth),
            Ty::Bool => self.boolean(depth),
            Ty::Text => self.text(depth),
            Ty::Vector => self.vector(depth),
            Ty::Maybe => self.maybe(depth),
            Ty::Shape => self.shape(depth),
            Ty::Pt => self.pt(depth),
        }
    }

    /// The smallest expressions.
    fn leaf(&mut self, ty: Ty) -> String {
        let n = self.random.below(20);
        if self.random.percent(40) && self.may_await() {
            return match ty {
                Ty::Int => format!("inc({n}).await"),
                Ty::Bool => format!("even({n}).await"),
                Ty::Text => format!("name({n}).await"),
                Ty::Vector => format!("list({n}).await"),
                Ty::Maybe => format!("find({n}).await"),
                Ty::Shape => format!("draw({n}).await"),
                Ty::Pt => format!("point({n}, \"leaf\".into()).await"),
            };
        }
        match ty {
            Ty::Int => format!("{n}_i64"),
            Ty::Bool => (n % 2 == 0).to_string(),
            Ty::Text => format!("\"t{n}\".to_string()"),
            Ty::Vector => format!("vec![{n}, 2]"),
            Ty::Maybe => if n < 5 { "None::<i64>".to_owned() } else { format!("Some({n}_i64)") },
            Ty::Shape => format!("Shape::Line({n})"),
            Ty::Pt => format!("(Pt {{ x: {n}, label: \"leaf\".into() }})"),
        }
    }

    fn quiet_expr(&mut self, ty: Ty, depth: usize) -> String {
        self.quietly(|this| this.expr(ty, depth))
    }

    fn still_expr(&mut self, ty: Ty, depth: usize) -> String {
        self.still(|this| this.expr(ty, depth))
    }

    /// Constructs that give a value on several ways.
    fn branching(&mut self, ty: Ty, depth: usize) -> String {
        match self.random.below(9) {
            0 | 1 => {
                let (mut text, _) = self.condition_and(depth, |this| this.block(depth, Some(ty)));
                if self.random.percent(30) {
                    let (more, _) = self.condition_and(depth, |this| this.block(depth, Some(ty)));
                    text = format!("{text} else {more}");
                }
                let otherwise = if self.random.percent(20) { self.jump(depth) } else { None };
                let otherwise = match otherwise {
                    Some(jump) => format!("{{ {jump} }}"),
                    None => self.block(depth, Some(ty)),
                };
                format!("{text} else {otherwise}")
            }
            2..=4 => self.match_(depth, Some(ty)),
            5 => self.block(depth, Some(ty)),
            6 if self.quiet == 0 => {
                let label = format!("'l{}", self.unique());
                let target = Target { label: Some(label.clone()), is_loop: false, value: Some(ty) };
                let block = self.within(target, |this| this.block(depth, Some(ty)));
                format!("{label}: {block}")
            }
            7 if self.quiet == 0 => {
                let fuel = format!("fuel{}", self.unique());
                let label = self.random.percent(50).then(|| format!("'l{}", self.unique()));
                let target = Target { label: label.clone(), is_loop: true, value: Some(ty) };
                let label = label.map_or_else(String::new, |label| format!("{label}: "));
                let turns = self.random.below(3);
                let body = self.within(target, |this| {
                    this.scoped(|this| {
                        let last = this.expr(ty, depth.min(1));
                        let stmts = this.stmts(depth);
                        format!("if {fuel} == 0 {{ break ({last}); }}\n{fuel} -= 1;\n{stmts}")
                    })
                });
                format!("{{\nlet mut {fuel} = {turns};\n{label}loop {{\n{body}}}\n}}")
            }
            _ => self.expr(ty, depth),
        }
    }

    /// Something that never gives a value.
    pub(crate) fn jump(&mut self, depth: usize) -> Option<String> {
        if self.quiet > 0 {
            return None;
        }
        if !self.targets.is_empty() && self.random.percent(75) {
            let count = self.targets.len();
            let index = self.random.below(count);
            let target = self.targets[index].clone();
            // Without a label a jump must not even cross a block that has one.
            let innermost = target.is_loop && index + 1 == count;
            let label = match target.label {
                Some(label) => format!(" {label}"),
                None if innermost => String::new(),
                None => return None,
            };
            // A jump out of the condition of a `while` has to name its loop.
            return Some(match target.value {
                _ if target.is_loop && self.random.percent(40) => format!("continue{label};"),
                Some(ty) => {
                    let value = self.expr(ty, depth.min(1));
                    format!("break{label} ({value});")
                }
                None => format!("break{label};"),
            });
        }
        let value = self.expr(self.output, depth.min(1));
        Some(match self.fallible {
            true if self.random.percent(50) => {
                let error = self.expr(Ty::Text, 0);
                format!("return Err({error});")
            }
            true => format!("return Ok({value});"),
            false => format!("return {value};"),
        })
    }

    fn int(&mut self, depth: usize) -> String {
        if self.random.percent(45) && self.may_await() {
            return match self.random.below(9) {
                0 | 1 => format!("inc({}).await", self.expr(Ty::Int, depth)),
                2 | 3 => {
                    let a = self.expr(Ty::Int, depth);
                    format!("add({a}, {}).await", self.expr(Ty::Int, depth))
                }
                4 => format!("total({}).await", self.expr(Ty::Vector, depth)),
                5 => format!("area({}).await", self.expr(Ty::Shape, depth)),
                6 => format!("length(&{}).await", self.place(Ty::Text, depth)),
                7 => format!("sum_of(&{}).await", self.place(Ty::Vector, depth)),
                _ => {
                    let a = self.expr(Ty::Int, depth);
                    match self.random.below(4) {
                        0 if self.fallible => format!("check({a}).await?"),
                        1 => format!("check({a}).await.unwrap_or({})", self.expr(Ty::Int, depth)),
                        2 => format!("check({a}).await.unwrap_or_else(|e| e.len() as i64)"),
                        _ => format!(
                            "match check({a}).await {{ Ok(ok) if ok > 9 => ok - {}, Ok(ok) => ok, Err(text) => text.len() as i64 }}",
                            self.expr(Ty::Int, 0)
                        ),
                    }
                }
            };
        }
        match self.random.below(22) {
            0..=2 => format!("{}_i64", self.random.below(30)),
            3 | 4 => {
                let a = self.expr(Ty::Int, depth);
                format!("(({a} + {}) % 997)", self.expr(Ty::Int, depth))
            }
            5 => {
                let a = self.expr(Ty::Int, depth);
                format!("(({a} - {}) % 997)", self.expr(Ty::Int, depth))
            }
            6 => {
                let a = self.expr(Ty::Int, depth);
                format!("(({a} % 50) * ({} % 50))", self.expr(Ty::Int, depth))
            }
            7 => format!("(-({}))", self.expr(Ty::Int, depth)),
            8 => match self.readable(Ty::Vector) {
                Some(var) => format!("({}.len() as i64)", self.scope[var].name),
                None => format!("(({}).len() as i64)", self.expr(Ty::Vector, depth)),
            },
            9 => match self.readable(Ty::Pt) {
                Some(var) => format!("{}.x", self.scope[var].name),
                None => format!("({}).x", self.expr(Ty::Pt, depth)),
            },
            10 => {
                let all: Vec<String> = (0..3).map(|_| self.expr(Ty::Int, depth)).collect();
                let index = self.expr(Ty::Int, depth);
                format!("[{}][({index}).rem_euclid(3) as usize]", all.join(", "))
            }
            11 => {
                let (a, b) = (self.expr(Ty::Int, depth), self.expr(Ty::Bool, depth));
                format!("({a}, {b}).0")
            }
            12 => {
                let a = self.expr(Ty::Maybe, depth);
                format!("({a}).unwrap_or({})", self.expr(Ty::Int, depth))
            }
            13 => {
                let a = self.expr(Ty::Int, depth);
                format!("({a}).max({})", self.expr(Ty::Int, depth))
            }
            14 => format!("i64::from({})", self.expr(Ty::Bool, depth)),
            15 => match self.readable(Ty::Vector) {
                Some(var) => {
                    let name = self.scope[var].name.clone();
                    let b = self.quiet_expr(Ty::Int, 0);
                    format!("({name}.iter().map(|n| n % 100 + {b}).sum::<i64>() % 997)")
                }
                None => "7_i64".to_owned(),
            },
            16 => {
                let all: Vec<String> = (0..2).map(|_| self.still_expr(Ty::Int, depth)).collect();
                format!("(format!(\"{{}}-{{:?}}\", {}).len() as i64)", all.join(", "))
            }
            17 => match self.changeable(Ty::Int) {
                Some(var) => {
                    let name = self.scope[var].name.clone();
                    let value = self.hidden(var, |this| this.expr(Ty::Int, depth));
                    format!("std::mem::replace(&mut {name}, {value})")
                }
                None => "8_i64".to_owned(),
            },
            18 => match self.changeable(Ty::Int) {
                Some(var) => {
                    let name = self.scope[var].name.clone();
                    let value = self.expr(Ty::Int, depth);
                    format!("{{ {name} = {value}; {name} }}")
                }
                None => "9_i64".to_owned(),
            },
            19 => match self.readable(Ty::Vector) {
                Some(var) => {
                    let name = self.scope[var].name.clone();
                    let index = self.frozen(var, |this| this.expr(Ty::Int, depth.min(1)));
                    format!("(if {name}.is_empty() {{ 0 }} else {{ {name}[({index}).rem_euclid({name}.len() as i64) as usize] }})")
                }
                None => "3_i64".to_owned(),
            },
            20 => {
                let (captured, given) = (self.quiet_expr(Ty::Int, 0), self.expr(Ty::Int, depth));
                format!("{{ let given = {given}; let shift = |n: i64| (n + {captured}) % 997; shift(given) }}")
            }
            _ => {
                let a = self.expr(Ty::Text, depth);
                format!("(({a}).len() as i64)")
            }
        }
    }

    /// A variable, or a value in parentheses.
    fn place(&mut self, ty: Ty, depth: usize) -> String {
        match self.readable(ty) {
            Some(var) => self.scope[var].name.clone(),
            None => format!("({})", self.expr(ty, depth)),
        }
    }

    pub(crate) fn boolean(&mut self, depth: usize) -> String {
        if self.random.percent(30) && self.may_await() {
            return match self.random.below(3) {
                0 => format!("flag({}).await", self.expr(Ty::Bool, depth)),
                _ => format!("even({}).await", self.expr(Ty::Int, depth)),
            };
        }
        match self.random.below(12) {
            0 => self.random.percent(50).to_string(),
            1 | 2 => {
                let a = self.expr(Ty::Int, depth);
                let operator = *self.random.pick(&["<", ">=", "==", "!="]);
                format!("({a} {operator} {})", self.expr(Ty::Int, depth))
            }
            3 => format!("(!{})", self.expr(Ty::Bool, depth)),
            4..=6 => {
                let a = self.expr(Ty::Bool, depth);
                let operator = *self.random.pick(&["&&", "||", "&", "^"]);
                format!("({a} {operator} {})", self.expr(Ty::Bool, depth))
            }
            7 => {
                let a = self.still_expr(Ty::Shape, depth);
                let pattern = *self.random.pick(&[
                    "Shape::Dot",
                    "Shape::Dot | Shape::Line(_)",
                    "Shape::Line(n) if n > 3",
                    "Shape::Rect { w, .. } if w % 2 == 0",
                ]);
                format!("matches!({a}, {pattern})")
            }
            8 => match self.readable(Ty::Vector) {
                Some(var) => {
                    let name = self.scope[var].name.clone();
                    let item = self.frozen(var, |this| this.expr(Ty::Int, depth));
                    format!("{name}.contains(&({item}))")
                }
                None => "true".to_owned(),
            },
            9 => {
                let a = self.still_expr(Ty::Maybe, depth);
                format!("({a} == {})", self.still_expr(Ty::Maybe, depth))
            }
            10 => {
                let a = self.still_expr(Ty::Text, depth);
                format!("({a} == {})", self.still_expr(Ty::Text, depth))
            }
            _ => format!("({}).is_some()", self.expr(Ty::Maybe, depth)),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        if self.random.percent(35) && self.may_await() {
            return match self.random.below(2) {
                0 => format!("name({}).await", self.expr(Ty::Int, depth)),
                _ => {
                    let a = self.expr(Ty::Text, depth);
                    format!("join({a}, {}).await", self.expr(Ty::Text, depth))
                }
            };
        }
        match self.random.below(10) {
            0 | 1 => format!("\"{}\".to_string()", *self.random.pick(&["", "t", "uv", "{w}"])),
            2 => match self.readable(Ty::Int) {
                Some(var) => format!("format!(\"i{{{}}}\")", self.scope[var].name),
                None => "String::from(\"none\")".to_owned(),
            },
            3 => {
                let a = self.still_expr(Ty::Int, depth);
                let b = self.still_expr(Ty::Maybe, depth);
                format!("short(format!(\"{{}}{{b:?}}\", {a}, b = {b}))")
            }
            4 => {
                let a = self.expr(Ty::Text, depth);
                format!("short({a} + &{})", self.expr(Ty::Text, depth))
            }
            5 => match self.readable(Ty::Pt) {
                Some(var) => format!("{}.label.clone()", self.scope[var].name),
                None => format!("({}).label", self.expr(Ty::Pt, depth)),
            },
            6 => format!("({}).chars().rev().collect::<String>()", self.expr(Ty::Text, depth)),
            7 => {
                let a = self.expr(Ty::Text, depth);
                format!("short([{a}, {}].concat())", self.expr(Ty::Text, depth))
            }
            8 => format!(
                "short(({}).iter().map(|n| n.to_string()).collect::<Vec<_>>().join(\",\"))",
                self.expr(Ty::Vector, depth)
            ),
            _ => match self.changeable(Ty::Text) {
                Some(var) => format!("std::mem::take(&mut {})", self.scope[var].name),
                None => "\"w\".to_owned()".to_owned(),
            },
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if self.random.percent(30) && self.may_await() {
            return format!("list({}).await", self.expr(Ty::Int, depth));
        }
        match self.random.below(8) {
            0 => {
                let all: Vec<String> = (0..self.random.below(4)).map(|_| self.expr(Ty::Int, depth)).collect();
                if all.is_empty() { "Vec::<i64>::new()".to_owned() } else { format!("vec![{}]", all.join(", ")) }
            }
            1 => format!("vec![{}; 2]", self.expr(Ty::Int, depth)),
            2 => {
                let (end, factor) = (self.expr(Ty::Int, depth), self.quiet_expr(Ty::Int, 0));
                format!("(0..({end}).rem_euclid(4)).map(|n| n * ({factor} % 50)).collect::<Vec<i64>>()")
            }
            3 => {
                let (a, limit) = (self.expr(Ty::Vector, depth), self.quiet_expr(Ty::Int, 0));
                format!("({a}).into_iter().filter(|n| *n > {limit}).collect::<Vec<i64>>()")
            }
            4 => {
                let a = self.expr(Ty::Vector, depth);
                let b = self.expr(Ty::Int, depth);
                format!("{{ let mut all = {a}; all.truncate(5); all.push({b}); all }}")
            }
            5 => {
                let a = self.expr(Ty::Int, depth);
                format!("[{a}, {}].to_vec()", self.expr(Ty::Int, depth))
            }
            6 => match self.changeable(Ty::Vector) {
                Some(var) => format!("std::mem::take(&mut {})", self.scope[var].name),
                None => "vec![4, 5]".to_owned(),
            },
            _ => "vec![1, 2]".to_owned(),
        }
    }

    fn maybe(&mut self, depth: usize) -> String {
        if self.random.percent(30) && self.may_await() {
            let a = self.expr(Ty::Int, depth);
            return if self.random.percent(50) { format!("find({a}).await") } else { format!("check({a}).await.ok()") };
        }
        match self.random.below(9) {
            0 => "None::<i64>".to_owned(),
            1 | 2 => format!("Some({})", self.expr(Ty::Int, depth)),
            3 => match self.readable(Ty::Vector) {
                Some(var) => format!("{}.first().copied()", self.scope[var].name),
                None => format!("({}).into_iter().max()", self.expr(Ty::Vector, depth)),
            },
            4 => {
                let (a, b) = (self.expr(Ty::Maybe, depth), self.quiet_expr(Ty::Int, 0));
                format!("({a}).map(|n| (n + {b}) % 997)")
            }
            5 => {
                let a = self.expr(Ty::Maybe, depth);
                format!("({a}).or({})", self.expr(Ty::Maybe, depth))
            }
            6 => match self.changeable(Ty::Vector) {
                Some(var) => format!("{}.pop()", self.scope[var].name),
                None => "Some(2_i64)".to_owned(),
            },
            7 => match self.changeable(Ty::Maybe) {
                Some(var) => format!("{}.take()", self.scope[var].name),
                None => "Some(1_i64)".to_owned(),
            },
            _ => match self.changeable(Ty::Maybe) {
                Some(var) => {
                    let name = self.scope[var].name.clone();
                    let value = self.frozen(var, |this| this.expr(Ty::Int, depth));
                    format!("{name}.replace({value})")
                }
                None => "None::<i64>".to_owned(),
            },
        }
    }

    fn shape(&mut self, depth: usize) -> String {
        if self.random.percent(30) && self.may_await() {
            return format!("draw({}).await", self.expr(Ty::Int, depth));
        }
        match self.random.below(4) {
            0 => "Shape::Dot".to_owned(),
            1 => format!("Shape::Line({})", self.expr(Ty::Int, depth)),
            _ => {
                let h = self.expr(Ty::Int, depth);
                format!("(Shape::Rect {{ h: {h}, w: {} }})", self.expr(Ty::Int, depth))
            }
        }
    }

    fn pt(&mut self, depth: usize) -> String {
        if self.random.percent(30) && self.may_await() {
            let x = self.expr(Ty::Int, depth);
            return format!("point({x}, {}).await", self.expr(Ty::Text, depth));
        }
        match self.random.below(4) {
            0 => {
                let label = self.expr(Ty::Text, depth);
                format!("(Pt {{ label: {label}, x: {} }})", self.expr(Ty::Int, depth))
            }
            1 => {
                let x = self.expr(Ty::Int, depth);
                format!("(Pt {{ x: {x}, ..{} }})", self.expr(Ty::Pt, depth.min(1)))
            }
            2 => match self.changeable(Ty::Pt) {
                Some(var) => {
                    let name = self.scope[var].name.clone();
                    let value = self.frozen(var, |this| this.expr(Ty::Int, depth));
                    format!("{{ {name}.x = {value}; {name}.clone() }}")
                }
                None => "(Pt { x: 5, label: String::new() })".to_owned(),
            },
            _ => {
                let x = self.quiet_expr(Ty::Int, 0);
                format!("(Pt {{ x: {x}, label: \"l\".into() }})")
            }
        }
    }
}
