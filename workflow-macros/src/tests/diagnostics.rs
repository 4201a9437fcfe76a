//! The errors of `check`, `lower` and the signatures.

use expect_test::{Expect, expect};
use syn::ItemFn;

use super::{errors, tokens};
use crate::body;
use crate::codes::CODES;
use crate::diag::Diagnostics;
use crate::{receives, signature};

/// The errors of a workflow's body.
fn check(body: &str, expected: Expect) {
    let mut diagnostics = Diagnostics::default();
    let block: syn::Block = syn::parse2(tokens(&format!("{{ {body} }}"))).expect("a block");
    let compiled = body::compile(&[], &syn::parse_quote!(()), &block, &mut diagnostics);
    assert_eq!(
        compiled.is_none(),
        !diagnostics.is_empty(),
        "an error, and only an error, stops the compilation"
    );
    expected.assert_eq(&errors(diagnostics));
}

/// The errors of a signature.
fn check_signature(function: &str, what: &str, expected: Expect) {
    let mut diagnostics = Diagnostics::default();
    let function: ItemFn = syn::parse2(tokens(function)).expect("a function");
    signature::check(&function, what, true, &mut diagnostics);
    expected.assert_eq(&errors(diagnostics));
}

#[test]
fn awaits_in_the_wrong_place() {
    check(
        "let f = || a().await; let g = async || -> u32 { b().await };",
        expect![[r#"
            W0010: `.await` inside a closure is not part of the workflow: the closure may run at any time, any number of times, so the runtime cannot store where it is
            W0011: `.await` inside an async closure with a written output type: it cannot be made a branch that the runtime could store
        "#]],
    );
    check(
        "let f = async || -> u32 { a().await };",
        expect![[r#"
            W0011: `.await` inside an async closure with a written output type: it cannot be made a branch that the runtime could store
        "#]],
    );
    check(
        "let f = async || a().await; let g = async { b().await; async { c().await } };",
        expect![""],
    );
    check(
        "unsafe { a().await }",
        expect![[r#"
        W0014: `.await` inside an unsafe block: what the block promises cannot survive a crash and a resume
    "#]],
    );
    check(
        "match x { y if a().await => {} _ => {} }",
        expect![[r#"
        W0013: `.await` inside the guard of a match arm: the guard may run several times while the patterns are tried
    "#]],
    );
    check(
        "assert!(a().await, \"{}\", b().await);",
        expect![[r#"
        W0015: `.await` inside the message of an assertion: the message is evaluated only on failure
    "#]],
    );
    check(
        "json!({ \"a\": b().await });",
        expect![[r#"
        W0012: `.await` inside the macro `json!`: #[workflow] runs before that macro and cannot see what it makes of the await
    "#]],
    );
    check(
        "const { a().await };",
        expect![[r#"
        W0016: `.await` inside a const block: constants are evaluated by the compiler
    "#]],
    );
    check(
        "matches!(x, Some(y) if a(y).await);",
        expect![[r#"
        W0013: `.await` inside the guard of a match arm: the guard may run several times while the patterns are tried
    "#]],
    );
}

#[test]
fn awaits_that_are_supported() {
    check(
        "vec![a().await; 2]; format!(\"{x}\", x = a().await); matches!(a().await, Some(1 | 2));",
        expect![[""]],
    );
    check(
        "async fn inner() { (|| async { x().await })().await } a().await;",
        expect![[""]],
    );
}

#[test]
fn jumps() {
    check(
        "loop { a().await; break 'nowhere; }",
        expect![[r#"
        W0019: no loop or block around this `break` has the label `'nowhere`
    "#]],
    );
    check("a().await; 'x: loop { break 'x }", expect![[""]]);
}

#[test]
fn points() {
    check(
        "#[point] a().await;",
        expect![[r#"
        W0020: `#[point]` needs a name that is not empty
    "#]],
    );
    check(
        "#[point(\"\")] a().await;",
        expect![[r#"
        W0020: `#[point]` needs a name that is not empty
    "#]],
    );
    check(
        "#[point(\"p\")] plain();",
        expect![[r#"
        W0021: `#[point("p")]` stands on a statement without an `.await`
    "#]],
    );
    check(
        "#[point(\"p\")] let x = a(b().await).await;",
        expect![[r#"
        W0023: `#[point("p")]` stands on a statement with 2 awaits: it is not clear which one it names
    "#]],
    );
    check(
        "#[point(\"p\")] a().await; #[point(\"p\")] b().await;",
        expect![[r#"
        W0022: two points have the name `p`
    "#]],
    );
}

#[test]
fn several_mistakes_are_reported_at_once() {
    check(
        "let f = || a().await; unsafe { b().await } #[point(\"p\")] c();",
        expect![[r#"
            W0010: `.await` inside a closure is not part of the workflow: the closure may run at any time, any number of times, so the runtime cannot store where it is
            W0014: `.await` inside an unsafe block: what the block promises cannot survive a crash and a resume
            W0021: `#[point("p")]` stands on a statement without an `.await`
        "#]],
    );
}

#[test]
fn signatures() {
    check_signature(
        "fn f() {}",
        "workflow",
        expect![[r#"
        W0001: a workflow must be an `async fn`
    "#]],
    );
    check_signature(
        "async fn f<T>(x: T) where T: Copy {}",
        "workflow",
        expect![[r#"
        W0002: a workflow cannot be generic: the stored state must belong to one type
    "#]],
    );
    check_signature(
        "async fn f(self) {}",
        "task",
        expect![[r#"
        W0003: a task must be a free function: `self` would have to be stored
    "#]],
    );
    check_signature(
        "const unsafe extern \"C\" fn f() {}",
        "task",
        expect![[r#"
        W0001: a task must be an `async fn`
        W0004: a task cannot be `const`: the runtime calls it, also after a restart
        W0004: a task cannot be `unsafe`: the runtime calls it, also after a restart
        W0004: a task cannot be `extern`: the runtime calls it, also after a restart
    "#]],
    );
    check_signature(
        "async fn f(x: impl Into<String>) -> impl Copy {}",
        "workflow",
        expect![[r#"
            W0005: a workflow cannot return `impl Trait`: its output is stored, so its type must have a name
            W0006: a workflow cannot take `impl Trait`: its input is stored, so its type must have a name
        "#]],
    );
    check_signature(
        "async fn f(x: u32) -> Result<u32, String> {}",
        "workflow",
        expect![[""]],
    );
}

#[test]
fn codes_are_sorted_and_used_once() {
    let codes: Vec<_> = CODES.iter().map(|(code, _)| *code).collect();
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(codes, sorted);
}

/// The types that a body receives.
fn check_received(body: &str, expected: Expect) {
    let mut diagnostics = Diagnostics::default();
    let found = receives::types(&tokens(body), &mut diagnostics);
    let types: Vec<_> = found.iter().map(signature::show).collect();
    expected.assert_eq(&format!("{types:?}\n{}", errors(diagnostics)));
}

#[test]
fn what_is_received() {
    check_received(
        "receive::<A>().await; let x = receive_update::<a::B<u8>>(); select! { _ = rt::receive::<A>() => {}, _ = f() => {} }
         vec![receive::<C>(), custom!(receive::<(D, E)>())]; repeat_with(receive::<F>); 0..receive::<G>();",
        expect![[r#"
            ["A", "a::B<u8>", "C", "(D, E)", "F", "G"]
        "#]],
    );
    check_received(
        "channel.receive(); x.receive::<A>(); fn receive() {} other::receive(); receive(1); receive::<A, B>(); receive",
        expect![[r#"
            []
        "#]],
    );
    check_received(
        "receive(); workflow_runtime::receive_update().await; receive::<Vec<_>>()",
        expect![[r#"
            []
            W0034: `receive` without the type that is received: the types that a workflow receives are read from its body, so that no sender can send another one
            W0034: `receive_update` without the type that is received: the types that a workflow receives are read from its body, so that no sender can send another one
        "#]],
    );
}

#[test]
fn changes_of_variables_around_a_block() {
    check(
        "let mut sum = 0; let mut list = Vec::new(); async { sum += a().await; list[0].x = 1; let r = &mut list; }.await;",
        expect![[r#"
            W0036: an `async` block cannot change `sum`, which belongs to the code around it: the block is stored with a copy of each variable that it mentions
            W0036: an `async` block cannot change `list`, which belongs to the code around it: the block is stored with a copy of each variable that it mentions
        "#]],
    );
    check(
        "let mut sum = 0; async { let mut sum = 1; sum += 1; a(sum).await }.await; async move { sum += 1; a(sum).await }.await;",
        expect![""],
    );
    check(
        "let mut sum = 0; async { async move { sum = 1; }.await; (sum, _) = a().await; }.await;",
        expect![[r#"
            W0036: an `async` block cannot change `sum`, which belongs to the code around it: the block is stored with a copy of each variable that it mentions
        "#]],
    );
    check(
        "async { loop { break; } break; }.await; async { a().await; continue }.await",
        expect![[r#"
            W0019: `break` outside of a loop
            W0019: `continue` outside of a loop
        "#]],
    );
}
