//! What is known of macros that are called inside a workflow: the standard expression macros are understood, of all
//! others only the tokens are seen.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, Macro, Pat, Token};

/// The arguments of a standard expression macro.
pub(crate) enum Known {
    /// `vec![a, b]`, `format!("..", a)` and their like: expressions evaluated in order. The first `eager` ones are
    /// always evaluated (`assert!(cond, message..)` evaluates its message only on failure).
    List {
        args: Punctuated<Expr, Token![,]>,
        eager: usize,
        /// The index of the format string.
        format: Option<usize>,
    },
    /// `vec![value; count]`.
    Repeat { value: Expr, count: Expr },
    /// `matches!(scrutinee, pattern)`; the rest is kept as tokens.
    Matches {
        scrutinee: Expr,
        rest: TokenStream,
        pat: Box<Pat>,
        guard: Option<Expr>,
    },
}

/// Parses the arguments of `mac` if it is one of the standard expression macros.
pub(crate) fn parse(mac: &Macro) -> Option<Known> {
    let name = mac.path.segments.last()?.ident.to_string();
    let list = |eager: usize, format: Option<usize>| {
        let args = Punctuated::<Expr, Token![,]>::parse_terminated
            .parse2(mac.tokens.clone())
            .ok()?;
        Some(Known::List { args, eager, format })
    };
    match name.as_str() {
        "vec" => list(usize::MAX, None).or_else(|| {
            let repeat = |input: syn::parse::ParseStream<'_>| {
                let value: Expr = input.parse()?;
                input.parse::<Token![;]>()?;
                Ok((value, input.parse::<Expr>()?))
            };
            let (value, count) = repeat.parse2(mac.tokens.clone()).ok()?;
            Some(Known::Repeat { value, count })
        }),
        "format" | "print" | "println" | "eprint" | "eprintln" | "panic" | "todo" | "unreachable"
        | "unimplemented" | "format_args" => list(usize::MAX, Some(0)),
        "write" | "writeln" => list(usize::MAX, Some(1)),
        "dbg" => list(usize::MAX, None),
        "assert" | "debug_assert" => list(1, Some(1)),
        "assert_eq" | "assert_ne" | "debug_assert_eq" | "debug_assert_ne" => list(2, Some(2)),
        "matches" => {
            let parser = |input: syn::parse::ParseStream<'_>| {
                let scrutinee: Expr = input.parse()?;
                input.parse::<Token![,]>()?;
                let rest: TokenStream = input.fork().parse()?;
                let pat = Pat::parse_multi_with_leading_vert(input)?;
                let guard = if input.parse::<Option<Token![if]>>()?.is_some() {
                    Some(input.parse()?)
                } else {
                    None
                };
                input.parse::<Option<Token![,]>>()?;
                Ok(Known::Matches {
                    scrutinee,
                    rest,
                    pat: Box::new(pat),
                    guard,
                })
            };
            parser.parse2(mac.tokens.clone()).ok()
        }
        _ => None,
    }
}

/// Rewrites the expressions among the arguments of a standard expression macro.
pub(crate) fn rewrite(mac: &mut Macro, change: &mut dyn FnMut(&mut Expr)) {
    match parse(mac) {
        Some(Known::List { mut args, format, .. }) => {
            for arg in &mut args {
                match arg {
                    Expr::Assign(named) if format.is_some() => change(&mut named.right),
                    arg => change(arg),
                }
            }
            mac.tokens = args.into_token_stream();
        }
        Some(Known::Repeat { mut value, mut count }) => {
            change(&mut value);
            change(&mut count);
            mac.tokens = quote!(#value; #count);
        }
        Some(Known::Matches {
            mut scrutinee, rest, ..
        }) => {
            change(&mut scrutinee);
            mac.tokens = quote!(#scrutinee, #rest);
        }
        None => {}
    }
}

/// Whether control never comes back from this macro.
pub(crate) fn diverges(mac: &Macro) -> bool {
    mac.path.segments.last().is_some_and(|segment| {
        ["panic", "todo", "unreachable", "unimplemented", "bail"]
            .iter()
            .any(|name| segment.ident == name)
    })
}

/// Every identifier among `tokens`, and every name captured by a format string (`"{name:?}"`).
pub(crate) fn mentions(tokens: &TokenStream, found: &mut dyn FnMut(&str)) {
    let mut after_dot = false;
    for token in tokens.clone() {
        match &token {
            TokenTree::Ident(ident) if !after_dot => found(ident.to_string().trim_start_matches("r#")),
            TokenTree::Group(group) => mentions(&group.stream(), found),
            TokenTree::Literal(literal) => captures(&literal.to_string(), found),
            _ => {}
        }
        after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.' && !after_dot);
    }
}

/// The variables that the format string at index `format` captures; a named argument is no variable.
pub(crate) fn captured(args: &Punctuated<Expr, Token![,]>, format: usize) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(Expr::Lit(literal)) = args.iter().nth(format) {
        captures(&literal.to_token_stream().to_string(), &mut |name| {
            names.push(name.to_owned())
        });
    }
    names.retain(|name| {
        !args
            .iter()
            .any(|arg| argument_name(arg).is_some_and(|other| other == *name))
    });
    names
}

/// The name in `name = value`.
fn argument_name(arg: &Expr) -> Option<String> {
    match arg {
        Expr::Assign(named) => match &*named.left {
            Expr::Path(path) => path.path.get_ident().map(super::text),
            _ => None,
        },
        _ => None,
    }
}

/// The names that a format string literal captures: `{name}`, `{name:?}`, `{:width$}`, `{:.precision$}`.
pub(crate) fn captures(literal: &str, found: &mut dyn FnMut(&str)) {
    if !literal.ends_with(['"', '#']) {
        return;
    }
    let mut rest = literal;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        if let Some(escaped) = rest.strip_prefix('{') {
            rest = escaped;
            continue;
        }
        let close = rest.find('}').unwrap_or(rest.len());
        let inner = &rest[..close];
        let (argument, spec) = inner.split_once(':').unwrap_or((inner, ""));
        found(argument.trim());
        for part in spec.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$') {
            if let Some(name) = part.strip_suffix('$') {
                found(name);
            }
        }
        rest = &rest[close..];
    }
}

/// Whether `tokens` hold an `.await`.
pub(crate) fn await_token(tokens: &TokenStream) -> Option<proc_macro2::Span> {
    let mut after_dot = false;
    for token in tokens.clone() {
        match &token {
            TokenTree::Ident(ident) if after_dot && ident == "await" => return Some(ident.span()),
            TokenTree::Group(group) => {
                if let Some(span) = await_token(&group.stream()) {
                    return Some(span);
                }
            }
            _ => {}
        }
        after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
    }
    None
}
