//! The crate that the random programs are compiled in. It lives in the target folder and shares the dependencies that
//! are built there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::Program;

const MANIFEST: &str = r#"[package]
name = "random-workflows"
version = "0.0.0"
edition = "2024"
publish = false

[workspace]

[dependencies]
serde = { version = "1.0", features = ["derive"] }
tokio = { version = "1.48", default-features = false, features = ["macros", "rt", "test-util"] }
workflow-runtime = { path = "RUNTIME", features = ["testing"] }

[lints.rust]
unexpected_cfgs = { level = "allow", check-cfg = ["cfg(twins_only)"] }

[profile.dev]
debug = "line-tables-only"

[profile.dev.package.random-workflows]
debug = false
incremental = false
"#;

/// A written project.
pub(crate) struct Project {
    folder: PathBuf,
    target: PathBuf,
}

impl Project {
    pub(crate) fn write(programs: &[Program]) -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        // .../target/debug/deps/workflows-0123
        let test = std::env::current_exe().expect("the path of the test");
        let target = test.ancestors().nth(3).expect("the target folder").to_path_buf();
        let folder = target.join("random-workflows");
        fs::create_dir_all(folder.join("src")).expect("a folder");
        let manifest = MANIFEST.replace("RUNTIME", &package.display().to_string());
        write(&folder.join("Cargo.toml"), &manifest);
        fs::copy(package.join("../Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file");

        let support = package.join("tests/workflows/support.rs");
        let mut main = format!("#[macro_use]\n#[path = {support:?}]\nmod support;\n");
        for program in programs {
            let _ = writeln!(main, "mod {};", program.name);
            write(&folder.join(format!("src/{}.rs", program.name)), &program.source);
        }
        main.push_str("#[cfg(twins_only)]\nfn main() {}\n#[cfg(not(twins_only))]\n");
        main.push_str("fn main() {\n");
        for Program { name, .. } in programs {
            let _ = writeln!(main, "support::report(\"{name}\", || Box::pin({name}::{name}::check(40)));");
        }
        main.push_str("}\n");
        write(&folder.join("src/main.rs"), &main);
        Project { folder, target }
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command
            .args(arguments)
            .args(["--offline", "--quiet", "--manifest-path"])
            .arg(self.folder.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&self.target);
        command
    }

    /// Compiles all programs; the error tells whose fault it is.
    pub(crate) fn build(&self) -> Result<(), String> {
        let output = self.cargo(&["build"]).output().expect("cargo runs");
        if output.status.success() {
            return Ok(());
        }
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        // Do the plain functions compile? Then the macro is to blame.
        let twins = self.cargo(&["rustc"]).args(["--", "--cfg", "twins_only"]).output().expect("cargo runs");
        if twins.status.success() {
            Err(format!("workflows do not compile although their plain twins do:\n{errors}"))
        } else {
            let errors = String::from_utf8_lossy(&twins.stderr).into_owned();
            Err(format!("the generator wrote programs that are not valid Rust:\n{errors}"))
        }
    }

    /// Runs all programs; the answer has those that differ from their twins, and how.
    pub(crate) fn run(&self) -> BTreeMap<String, String> {
        let program = self.target.join("debug").join("random-workflows");
        let output = Command::new(program).env("RUST_BACKTRACE", "0").output().expect("the programs run");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let mut failures = BTreeMap::new();
        for block in stdout.split("<<<").skip(1) {
            let (name, rest) = block.split_once('\n').expect("a name");
            let text = rest.split(">>>").next().unwrap_or_default();
            if text.trim() != "ok" {
                failures.insert(name.to_owned(), text.to_owned());
            }
        }
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            failures.insert("all".to_owned(), format!("the programs ended with {}: {stderr}", output.status));
        }
        failures
    }
}

/// Writes a file unless it is there as it is.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return;
    }
    fs::write(path, text).expect("a file in the target folder");
}
