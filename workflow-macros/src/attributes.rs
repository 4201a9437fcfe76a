//! The arguments of `#[task(..)]` and `#[workflow(..)]`.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, LitStr, Meta, Token};

use crate::diag::Diagnostics;

/// What `#[task(..)]` says.
#[derive(Default)]
pub(crate) struct TaskAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) blocking: bool,
}

/// What `#[workflow(..)]` says.
#[derive(Default)]
pub(crate) struct WorkflowAttributes {
    pub(crate) name: Option<LitStr>,
}

/// `retry(max_attempts = 5, backoff = ..)`.
pub(crate) struct Retry {
    pub(crate) max_attempts: u32,
    pub(crate) backoff: Option<Backoff>,
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

/// Reads the arguments of `#[task]`.
pub(crate) fn task(tokens: TokenStream, diagnostics: &mut Diagnostics) -> TaskAttributes {
    let mut result = TaskAttributes::default();
    for meta in entries(
        tokens,
        "task",
        &["name", "retry", "timeout", "blocking"],
        diagnostics,
    ) {
        match key(&meta).as_str() {
            "name" => result.name = name(&meta, diagnostics),
            "retry" => result.retry = retry(&meta, diagnostics),
            "timeout" => {
                result.timeout = string(&meta, "timeout = \"10s\"", diagnostics).and_then(|text| {
                    let duration = duration(&text, diagnostics)?;
                    if duration.is_zero() {
                        malformed(text.span(), "a timeout of zero", "timeout = \"10s\"", diagnostics);
                        return None;
                    }
                    Some(duration)
                });
            }
            _ => match &meta {
                Meta::Path(_) => result.blocking = true,
                other => malformed(other.span(), "`blocking` takes no value", "blocking", diagnostics),
            },
        }
    }
    result
}

/// Reads the arguments of `#[workflow]`.
pub(crate) fn workflow(tokens: TokenStream, diagnostics: &mut Diagnostics) -> WorkflowAttributes {
    let mut result = WorkflowAttributes::default();
    for meta in entries(tokens, "workflow", &["name"], diagnostics) {
        result.name = name(&meta, diagnostics);
    }
    result
}

/// The entries with known keys, each key once.
fn entries(tokens: TokenStream, owner: &str, known: &[&str], diagnostics: &mut Diagnostics) -> Vec<Meta> {
    let parsed = match Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(parsed) => parsed,
        Err(error) => {
            let message = format!("the arguments of `#[{owner}]` cannot be read: {error}");
            let fix = format!(
                "write `key`, `key = \"value\"` or `key(..)`, separated by commas; known keys: {}",
                known.join(", ")
            );
            diagnostics.error(error.span(), "W0050", message, &fix);
            return Vec::new();
        }
    };
    let mut kept: Vec<Meta> = Vec::new();
    for meta in parsed {
        let name = key(&meta);
        if !known.contains(&name.as_str()) {
            let nearest = known.iter().min_by_key(|candidate| distance(candidate, &name));
            let hint = nearest
                .filter(|nearest| distance(nearest, &name) <= 3)
                .map(|nearest| format!("did you mean `{nearest}`? "))
                .unwrap_or_default();
            diagnostics.error(
                meta.path().span(),
                "W0051",
                format!("`#[{owner}]` has no key `{name}`"),
                &format!("{hint}known keys: {}", known.join(", ")),
            );
        } else if kept.iter().any(|other| key(other) == name) {
            diagnostics.error(
                meta.path().span(),
                "W0052",
                format!("`{name}` is given twice"),
                "keep one of the two",
            );
        } else {
            kept.push(meta);
        }
    }
    kept
}

fn key(meta: &Meta) -> String {
    meta.path()
        .segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect::<Vec<_>>()
        .join("::")
}

fn malformed(span: Span, what: &str, example: &str, diagnostics: &mut Diagnostics) {
    diagnostics.error(
        span,
        "W0053",
        format!("{what} is not understood"),
        &format!("write for example `{example}`"),
    );
}

fn string(meta: &Meta, example: &str, diagnostics: &mut Diagnostics) -> Option<LitStr> {
    if let Meta::NameValue(pair) = meta
        && let Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) = &pair.value
    {
        return Some(text.clone());
    }
    malformed(
        meta.span(),
        &format!("this form of `{}`", key(meta)),
        example,
        diagnostics,
    );
    None
}

fn name(meta: &Meta, diagnostics: &mut Diagnostics) -> Option<LitStr> {
    let text = string(meta, "name = \"orders\"", diagnostics)?;
    let value = text.value();
    if value.is_empty() || value.len() > 200 || value.chars().any(char::is_control) {
        diagnostics.error(
            text.span(),
            "W0054",
            format!("{value:?} cannot be a name"),
            "use 1 to 200 bytes without control characters",
        );
        return None;
    }
    Some(text)
}

fn retry(meta: &Meta, diagnostics: &mut Diagnostics) -> Option<Retry> {
    const EXAMPLE: &str = "retry(max_attempts = 5, backoff = exponential(\"100ms\", max = \"30s\"))";
    let Meta::List(list) = meta else {
        malformed(meta.span(), "this form of `retry`", EXAMPLE, diagnostics);
        return None;
    };
    let mut result = Retry {
        max_attempts: 3,
        backoff: None,
    };
    for meta in entries(
        list.tokens.clone(),
        "task(retry)",
        &["max_attempts", "backoff"],
        diagnostics,
    ) {
        let Meta::NameValue(pair) = &meta else {
            malformed(meta.span(), "this part of `retry`", EXAMPLE, diagnostics);
            continue;
        };
        if key(&meta) == "backoff" {
            result.backoff = backoff(&pair.value, diagnostics);
        } else {
            let number = match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Int(number),
                    ..
                }) => number.base10_parse::<u32>().ok(),
                _ => None,
            };
            match number {
                Some(number) if number > 0 => result.max_attempts = number,
                _ => malformed(
                    pair.value.span(),
                    "`max_attempts` counts all attempts, the first included; this value",
                    "max_attempts = 5",
                    diagnostics,
                ),
            }
        }
    }
    Some(result)
}

fn backoff(value: &Expr, diagnostics: &mut Diagnostics) -> Option<Backoff> {
    const EXAMPLE: &str = "backoff = exponential(\"100ms\", max = \"30s\")";
    let Expr::Call(call) = value else {
        malformed(value.span(), "this backoff", EXAMPLE, diagnostics);
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
                "use `fixed(\"1s\")`, `linear(\"1s\", max = \"1m\")` or `exponential(\"100ms\", factor = 2.0, max = \"30s\")`",
            );
            return None;
        }
    };
    let (mut initial, mut factor, mut max) = (None, 2.0, None);
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
                    let list = if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    };
                    diagnostics.error(
                        assign.left.span(),
                        "W0051",
                        format!("`{kind}` has no key `{name}`"),
                        &format!("known keys: {list}"),
                    );
                    continue;
                }
                match (&*assign.right, name.as_str()) {
                    (
                        Expr::Lit(ExprLit {
                            lit: Lit::Str(text), ..
                        }),
                        "max",
                    ) => max = Some(duration(text, diagnostics)?),
                    (
                        Expr::Lit(ExprLit {
                            lit: Lit::Float(number),
                            ..
                        }),
                        "factor",
                    ) => {
                        factor = number.base10_parse().unwrap_or(0.0);
                    }
                    (
                        Expr::Lit(ExprLit {
                            lit: Lit::Int(number),
                            ..
                        }),
                        "factor",
                    ) => {
                        factor = number.base10_parse::<u32>().map_or(0.0, f64::from);
                    }
                    _ => malformed(
                        assign.right.span(),
                        &format!("this value of `{name}`"),
                        EXAMPLE,
                        diagnostics,
                    ),
                }
            }
            other => malformed(other.span(), "this part of the backoff", EXAMPLE, diagnostics),
        }
    }
    let Some(initial) = initial else {
        malformed(
            call.span(),
            &format!("`{kind}` without its first pause"),
            EXAMPLE,
            diagnostics,
        );
        return None;
    };
    if !(factor.is_finite() && factor >= 1.0) {
        malformed(call.span(), "a `factor` below 1", "factor = 2.0", diagnostics);
        return None;
    }
    Some(match kind.as_str() {
        "fixed" => Backoff::Fixed(initial),
        "linear" => Backoff::Linear { initial, max },
        _ => Backoff::Exponential { initial, factor, max },
    })
}

/// Parses `"500ms"`, `"10s"`, `"5m"`, `"2h"`, `"1d"` and sums of them (`"1h 30m"`).
fn duration(text: &LitStr, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let parsed = parse_duration(&text.value());
    if parsed.is_none() {
        diagnostics.error(
            text.span(),
            "W0056",
            format!("{:?} is not a duration", text.value()),
            "write a number and a unit (ns, us, ms, s, m, h, d, w), for example \"500ms\", \"10s\" or \"1h 30m\"",
        );
    }
    parsed
}

/// The grammar of durations; the runtime parses the same one.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let nanos: u64 = match &rest[..end] {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        let nanos = u128::from(number) * u128::from(nanos);
        let part = Duration::new(
            u64::try_from(nanos / 1_000_000_000).ok()?,
            u32::try_from(nanos % 1_000_000_000).ok()?,
        );
        total = total.checked_add(part)?;
        rest = rest[end..].trim_start();
    }
    Some(total)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

impl Backoff {
    /// The expression that makes this `BackoffConfig`.
    pub(crate) fn tokens(&self) -> TokenStream {
        let path = quote!(::workflow_runtime::BackoffConfig);
        let show = |duration: &Duration| {
            let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
            quote!(::core::time::Duration::new(#seconds, #nanos))
        };
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
