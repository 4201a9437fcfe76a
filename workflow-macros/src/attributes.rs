//! The arguments of `#[task(..)]`, `#[workflow(..)]`, `#[signal(..)]` and `#[update(..)]`.

pub(crate) mod retry;

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Token, Type};

use self::retry::{Retry, retry};

use crate::diag::Diagnostics;

/// What `#[task(..)]` says.
#[derive(Default)]
pub(crate) struct TaskAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) schedule_to_close: Option<Duration>,
    pub(crate) heartbeat_timeout: Option<Duration>,
    pub(crate) blocking: bool,
}

/// What `#[workflow(..)]` says.
#[derive(Default)]
pub(crate) struct WorkflowAttributes {
    pub(crate) name: Option<LitStr>,
}

/// What `#[signal(..)]` says.
#[derive(Default)]
pub(crate) struct SignalAttributes {
    pub(crate) name: Option<LitStr>,
}

/// What `#[update(..)]` says.
#[derive(Default)]
pub(crate) struct UpdateAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) reply: Option<Type>,
    pub(crate) validate: Option<Path>,
}

/// Reads the arguments of `#[task]`.
pub(crate) fn task(tokens: TokenStream, diagnostics: &mut Diagnostics) -> TaskAttributes {
    let mut result = TaskAttributes::default();
    // Where each limit of time stands.
    let mut spans = Spans::default();
    for meta in entries(
        tokens,
        "task",
        &[
            "name",
            "retry",
            "timeout",
            "schedule_to_close",
            "heartbeat_timeout",
            "blocking",
        ],
        diagnostics,
    ) {
        let span = value_span(&meta);
        match key(&meta).as_str() {
            "name" => result.name = name(&meta, diagnostics),
            "retry" => result.retry = retry(&meta, &mut spans, diagnostics),
            "timeout" => {
                result.timeout = limit(&meta, "timeout = \"10s\"", diagnostics);
            }
            "schedule_to_close" => {
                result.schedule_to_close = limit(&meta, "schedule_to_close = \"1h\"", diagnostics);
                spans.schedule_to_close = Some(span);
            }
            "heartbeat_timeout" => {
                result.heartbeat_timeout = limit(&meta, "heartbeat_timeout = \"30s\"", diagnostics);
                spans.heartbeat_timeout = Some(span);
            }
            _ => {
                result.blocking = true;
                if !matches!(meta, Meta::Path(_)) {
                    malformed(
                        value_span(&meta),
                        "`blocking` takes no value",
                        "#[task(blocking)]",
                        diagnostics,
                    );
                }
            }
        }
    }
    contradictions(&result, &spans, diagnostics);
    result
}

/// Where the limits of time stand.
#[derive(Default)]
struct Spans {
    schedule_to_close: Option<Span>,
    heartbeat_timeout: Option<Span>,
    max_elapsed: Option<Span>,
}

/// Limits of which one makes the other meaningless.
fn contradictions(task: &TaskAttributes, spans: &Spans, diagnostics: &mut Diagnostics) {
    let mut refuse = |span: Option<Span>, message: &str, fix: &str| {
        diagnostics.error(span.unwrap_or_else(Span::call_site), "W0057", message, fix);
    };
    let max_elapsed = task.retry.as_ref().and_then(|retry| retry.max_elapsed);
    let not_below = |limit: Option<Duration>, other: Option<Duration>| {
        limit.zip(other).is_some_and(|(limit, other)| limit >= other)
    };
    if not_below(task.timeout, task.schedule_to_close) {
        refuse(
            spans.schedule_to_close,
            "all attempts together get no more time than one attempt: the `timeout` can never end one",
            "make `schedule_to_close`, the limit of all attempts, longer than `timeout`, the limit of one; or leave one out",
        );
    }
    let attempt = task.timeout.or(task.schedule_to_close);
    if not_below(task.heartbeat_timeout, attempt) {
        let other = if task.timeout.is_some() {
            "timeout"
        } else {
            "schedule_to_close"
        };
        refuse(
            spans.heartbeat_timeout,
            &format!(
                "the attempt is over before its silence is noticed: `heartbeat_timeout` is not below `{other}`"
            ),
            &format!("make `heartbeat_timeout`, how long an attempt may be silent, shorter than `{other}`"),
        );
    }
    if not_below(max_elapsed, task.schedule_to_close) {
        refuse(
            spans.max_elapsed,
            "no attempt begins after `schedule_to_close`, so this `max_elapsed` changes nothing",
            "make `max_elapsed`, after which no attempt begins, shorter than `schedule_to_close`, at which all are over; or leave one out",
        );
    }
}

/// A duration that is not zero.
fn limit(meta: &Meta, example: &str, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let text = string(meta, example, diagnostics)?;
    let duration = duration(&text, diagnostics)?;
    if duration.is_zero() {
        let key = key(meta);
        malformed(
            text.span(),
            &format!("a `{key}` of zero leaves the task no time"),
            example,
            diagnostics,
        );
        return None;
    }
    Some(duration)
}

/// Reads the arguments of `#[workflow]`.
pub(crate) fn workflow(tokens: TokenStream, diagnostics: &mut Diagnostics) -> WorkflowAttributes {
    let mut result = WorkflowAttributes::default();
    for meta in entries(tokens, "workflow", &["name"], diagnostics) {
        result.name = name(&meta, diagnostics);
    }
    result
}

/// Reads the arguments of `#[signal]`.
pub(crate) fn signal(tokens: TokenStream, diagnostics: &mut Diagnostics) -> SignalAttributes {
    let mut result = SignalAttributes::default();
    for meta in entries(tokens, "signal", &["name"], diagnostics) {
        result.name = name(&meta, diagnostics);
    }
    result
}

/// Reads the arguments of `#[update]`.
pub(crate) fn update(tokens: TokenStream, diagnostics: &mut Diagnostics) -> UpdateAttributes {
    const EXAMPLE: &str = "#[update(reply = Receipt, validate = check)]";
    let mut result = UpdateAttributes::default();
    let (tokens, replies) = split_types(tokens, "reply");
    for meta in entries(tokens, "update", &["name", "reply", "validate"], diagnostics) {
        match (key(&meta).as_str(), &meta) {
            ("name", meta) => result.name = name(meta, diagnostics),
            ("validate", Meta::NameValue(pair)) => match &pair.value {
                Expr::Path(path) => result.validate = Some(path.path.clone()),
                other => malformed(
                    other.span(),
                    "`validate` takes the name of a function",
                    EXAMPLE,
                    diagnostics,
                ),
            },
            // Its type was taken out; a path stands for it.
            ("reply", Meta::Path(_)) if !replies.is_empty() => result.reply = replies.first().cloned(),
            (key, meta) => malformed(
                value_span(meta),
                &format!("`{key}` takes a value"),
                EXAMPLE,
                diagnostics,
            ),
        }
    }
    result
}

/// Takes the types of `key = Type` out of the arguments, where a bare `key` stays: a type is no expression.
fn split_types(tokens: TokenStream, wanted: &str) -> (TokenStream, Vec<Type>) {
    let split = |input: ParseStream<'_>| {
        let (mut rest, mut types) = (TokenStream::new(), Vec::new());
        while !input.is_empty() {
            if input.peek(Ident) && input.peek2(Token![=]) && input.fork().parse::<Ident>()? == wanted {
                let ident: Ident = input.parse()?;
                input.parse::<Token![=]>()?;
                types.push(input.parse::<Type>()?);
                rest.extend(quote!(#ident));
            }
            while !input.is_empty() && !input.peek(Token![,]) {
                rest.extend(std::iter::once(input.parse::<proc_macro2::TokenTree>()?));
            }
            if let Some(comma) = input.parse::<Option<Token![,]>>()? {
                rest.extend(quote!(#comma));
            }
        }
        Ok((rest, types))
    };
    split.parse2(tokens.clone()).unwrap_or((tokens, Vec::new()))
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
            let hint = suggestion(&name, known);
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
    diagnostics.error(span, "W0053", what, &format!("write for example `{example}`"));
}

/// Where the value of an entry stands, or the entry itself when it has none.
fn value_span(meta: &Meta) -> Span {
    match meta {
        Meta::Path(path) => path.span(),
        Meta::List(list) => list.delimiter.span().join(),
        Meta::NameValue(pair) => pair.value.span(),
    }
}

/// "did you mean `retry`? " for a key that is nearly one of the known ones.
fn suggestion(name: &str, known: &[&str]) -> String {
    let near = |candidate: &&&str| {
        let distance = distance(candidate, name);
        distance <= 1 + name.len().min(candidate.len()) / 3
            || (name.len() > 3 && (candidate.contains(name) || name.contains(**candidate)))
    };
    let nearest = known
        .iter()
        .filter(near)
        .min_by_key(|candidate| distance(candidate, name));
    nearest
        .map(|nearest| format!("did you mean `{nearest}`? "))
        .unwrap_or_default()
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
        value_span(meta),
        &format!("`{}` takes a text in quotes", key(meta)),
        example,
        diagnostics,
    );
    None
}

fn name(meta: &Meta, diagnostics: &mut Diagnostics) -> Option<LitStr> {
    let text = string(meta, "name = \"orders\"", diagnostics)?;
    is_name(&text, diagnostics).then_some(text)
}

/// Whether a text can be a stored name; reports it if not.
pub(crate) fn is_name(text: &LitStr, diagnostics: &mut Diagnostics) -> bool {
    let value = text.value();
    let fits = !value.is_empty() && value.len() <= 200 && !value.chars().any(char::is_control);
    if !fits {
        diagnostics.error(
            text.span(),
            "W0054",
            format!("{value:?} cannot be a name"),
            "use 1 to 200 bytes without control characters",
        );
    }
    fits
}

/// Reads `"500ms"`, `"10s"`, `"5m"`, `"2h"`, `"1d"` and sums of them (`"1h 30m"`).
fn duration(text: &LitStr, diagnostics: &mut Diagnostics) -> Option<Duration> {
    workflow_model::duration::parse(&text.value())
        .map_err(|error| {
            diagnostics.error(
                text.span(),
                "W0056",
                format!("{:?} is not a duration: {}", error.text, error.problem),
                "write a number and a unit (ns, us, ms, s, m, h, d, w), for example \"500ms\", \"10s\" or \"1h 30m\"",
            );
        })
        .ok()
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

/// The expression that makes a `Duration`.
pub(crate) fn duration_tokens(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
}
