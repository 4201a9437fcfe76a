//! A task's input is stored before the task runs.

use workflow_runtime::prelude::*;

#[task]
async fn mutable(total: &mut u64) {
    *total += 1;
}

#[task]
async fn nested(names: &[&str]) -> usize {
    names.len()
}

#[task]
async fn inside(name: Option<&str>) -> usize {
    name.map_or(0, str::len)
}

#[task]
async fn object(name: &dyn ToString) -> String {
    name.to_string()
}

#[task]
async fn context(context: &mut TaskContext) -> u32 {
    context.attempt()
}

#[task]
async fn owned_context(context: TaskContext) -> u32 {
    context.attempt()
}

fn main() {}
