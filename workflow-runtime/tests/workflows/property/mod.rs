//! Random workflows: each one is printed once and compiled twice, as a workflow and as a plain async function, and the
//! workflow, crashed at every commit, has to do what the function does.
//!
//! `WORKFLOW_PROPERTY_SEED` and `WORKFLOW_PROPERTY_PROGRAMS` choose other programs and how many; what fails prints its
//! seed.

mod expressions;
mod program;
mod project;
mod random;
mod statements;

use project::Project;

const PROGRAMS: usize = 40;
const SEED: u64 = 20_260_101;

fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number")),
        Err(_) => otherwise,
    }
}

#[test]
fn random_workflows_do_what_plain_functions_do() {
    let seed = number("WORKFLOW_PROPERTY_SEED", SEED);
    let count = number("WORKFLOW_PROPERTY_PROGRAMS", PROGRAMS as u64) as usize;
    println!("WORKFLOW_PROPERTY_SEED={seed} WORKFLOW_PROPERTY_PROGRAMS={count}");
    let programs: Vec<_> = (0..count).map(|number| program::Generator::program(seed, number)).collect();
    let project = Project::write(&programs);
    if let Err(errors) = project.build() {
        panic!("seed {seed}: {errors}");
    }
    let failures = project.run();
    let failed: Vec<_> = programs.iter().filter(|program| failures.contains_key(&program.name)).collect();
    for program in &failed {
        println!("{}\n{}\n", program.source, failures[&program.name]);
    }
    let names: Vec<&str> = failed.iter().map(|program| program.name.as_str()).collect();
    assert!(failures.is_empty(), "seed {seed}: {} of {count} programs differ: {names:?}: {failures:?}", failures.len());
}
