//! `retry(..)` of `#[task]`: how often, with which pauses, and after which errors.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, Meta, Pat};

use super::{Spans, duration, duration_tokens, entries, key, limit, malformed, suggestion, value_span};
use crate::diag::Diagnostics;

/// `retry(max_attempts = 5, backoff = .., ..)`.
pub(crate) struct Retry {
    pub(crate) max_attempts: u32,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) jitter: Option<Ident>,
    pub(crate) max_elapsed: Option<Duration>,
    pub(crate) only: Option<Only>,
}

/// Which errors are worth another attempt.
pub(crate) enum Only {
    /// Those for which this function gives `true`.
    When(Expr),
    /// All but those that match this pattern.
    Never(Pat),
}

/// The pause between attempts.
pub(crate) enum Backoff {
    Fixed(Duration),
    Linear {
        initial: Duration,
        max: Option<Duration>,
    },
    Exponential {
        initial: Duration,
        factor: f64,
        max: Option<Duration>,
    },
}

const RETRY: &str = "retry(max_attempts = 5, backoff = exponential(\"100ms\", max = \"30s\"))";

/// Reads an entry `retry(..)`.
pub(super) fn retry(meta: &Meta, spans: &mut Spans, diagnostics: &mut Diagnostics) -> Option<Retry> {
    let Meta::List(list) = meta else {
        malformed(
            value_span(meta),
            "`retry` takes a list in parentheses",
            RETRY,
            diagnostics,
        );
        return None;
    };
    let mut result = Retry {
        max_attempts: 3,
        backoff: None,
        jitter: None,
        max_elapsed: None,
        only: None,
    };
    let mut max_attempts = None;
    for meta in entries(
        list.tokens.clone(),
        "task(retry)",
        &[
            "max_attempts",
            "backoff",
            "jitter",
            "max_elapsed",
            "when",
            "never",
        ],
        diagnostics,
    ) {
        let Meta::NameValue(pair) = &meta else {
            malformed(
                meta.span(),
                &format!("`{}` takes a value", key(&meta)),
                example_of(&key(&meta)),
                diagnostics,
            );
            continue;
        };
        match key(&meta).as_str() {
            "backoff" => result.backoff = backoff(&pair.value, diagnostics),
            "jitter" => result.jitter = jitter(&pair.value, diagnostics),
            "max_elapsed" => {
                result.max_elapsed = limit(&meta, example_of("max_elapsed"), diagnostics);
                spans.max_elapsed = Some(pair.value.span());
            }
            "max_attempts" => max_attempts = attempts(&pair.value, diagnostics),
            word => {
                if result.only.is_some() {
                    diagnostics.error(
                        pair.path.span(),
                        "W0057",
                        "`when` and `never` both say which errors are tried again",
                        "keep one: `when = |error| ..` for a rule, `never = A | B(_)` for a list of final errors",
                    );
                    continue;
                }
                result.only = match word {
                    "when" => predicate(&pair.value, diagnostics).map(Only::When),
                    _ => pattern(&pair.value, diagnostics).map(Only::Never),
                };
            }
        }
    }
    // Whoever says for how long means as often as it takes.
    let unlimited = if result.max_elapsed.is_some() { u32::MAX } else { 3 };
    result.max_attempts = max_attempts.unwrap_or(unlimited);
    Some(result)
}

/// What an entry of `retry` looks like.
fn example_of(key: &str) -> &'static str {
    match key {
        "max_attempts" => "max_attempts = 5",
        "jitter" => "jitter = full",
        "max_elapsed" => "max_elapsed = \"1h\"",
        "when" => "when = |error| error.is_transient()",
        "never" => "never = ChargeError::Declined(_) | ChargeError::UnknownCard",
        _ => RETRY,
    }
}

fn attempts(value: &Expr, diagnostics: &mut Diagnostics) -> Option<u32> {
    let number = match value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(number),
            ..
        }) => number.base10_parse::<u32>().ok(),
        _ => None,
    };
    let number = number.filter(|number| *number > 0);
    if number.is_none() {
        malformed(
            value.span(),
            "`max_attempts` is a number of at least 1: it counts all attempts, the first included",
            "max_attempts = 5",
            diagnostics,
        );
    }
    number
}

fn jitter(value: &Expr, diagnostics: &mut Diagnostics) -> Option<Ident> {
    let kind = match value {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    };
    let variant = match kind.map(ToString::to_string).as_deref() {
        Some("full") => "Full",
        Some("equal") => "Equal",
        Some("none") => "None",
        _ => {
            malformed(
                value.span(),
                "`jitter` is `full` (from nothing to the whole pause), `equal` (from half of it) or `none`",
                "jitter = full",
                diagnostics,
            );
            return None;
        }
    };
    Some(Ident::new(variant, value.span()))
}

/// A closure over the error, or the path of a function.
fn predicate(value: &Expr, diagnostics: &mut Diagnostics) -> Option<Expr> {
    match value {
        Expr::Path(_) => Some(value.clone()),
        Expr::Closure(closure) if closure.inputs.len() == 1 && closure.asyncness.is_none() => {
            Some(value.clone())
        }
        Expr::Closure(closure) => {
            malformed(
                closure.span(),
                "the closure of `when` takes the error, `|error| ..`, and gives a `bool`",
                example_of("when"),
                diagnostics,
            );
            None
        }
        other => {
            malformed(
                other.span(),
                "`when` takes a closure over the error, or the path of a function that takes it by reference",
                example_of("when"),
                diagnostics,
            );
            None
        }
    }
}

fn pattern(value: &Expr, diagnostics: &mut Diagnostics) -> Option<Pat> {
    if let Expr::Array(list) = value {
        malformed(
            list.span(),
            "`never` takes a pattern, as in `match`: alternatives are separated by `|`",
            example_of("never"),
            diagnostics,
        );
        return None;
    }
    match Pat::parse_multi.parse2(value.to_token_stream()) {
        Ok(pattern) => Some(pattern),
        Err(_) => {
            malformed(
                value.span(),
                "`never` takes a pattern, as in `match`",
                example_of("never"),
                diagnostics,
            );
            None
        }
    }
}

fn backoff(value: &Expr, diagnostics: &mut Diagnostics) -> Option<Backoff> {
    const EXAMPLE: &str = "backoff = exponential(\"100ms\", max = \"30s\")";
    let Expr::Call(call) = value else {
        malformed(
            value.span(),
            "a backoff is `fixed(..)`, `linear(..)` or `exponential(..)`",
            EXAMPLE,
            diagnostics,
        );
        return None;
    };
    let kind = match &*call.func {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string).unwrap_or_default(),
        _ => String::new(),
    };
    let known: &[&str] = match kind.as_str() {
        "fixed" => &[],
        "linear" => &["max"],
        "exponential" => &["factor", "max"],
        _ => {
            diagnostics.error(
                call.func.span(),
                "W0055",
                format!("there is no backoff `{kind}`"),
                &format!(
                    "{}use `fixed(\"1s\")`, `linear(\"1s\", max = \"1m\")` or `exponential(\"100ms\", factor = 2.0, max = \"30s\")`",
                    suggestion(&kind, &["fixed", "linear", "exponential"])
                ),
            );
            return None;
        }
    };
    let (mut initial, mut factor, mut max) = (None, 2.0, None);
    let mut given: Vec<String> = Vec::new();
    let mut factor_span = call.span();
    for (index, arg) in call.args.iter().enumerate() {
        match arg {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) if index == 0 => {
                initial = Some(duration(text, diagnostics)?);
            }
            Expr::Assign(assign) => {
                let name = match &*assign.left {
                    Expr::Path(path) => path.path.get_ident().map(ToString::to_string).unwrap_or_default(),
                    _ => String::new(),
                };
                if !known.contains(&name.as_str()) {
                    let fix = match known {
                        [] => format!("`{kind}` takes its pause only: `{kind}(\"1s\")`"),
                        known => format!("{}known keys: {}", suggestion(&name, known), known.join(", ")),
                    };
                    diagnostics.error(
                        assign.left.span(),
                        "W0051",
                        format!("`{kind}` has no key `{name}`"),
                        &fix,
                    );
                    continue;
                }
                if given.contains(&name) {
                    diagnostics.error(
                        assign.left.span(),
                        "W0052",
                        format!("`{name}` is given twice"),
                        "keep one of the two",
                    );
                    continue;
                }
                given.push(name.clone());
                match (&*assign.right, name.as_str()) {
                    (
                        Expr::Lit(ExprLit {
                            lit: Lit::Str(text), ..
                        }),
                        "max",
                    ) => {
                        let limit = duration(text, diagnostics)?;
                        if initial.is_some_and(|initial| limit < initial) {
                            malformed(
                                text.span(),
                                "`max` is shorter than the first pause",
                                EXAMPLE,
                                diagnostics,
                            );
                        }
                        max = Some(limit);
                    }
                    (
                        Expr::Lit(ExprLit {
                            lit: Lit::Float(number),
                            ..
                        }),
                        "factor",
                    ) => {
                        factor = number.base10_parse().unwrap_or(0.0);
                        factor_span = number.span();
                    }
                    (
                        Expr::Lit(ExprLit {
                            lit: Lit::Int(number),
                            ..
                        }),
                        "factor",
                    ) => {
                        factor = number.base10_parse::<u32>().map_or(0.0, f64::from);
                        factor_span = number.span();
                    }
                    (right, "max") => malformed(
                        right.span(),
                        "`max` takes a duration in quotes",
                        EXAMPLE,
                        diagnostics,
                    ),
                    (right, _) => malformed(
                        right.span(),
                        "`factor` takes a number",
                        "factor = 2.0",
                        diagnostics,
                    ),
                }
            }
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => {
                malformed(
                    text.span(),
                    "only the first pause stands without a key",
                    EXAMPLE,
                    diagnostics,
                );
            }
            other => malformed(
                other.span(),
                "a pause is a duration in quotes",
                EXAMPLE,
                diagnostics,
            ),
        }
    }
    let Some(initial) = initial else {
        malformed(
            call.span(),
            &format!("`{kind}` needs its first pause"),
            EXAMPLE,
            diagnostics,
        );
        return None;
    };
    if !(factor.is_finite() && factor >= 1.0) {
        malformed(
            factor_span,
            "a `factor` below 1 would make the pauses shorter and shorter",
            "factor = 2.0",
            diagnostics,
        );
        return None;
    }
    Some(match kind.as_str() {
        "fixed" => Backoff::Fixed(initial),
        "linear" => Backoff::Linear { initial, max },
        _ => Backoff::Exponential { initial, factor, max },
    })
}

impl Backoff {
    /// The expression that makes this `BackoffConfig`.
    pub(crate) fn tokens(&self) -> TokenStream {
        let path = quote!(::workflow_runtime::BackoffConfig);
        let show = |duration: &Duration| duration_tokens(*duration);
        let max = |max: &Option<Duration>| {
            max.as_ref()
                .map(show)
                .unwrap_or(quote!(::core::time::Duration::MAX))
        };
        match self {
            Backoff::Fixed(initial) => {
                let initial = show(initial);
                quote!(#path::fixed(#initial))
            }
            Backoff::Linear { initial, max: limit } => {
                let (initial, limit) = (show(initial), max(limit));
                quote!(#path::linear(#initial, #limit))
            }
            Backoff::Exponential {
                initial,
                factor,
                max: limit,
            } => {
                let (initial, limit) = (show(initial), max(limit));
                quote!(#path::exponential(#initial, #factor, #limit))
            }
        }
    }
}

impl Only {
    /// The expression that says whether the failed output `output` is worth another attempt.
    pub(crate) fn tokens(&self, output: &Ident) -> TokenStream {
        let located = |span: Span| Ident::new(&output.to_string(), output.span().located_at(span));
        match self {
            Only::When(check) => {
                let output = located(check.span());
                quote_spanned!(check.span()=> ::workflow_runtime::__private::retryable(#output, #check))
            }
            Only::Never(pattern) => {
                let output = located(pattern.span());
                let check = quote! {
                    |__error| {
                        #[allow(unreachable_patterns, clippy::match_like_matches_macro)]
                        match __error {
                            #pattern => false,
                            _ => true,
                        }
                    }
                };
                quote_spanned!(pattern.span()=> ::workflow_runtime::__private::retryable(#output, #check))
            }
        }
    }
}
