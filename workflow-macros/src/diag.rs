//! Collects every mistake of one macro invocation, so that all are reported at once and each only once.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Diagnostics {
    errors: Vec<(Span, String)>,
    /// Code and message of each error, without the help.
    #[cfg(test)]
    summary: Vec<(String, String)>,
    seen: HashSet<String>,
}

impl Diagnostics {
    /// Reports a mistake on the user's token. `code` has a page in `docs/errors`.
    pub(crate) fn error(&mut self, span: Span, code: &str, message: impl AsRef<str>, fix: &str) {
        debug_assert!(crate::codes::known(code), "{code} is not in the table");
        let text = format!(
            "{}\n  = help: {fix}\n  = note: {code}, see docs/errors/{code}.md",
            message.as_ref()
        );
        if self.seen.insert(format!("{span:?}{text}")) {
            self.errors.push((span, text));
            #[cfg(test)]
            self.summary.push((code.to_owned(), message.as_ref().to_owned()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Code and message of each mistake.
    #[cfg(test)]
    pub(crate) fn summary(&self) -> Vec<(String, String)> {
        self.summary.clone()
    }

    /// One `compile_error!` per mistake, in the order in which they were found.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.errors
            .into_iter()
            .map(|(span, message)| quote_spanned!(span=> ::core::compile_error! { #message }))
            .collect()
    }
}
