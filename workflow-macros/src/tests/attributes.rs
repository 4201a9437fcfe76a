//! The arguments of the attributes, and durations.

use expect_test::{Expect, expect};

use super::{errors, tokens};
use crate::attributes::retry::{Backoff, Only};
use crate::attributes::task;
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
        if let Some(jitter) = &retry.jitter {
            text += &format!("jitter {jitter}\n");
        }
        if let Some(max_elapsed) = retry.max_elapsed {
            text += &format!("max elapsed {max_elapsed:?}\n");
        }
        match &retry.only {
            None => {}
            Some(Only::When(check)) => text += &format!("when {}\n", quote::quote!(#check)),
            Some(Only::Never(pattern)) => text += &format!("never {}\n", quote::quote!(#pattern)),
        }
    }
    if let Some(timeout) = attributes.timeout {
        text += &format!("timeout {timeout:?}\n");
    }
    if let Some(limit) = attributes.schedule_to_close {
        text += &format!("schedule to close {limit:?}\n");
    }
    if let Some(timeout) = attributes.heartbeat_timeout {
        text += &format!("heartbeat timeout {timeout:?}\n");
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
            W0053: `timeout` takes a text in quotes
        "#]],
    );
    check(
        "timeout = \"0s\"",
        expect![[r#"
            W0053: a `timeout` of zero leaves the task no time
        "#]],
    );
    check(
        "timeout = \"ten\"",
        expect![[r#"
            W0056: "ten" is not a duration: "ten" does not start with a number
        "#]],
    );
    check(
        "retry = 3",
        expect![[r#"
            W0053: `retry` takes a list in parentheses
        "#]],
    );
    check(
        "retry(max_attempts = 0)",
        expect![[r#"
            3 attempts, default
            W0053: `max_attempts` is a number of at least 1: it counts all attempts, the first included
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
            W0053: a `factor` below 1 would make the pauses shorter and shorter
        "#]],
    );
    check(
        "blocking = true",
        expect![[r#"
            blocking
            W0053: `blocking` takes no value
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
fn limits_of_time_and_what_is_tried_again() {
    check(
        "timeout = \"10s\", schedule_to_close = \"1h\", heartbeat_timeout = \"7µs\", \
         retry(jitter = full, max_elapsed = \"30m\", when = |error: &E| error.passes())",
        expect![[r#"
            4294967295 attempts, default
            jitter Full
            max elapsed 1800s
            when | error : & E | error . passes ()
            timeout 10s
            schedule to close 3600s
            heartbeat timeout 7µs
        "#]],
    );
    check(
        "retry(max_attempts = 9, when = E::passes, jitter = equal)",
        expect![[r#"
            9 attempts, default
            jitter Equal
            when E :: passes
        "#]],
    );
    check(
        "retry(never = E::Declined(_) | E::Invalid { .. } | E::Gone)",
        expect![[r#"
        3 attempts, default
        never E :: Declined (_) | E :: Invalid { .. } | E :: Gone
    "#]],
    );
    check(
        "retry(when = E::passes, never = E::Gone)",
        expect![[r#"
            3 attempts, default
            when E :: passes
            W0057: `when` and `never` both say which errors are tried again
        "#]],
    );
    check(
        "retry(when = \"transient\")",
        expect![[r#"
            3 attempts, default
            W0053: `when` takes a closure over the error, or the path of a function that takes it by reference
        "#]],
    );
    check(
        "retry(when = || true)",
        expect![[r#"
            3 attempts, default
            W0053: the closure of `when` takes the error, `|error| ..`, and gives a `bool`
        "#]],
    );
    check(
        "retry(when)",
        expect![[r#"
            3 attempts, default
            W0053: `when` takes a value
        "#]],
    );
    check(
        "retry(never = [E::Gone, E::Invalid])",
        expect![[r#"
        3 attempts, default
        W0053: `never` takes a pattern, as in `match`: alternatives are separated by `|`
    "#]],
    );
    check(
        "retry(never = E::new())",
        expect![[r#"
        3 attempts, default
        never E :: new ()
    "#]],
    );
    check(
        "retry(jitter = \"full\")",
        expect![[r#"
        3 attempts, default
        W0053: `jitter` is `full` (from nothing to the whole pause), `equal` (from half of it) or `none`
    "#]],
    );
    check(
        "retry(jitter = some)",
        expect![[r#"
        3 attempts, default
        W0053: `jitter` is `full` (from nothing to the whole pause), `equal` (from half of it) or `none`
    "#]],
    );
    check(
        "retry(max_elapsed = \"0s\")",
        expect![[r#"
        3 attempts, default
        W0053: a `max_elapsed` of zero leaves the task no time
    "#]],
    );
    check(
        "timeout = \"1m\", schedule_to_close = \"60s\"",
        expect![[r#"
        timeout 60s
        schedule to close 60s
        W0057: all attempts together get no more time than one attempt: the `timeout` can never end one
    "#]],
    );
    check(
        "timeout = \"1m\", heartbeat_timeout = \"1m\"",
        expect![[r#"
        timeout 60s
        heartbeat timeout 60s
        W0057: the attempt is over before its silence is noticed: `heartbeat_timeout` is not below `timeout`
    "#]],
    );
    check(
        "schedule_to_close = \"1m\", heartbeat_timeout = \"2m\"",
        expect![[r#"
        schedule to close 60s
        heartbeat timeout 120s
        W0057: the attempt is over before its silence is noticed: `heartbeat_timeout` is not below `schedule_to_close`
    "#]],
    );
    check(
        "schedule_to_close = \"1m\", retry(max_elapsed = \"1m\")",
        expect![[r#"
        4294967295 attempts, default
        max elapsed 60s
        schedule to close 60s
        W0057: no attempt begins after `schedule_to_close`, so this `max_elapsed` changes nothing
    "#]],
    );
    check(
        "schedule_to_close = 60",
        expect![[r#"
        W0053: `schedule_to_close` takes a text in quotes
    "#]],
    );
    check(
        "start_to_close = \"60s\"",
        expect![[r#"
        W0051: `#[task]` has no key `start_to_close`
    "#]],
    );
    check(
        "heartbeat = \"60s\"",
        expect![[r#"
        W0051: `#[task]` has no key `heartbeat`
    "#]],
    );
}
