//! The reply and the check of an update have its types.

use workflow_runtime::{Values, prelude::*};

#[update(reply = u32, validate = is_small)]
#[derive(serde::Serialize, serde::Deserialize)]
struct Add(u32);

fn is_small(add: u32, _: &Values) -> Result<(), String> {
    if add > 10 { Err("too much".to_owned()) } else { Ok(()) }
}

#[workflow]
async fn sum() {
    let (add, responder) = receive_update::<Add>().await;
    responder.respond(add.0.to_string());
    responder.reject("twice");
}

fn main() {}
