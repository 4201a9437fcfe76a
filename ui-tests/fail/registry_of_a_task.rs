//! A registry names workflows.

use workflow_runtime::prelude::*;

#[task]
async fn charge(cents: u64) -> u64 {
    cents
}

workflows! {
    /// What this program runs.
    App { charge }
}

fn main() {}
