//! What can be a message, and what its attribute takes.

use workflow_runtime::prelude::*;

#[signal]
fn approval() {}

#[signal]
#[derive(serde::Serialize, serde::Deserialize)]
struct Changed<T>(T);

#[update(reply = ())]
#[derive(serde::Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[update]
#[derive(serde::Serialize, serde::Deserialize)]
struct Asked;

#[signal(nam = "paid")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Paid;

#[signal(name = "")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Empty;

#[update(reply, validate = "check")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Checked;

#[signal]
union Bits {
    float: f32,
    bits: u32,
}

fn main() {}
