//! A random program: what is in scope, what may be done with it, and the function around the body.

use std::fmt::Write as _;

use super::random::Random;

/// The types of the generated programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    Int,
    Bool,
    Text,
    Vector,
    Maybe,
    Shape,
    Pt,
}

pub(crate) const TYPES: [Ty; 7] = [Ty::Int, Ty::Bool, Ty::Text, Ty::Vector, Ty::Maybe, Ty::Shape, Ty::Pt];

impl Ty {
    pub(crate) fn rust(self) -> &'static str {
        match self {
            Ty::Int => "i64",
            Ty::Bool => "bool",
            Ty::Text => "String",
            Ty::Vector => "Vec<i64>",
            Ty::Maybe => "Option<i64>",
            Ty::Shape => "Shape",
            Ty::Pt => "Pt",
        }
    }

    pub(crate) fn is_copy(self) -> bool {
        matches!(self, Ty::Int | Ty::Bool | Ty::Maybe)
    }
}

/// A variable in scope.
#[derive(Debug, Clone)]
pub(crate) struct Var {
    pub(crate) name: String,
    pub(crate) ty: Ty,
    pub(crate) mutable: bool,
    pub(crate) moved: bool,
    /// Borrowed: may be read, not changed.
    pub(crate) frozen: u32,
    /// Borrowed mutably: may not even be read.
    pub(crate) hidden: u32,
    /// How many loops are around its declaration.
    loops: usize,
}

/// A loop or block that can be left.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) label: Option<String>,
    pub(crate) is_loop: bool,
    /// The type of `break`'s value.
    pub(crate) value: Option<Ty>,
}

/// Writes one program.
pub(crate) struct Generator {
    pub(crate) random: Random,
    pub(crate) scope: Vec<Var>,
    pub(crate) targets: Vec<Target>,
    /// More than 0 inside of closures, guards and the like: no await, no jump, no change, no move.
    pub(crate) quiet: u32,
    /// More than 0 where no existing variable may be changed or moved.
    pub(crate) still: u32,
    /// How many awaits the program may still get.
    pub(crate) awaits: usize,
    pub(crate) output: Ty,
    pub(crate) fallible: bool,
    count: usize,
}

/// The source of one program, and its name.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) source: String,
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "k", "p", "x", "y", "z"];

impl Generator {
    /// The program with this seed.
    pub(crate) fn program(seed: u64, number: usize) -> Program {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let awaits = 4 + random.below(20);
        let output = if random.percent(60) { Ty::Text } else { *random.pick(&TYPES) };
        let fallible = random.percent(60);
        let mut generator = Generator {
            random,
            scope: Vec::new(),
            targets: Vec::new(),
            quiet: 0,
            still: 0,
            awaits,
            output,
            fallible,
            count: 0,
        };
        let name = format!("p{number}");
        let source = generator.source(&name, seed);
        Program { name, source }
    }

    fn source(&mut self, name: &str, seed: u64) -> String {
        let (mut params, mut args) = (Vec::new(), Vec::new());
        for _ in 0..self.random.below(4) {
            let (param, arg) = self.param();
            params.push(param);
            args.push(arg);
        }
        let mut body = String::new();
        for _ in 0..4 + self.random.below(8) {
            body.push_str(&self.stmt(3));
        }
        let tail = if self.output == Ty::Text && self.random.percent(70) { self.everything() } else { self.expr(self.output, 3) };
        let tail = if self.fallible { format!("Ok({tail})") } else { tail };
        let output = match self.fallible {
            true => format!("Result<{}, String>", self.output.rust()),
            false => self.output.rust().to_owned(),
        };
        let (params, args) = (params.join(", "), args.join(", "));
        format!(
            "// seed {seed}\ntwin! {{\nasync fn {name}({params}) -> {output} {{\n{body}{tail}\n}}\n{name}({args})\n}}\n"
        )
    }

    fn param(&mut self) -> (String, String) {
        match self.random.below(6) {
            0 => {
                let one = self.param_name(Ty::Int, true);
                let two = self.param_name(Ty::Text, false);
                (format!("(mut {one}, {two}): (i64, String)"), "(4, \"pair\".to_string())".to_owned())
            }
            1 => {
                let x = self.param_name(Ty::Int, false);
                let label = self.param_name(Ty::Text, true);
                (format!("Pt {{ x: {x}, label: mut {label} }}: Pt"), "Pt { x: 9, label: \"pt\".to_string() }".to_owned())
            }
            _ => {
                let ty = *self.random.pick(&TYPES);
                let mutable = self.random.percent(50);
                let name = self.param_name(ty, mutable);
                let arg = match ty {
                    Ty::Int => self.random.below(20).to_string(),
                    Ty::Bool => self.random.percent(50).to_string(),
                    Ty::Text => "\"arg\".to_string()".to_owned(),
                    Ty::Vector => "vec![3, 1, 2]".to_owned(),
                    Ty::Maybe => "Some(6)".to_owned(),
                    Ty::Shape => "Shape::Rect { w: 2, h: 3 }".to_owned(),
                    Ty::Pt => "Pt { x: 1, label: \"at\".to_string() }".to_owned(),
                };
                (format!("{}{name}: {}", if mutable { "mut " } else { "" }, ty.rust()), arg)
            }
        }
    }

    /// Two parameters cannot have one name.
    fn param_name(&mut self, ty: Ty, mutable: bool) -> String {
        let name = loop {
            let name = self.new_name();
            if self.scope.iter().all(|var| var.name != name) {
                break name;
            }
        };
        self.declare(&name, ty, mutable);
        name
    }

    /// All that can be seen at the end, as a text.
    fn everything(&mut self) -> String {
        let mut text = String::from("format!(\"");
        let names: Vec<String> = self.visible(|var| !var.moved).map(|index| self.scope[index].name.clone()).collect();
        names.iter().take(12).for_each(|name| {
            let _ = write!(text, "{{{name}:?}} ");
        });
        text + "\")"
    }

    // Names and variables.

    pub(crate) fn unique(&mut self) -> usize {
        self.count += 1;
        self.count
    }

    pub(crate) fn new_name(&mut self) -> String {
        (*self.random.pick(&NAMES)).to_owned()
    }

    pub(crate) fn declare(&mut self, name: &str, ty: Ty, mutable: bool) {
        let loops = self.loops();
        let var = Var { name: name.to_owned(), ty, mutable, moved: false, frozen: 0, hidden: 0, loops };
        self.scope.push(var);
    }

    fn loops(&self) -> usize {
        self.targets.iter().filter(|target| target.is_loop).count()
    }

    /// The variables that are not shadowed and may be read.
    pub(crate) fn visible<'a>(&'a self, wanted: impl Fn(&Var) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
        self.scope.iter().enumerate().filter_map(move |(index, var)| {
            let shadowed = self.scope[index + 1..].iter().any(|other| other.name == var.name);
            (!shadowed && var.hidden == 0 && wanted(var)).then_some(index)
        })
    }

    fn choose(&mut self, wanted: impl Fn(&Var) -> bool) -> Option<usize> {
        let all: Vec<usize> = self.visible(wanted).collect();
        if all.is_empty() { None } else { Some(*self.random.pick(&all)) }
    }

    /// A variable that can be read.
    pub(crate) fn readable(&mut self, ty: Ty) -> Option<usize> {
        self.choose(|var| var.ty == ty && !var.moved)
    }

    /// A variable that can be changed.
    pub(crate) fn changeable(&mut self, ty: Ty) -> Option<usize> {
        if self.quiet > 0 || self.still > 0 {
            return None;
        }
        self.choose(|var| var.ty == ty && var.mutable && !var.moved && var.frozen == 0)
    }

    /// A variable that can be given away.
    pub(crate) fn movable(&mut self, ty: Ty) -> Option<usize> {
        if self.quiet > 0 || self.still > 0 {
            return None;
        }
        let loops = self.loops();
        self.choose(|var| var.ty == ty && !var.moved && var.frozen == 0 && var.loops == loops)
    }

    // Where code stands.

    pub(crate) fn scoped<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let mark = self.scope.len();
        let result = write(self);
        self.scope.truncate(mark);
        result
    }

    pub(crate) fn quietly<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        self.quiet += 1;
        let result = write(self);
        self.quiet -= 1;
        result
    }

    pub(crate) fn still<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        self.still += 1;
        let result = write(self);
        self.still -= 1;
        result
    }

    pub(crate) fn frozen<T>(&mut self, var: usize, write: impl FnOnce(&mut Self) -> T) -> T {
        self.scope[var].frozen += 1;
        let result = write(self);
        self.scope[var].frozen -= 1;
        result
    }

    pub(crate) fn hidden<T>(&mut self, var: usize, write: impl FnOnce(&mut Self) -> T) -> T {
        self.scope[var].hidden += 1;
        let result = self.frozen(var, write);
        self.scope[var].hidden -= 1;
        result
    }

    /// Runs `write` inside of a loop or a labelled block.
    pub(crate) fn within<T>(&mut self, target: Target, write: impl FnOnce(&mut Self) -> T) -> T {
        self.targets.push(target);
        let result = write(self);
        self.targets.pop();
        result
    }

    /// Whether an await may stand here; counts it.
    pub(crate) fn may_await(&mut self) -> bool {
        if self.quiet > 0 || self.awaits == 0 {
            return false;
        }
        self.awaits -= 1;
        true
    }
}
