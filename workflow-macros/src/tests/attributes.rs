//! The arguments of the attributes, and durations.

use expect_test::{Expect, expect};

use super::{errors, tokens};
use crate::attributes::{Backoff, parse_duration, task};
use crate::diag::Diagnostics;

fn check(source: &str, expected: Expect) {
    let mut diagnostics = Diagnostics::default();
    let attributes = task(tokens(source), &mut diagnostics);
    let mut text = String::new();
    if let Some(name) = &attributes.name {
        text += &format!("name {:?}\n", name.value());
    }
    if let Some(retry) = &attributes.retry {
        let backoff = match &retry.backoff {
            None => "default".to_owned(),
            Some(Backoff::Fixed(pause)) => format!("fixed {pause:?}"),
            Some(Backoff::Linear { initial, max }) => format!("linear {initial:?} max {max:?}"),
            Some(Backoff::Exponential { initial, factor, max }) => {
                format!("exponential {initial:?} factor {factor} max {max:?}")
            }
        };
        text += &format!("{} attempts, {backoff}\n", retry.max_attempts);
    }
    if let Some(timeout) = attributes.timeout {
        text += &format!("timeout {timeout:?}\n");
    }
    if attributes.blocking {
        text += "blocking\n";
    }
    text += &errors(diagnostics);
    expected.assert_eq(&text);
}

#[test]
fn what_users_write() {
    check("", expect![""]);
    check(
        "name = \"charge\", timeout = \"1h 30m\", blocking",
        expect![[r#"
        name "charge"
        timeout 5400s
        blocking
    "#]],
    );
    check(
        "retry(max_attempts = 5, backoff = exponential(\"100ms\", max = \"30s\"))",
        expect![[r#"
            5 attempts, exponential 100ms factor 2 max Some(30s)
        "#]],
    );
    check(
        "retry(backoff = linear(\"1s\", max = \"1m\"))",
        expect![[r#"
        3 attempts, linear 1s max Some(60s)
    "#]],
    );
    check(
        "retry(max_attempts = 1, backoff = fixed(\"2s\"))",
        expect![[r#"
        1 attempts, fixed 2s
    "#]],
    );
    check(
        "retry(backoff = exponential(\"1s\", factor = 3))",
        expect![[r#"
        3 attempts, exponential 1s factor 3 max None
    "#]],
    );
}

#[test]
fn mistakes() {
    check(
        "timout = \"1s\"",
        expect![[r#"
        W0051: `#[task]` has no key `timout`
    "#]],
    );
    check(
        "timeout = \"1s\", timeout = \"2s\", name = \"\"",
        expect![[r#"
        timeout 1s
        W0052: `timeout` is given twice
        W0054: "" cannot be a name
    "#]],
    );
    check(
        "timeout = 10",
        expect![[r#"
        W0053: this form of `timeout` is not understood
    "#]],
    );
    check(
        "timeout = \"0s\"",
        expect![[r#"
        W0053: a timeout of zero is not understood
    "#]],
    );
    check(
        "timeout = \"ten\"",
        expect![[r#"
        W0056: "ten" is not a duration
    "#]],
    );
    check(
        "retry = 3",
        expect![[r#"
        W0053: this form of `retry` is not understood
    "#]],
    );
    check(
        "retry(max_attempts = 0)",
        expect![[r#"
        3 attempts, default
        W0053: `max_attempts` counts all attempts, the first included; this value is not understood
    "#]],
    );
    check(
        "retry(backoff = cubic(\"1s\"))",
        expect![[r#"
        3 attempts, default
        W0055: there is no backoff `cubic`
    "#]],
    );
    check(
        "retry(backoff = fixed(\"1s\", max = \"2s\"))",
        expect![[r#"
        3 attempts, fixed 1s
        W0051: `fixed` has no key `max`
    "#]],
    );
    check(
        "retry(backoff = exponential(\"1s\", factor = 0.5))",
        expect![[r#"
        3 attempts, default
        W0053: a `factor` below 1 is not understood
    "#]],
    );
    check(
        "blocking = true",
        expect![[r#"
        W0053: `blocking` takes no value is not understood
    "#]],
    );
    check(
        "a b",
        expect![[r#"
        W0050: the arguments of `#[task]` cannot be read: expected `,`
    "#]],
    );
}

#[test]
fn durations() {
    for (text, expected) in [
        ("500ms", Some("500ms")),
        ("10s", Some("10s")),
        ("1h 30m", Some("5400s")),
        ("1h30m", Some("5400s")),
        (" 2 d ", Some("172800s")),
        ("1w", Some("604800s")),
        ("5min", Some("300s")),
        ("3us", Some("3µs")),
        ("0s", Some("0ns")),
        ("", None),
        ("10", None),
        ("s", None),
        ("1.5s", None),
        ("-1s", None),
        ("10 parsecs", None),
        ("99999999999999999999s", None),
    ] {
        let parsed = parse_duration(text).map(|duration| format!("{duration:?}"));
        assert_eq!(parsed.as_deref(), expected, "{text:?}");
    }
}
