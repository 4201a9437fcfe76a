//! A dependency is cloned for each attempt.

use workflow_runtime::prelude::*;

struct Database;

#[task]
async fn store(State(database): State<Database>, row: String) {
    let _ = (database, row);
}

fn main() {}
