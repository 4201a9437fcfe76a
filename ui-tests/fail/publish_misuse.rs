//! What `publish!` takes, and where it stands.

use workflow_runtime::prelude::*;

struct Progress;

fn helper(n: u32) {
    publish!(n);
}

#[workflow]
async fn unreadable(n: u32) {
    publish!(n + 1);
    publish!("n");
    publish!("", n);
    sleep("1s").await;
}

#[workflow]
async fn unserializable() {
    publish!("progress", Progress);
    sleep("1s").await;
}

fn main() {
    helper(1);
}
