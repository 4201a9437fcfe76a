//! What is stored has a type with a name.

use workflow_runtime::prelude::*;

#[task]
async fn shout(word: impl Into<String>) -> String {
    word.into()
}

#[task]
async fn words() -> impl Iterator<Item = String> {
    std::iter::empty()
}

#[workflow]
async fn order(words: Vec<impl ToString>) -> Option<impl ToString> {
    words.first().map(ToString::to_string)
}

fn main() {}
