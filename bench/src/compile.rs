//! What a user's compiler has to do: for a workflow beside the same function as plain async, and for the library.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Failure;
use crate::options::Options;
use crate::report::{Bar, Report, Row};
use crate::statistics::{Timing, Turns, median, time};

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let folder = options.folder()?;
    let target = folder.path().join("target");
    for (awaits, most) in [(50_u32, 1.5), (200, 3.0)] {
        let durable = Package::generate(
            folder.path(),
            &format!("durable_{awaits}"),
            &target,
            &durable(awaits),
        )?;
        let plain = Package::generate(folder.path(), &format!("plain_{awaits}"), &target, &plain(awaits))?;
        for command in ["build", "check"] {
            durable.cargo(command)?;
            plain.cargo(command)?;
            let mut turns = Turns::default();
            let rounds = options.rounds();
            while turns.go_on(&rounds) {
                turns.add(durable.cargo(command)?, plain.cargo(command)?);
            }
            let found = turns.compare(1);
            let (durable_cpu, plain_cpu) = (found.cpu_us / 1e6, found.floor_cpu_us / 1e6);
            let note = format!(
                "floor: the same file without the attributes; CPU {durable_cpu:.2} s beside {plain_cpu:.2} s, {:.2} x, \
                 {:.1} ms more per await; {}",
                durable_cpu / plain_cpu,
                (durable_cpu - plain_cpu) * 1e3 / f64::from(awaits),
                found.quiet,
            );
            let row = Row::new(
                format!("cargo {command}, workflow of {awaits} awaits"),
                1.0 / found.rate,
                "s",
            )
            .floor(1.0 / found.floor_rate, 1.0 / found.ratio)
            .spread((1.0 / found.quartiles.1, 1.0 / found.quartiles.0))
            .note(note);
            report.add(row.bar_if((command == "build").then_some(Bar::RatioAtMost(most))));
        }
    }
    clean_build(
        report,
        &folder.path().join("clean"),
        if options.quick { 1 } else { 2 },
    )
}

/// The whole library, from nothing.
fn clean_build(report: &mut Report, target: &Path, runs: usize) -> Result<(), Failure> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        cargo(&root(), target, &["build", "-p", "workflow-runtime"])?;
        times.push(start.elapsed().as_secs_f64());
        std::fs::remove_dir_all(target)?;
    }
    report.add(
        Row::new(
            "cargo build of workflow-runtime from nothing",
            median(&times),
            "s",
        )
        .note("debug, default features"),
    );
    let tree = [
        "tree",
        "-p",
        "workflow-runtime",
        "-e",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let output = Command::new("cargo")
        .args(tree)
        .arg("--offline")
        .current_dir(root())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut names: Vec<&str> = text
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    report.add(
        Row::new("crates of workflow-runtime", names.len() as f64, "crates").bar(Bar::ValueBelow(120.0)),
    );
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(folder: &Path, target: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("cargo");
    command
        .args(arguments)
        .args(["--offline", "--quiet"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_INCREMENTAL", "0");
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`cargo {}` has failed", arguments.join(" ")).into())
    }
}

struct Package {
    folder: PathBuf,
    target: PathBuf,
}

impl Package {
    fn generate(parent: &Path, name: &str, target: &Path, source: &str) -> Result<Self, Failure> {
        let folder = parent.join(name);
        std::fs::create_dir_all(folder.join("src"))?;
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
             workflow-runtime = {{ path = {:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n\
             [profile.dev]\ndebug = \"line-tables-only\"\n",
            root().join("workflow-runtime"),
        );
        std::fs::write(folder.join("Cargo.toml"), manifest)?;
        // The same versions as here, so that nothing has to be looked up.
        std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
        std::fs::write(folder.join("src/lib.rs"), source)?;
        Ok(Package {
            folder,
            target: target.to_owned(),
        })
    }

    /// Compiles the package anew. Without the incremental cache: for a file with the same text rustc would only find that
    /// nothing has changed.
    fn cargo(&self, command: &str) -> Result<Timing, Failure> {
        let source = self.folder.join("src/lib.rs");
        std::fs::write(&source, std::fs::read(&source)?)?;
        let (result, timing) = time(|| cargo(&self.folder, &self.target, &[command]));
        result.map(|()| timing)
    }
}

/// Five steps, called in turns, between plain code as workflows have it; every tenth await stands in an `if`.
fn body(awaits: u32) -> String {
    let mut body = String::new();
    for number in 0..awaits {
        let call = match number % 5 {
            0 => "order = reserve(order).await?;",
            1 => "order = charge(order, 1 + n).await?;",
            2 => "let text = label(order.id, order.name.clone()).await?;",
            3 => "order = note(order, text).await?;",
            _ => "n += count(order.notes.clone()).await?;",
        };
        let _ = match number % 10 {
            5 => writeln!(body, "    if order.amount > 0 {{\n        {call}\n    }}"),
            _ => writeln!(body, "    {call}"),
        };
        if number % 5 == 4 {
            body.push_str("    order.amount += n % 7;\n");
        }
    }
    body
}

const TYPES: &str = "#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order { pub id: u64, pub name: String, pub amount: u64, pub notes: Vec<String> }
";

const TASKS: [&str; 5] = [
    "async fn reserve(order: Order) -> Result<Order, String> { Ok(Order { amount: order.amount + 1, ..order }) }",
    "async fn charge(order: Order, sum: u64) -> Result<Order, String> { Ok(Order { amount: order.amount + sum, ..order }) }",
    "async fn label(id: u64, name: String) -> Result<String, String> { Ok(format!(\"{id} {name}\")) }",
    "async fn note(mut order: Order, text: String) -> Result<Order, String> { order.notes.push(text); Ok(order) }",
    "async fn count(notes: Vec<String>) -> Result<u64, String> { Ok(notes.len() as u64) }",
];

fn durable(awaits: u32) -> String {
    let tasks = TASKS.map(|task| format!("#[task]\n{task}\n")).concat();
    // Building an engine makes the compiler generate the machine's code here.
    format!(
        "use serde::{{Deserialize, Serialize}};\nuse workflow_runtime::prelude::*;\n\n{TYPES}\n{tasks}\n\
         #[workflow]\npub async fn process(order: Order) -> Result<Order, String> {{\n    let mut order = order;\n    \
         let mut n = 0;\n{}    Ok(order)\n}}\n\n\
         pub fn registry(visitor: &mut dyn workflow_runtime::RegistryVisitor) {{\n    \
         <process as workflow_runtime::Registry>::visit(visitor)\n}}\n",
        body(awaits)
    )
}

fn plain(awaits: u32) -> String {
    let tasks = TASKS.map(|task| format!("{task}\n")).concat();
    // The same file without the attributes: it loads the same crates. Boxing the future makes the compiler generate its code here.
    format!(
        "use serde::{{Deserialize, Serialize}};\n#[allow(unused_imports)]\nuse workflow_runtime::prelude::*;\n\n{TYPES}\n{tasks}\n\
         pub async fn process(order: Order) -> Result<Order, String> {{\n    let mut order = order;\n    \
         let mut n = 0;\n{}    Ok(order)\n}}\n\n\
         pub fn boxed(order: Order) -> std::pin::Pin<Box<dyn Future<Output = Result<Order, String>> + Send>> {{\n    \
         Box::pin(process(order))\n}}\n",
        body(awaits)
    )
}
