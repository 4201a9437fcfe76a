//! A mock has the input and the output of its task.

use workflow_runtime::prelude::*;
use workflow_runtime::testing::Kit;

#[task]
async fn charge(cents: u64) -> Result<u64, String> {
    Ok(cents)
}

#[workflow]
async fn order(cents: u64) -> Result<u64, String> {
    charge(cents).await
}

fn not_a_task(cents: u64) -> u64 {
    cents
}

fn main() {
    let _ = Kit::<order>::new().mock(charge, |input| async move { input.cents });
    let _ = Kit::<order>::new().mock(charge, |input| async move { Ok(input.euros) });
    let _ = Kit::<order>::new().mock(not_a_task, |_| async move { 1 });
    let _ = Kit::<order>::new().mock(order, |_| async move { Ok(1) });
}
