//! Source-to-source tests of the passes, as tables of `check(input, expected)`.
#![expect(
    clippy::needless_pass_by_value,
    reason = "a table reads best with the expected text in place"
)]

mod attributes;
mod diagnostics;
mod dump;
mod expansion;
mod states;

use std::str::FromStr;

use proc_macro2::TokenStream;

use crate::diag::Diagnostics;

fn tokens(source: &str) -> TokenStream {
    TokenStream::from_str(source).expect("the test's source is Rust")
}

/// The errors of a pass, one a line: code and message.
fn errors(diagnostics: Diagnostics) -> String {
    diagnostics
        .summary()
        .into_iter()
        .map(|(code, message)| format!("{code}: {message}\n"))
        .collect()
}
