//! The error of a task is stored as well.

use workflow_runtime::prelude::*;

#[task]
async fn read(path: &str) -> Result<String, std::io::Error> {
    std::fs::read_to_string(path)
}

fn main() {}
