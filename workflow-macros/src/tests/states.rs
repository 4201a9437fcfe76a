//! What `lower`, `graph` and `liveness` make of a body.

use expect_test::{Expect, expect};

use super::dump::states;

fn check(source: &str, expected: Expect) {
    expected.assert_eq(&states(source));
}

#[test]
fn sequence() {
    check(
        "let a = f(n).await?; let b = g(a, &m).await?; Ok(a + b)",
        expect![[r#"
            start [n, m]
                await f(n) at point f
            point f -> __result1 [m]
                let a = __result1?
                await g(a, &m) at point g
            point g -> __result2 [a]
                let b = __result2?
                return Ok(a + b)
        "#]],
    );
}

#[test]
fn a_value_that_is_moved_is_not_stored() {
    check(
        "let a = f(n).await; drop(m); let b = g(a).await; b",
        expect![[r#"
        start [n, m]
            await f(n) at point f
        point f -> __result1 [m]
            let a = __result1
            drop(m);
            await g(a) at point g
        point g -> __result2 []
            let b = __result2
            return b
    "#]],
    );
}

#[test]
fn operands_before_an_await_are_evaluated_before_it() {
    check(
        "h(k(), n, f().await, m)",
        expect![[r#"
        start [n, m]
            let mut __temporary1 = k()
            await f() at point f
        point f -> __result1 [n, m, __temporary1]
            return h(__temporary1, n, __result1, m)
    "#]],
    );
    check(
        "n + { n = 2; f().await }",
        expect![[r#"
        start [n]
            let mut __temporary1 = n
            n = 2;
            await f() at point f
        point f -> __result1 [__temporary1]
            go to join 1 with __result1
        join 1 inside -> __value1 [__temporary1]
            return __temporary1 + __value1
    "#]],
    );
    check(
        "v.push(f().await)",
        expect![[r#"
        start []
            await f() at point f
        point f -> __result1 []
            return v.push(__result1)
    "#]],
    );
    check(
        "v[n] = f().await",
        expect![[r#"
        start [n]
            await f() at point f
        point f -> __result1 [n]
            return v[n] = __result1
    "#]],
    );
    check(
        "S { a: k(), b: f().await, ..rest }",
        expect![[r#"
        start []
            let mut __temporary1 = k()
            await f() at point f
        point f -> __result1 [__temporary1]
            return S { a : __temporary1, b : __result1,..rest }
    "#]],
    );
}

#[test]
fn conditions() {
    check(
        "if let Some(x) = f().await && x > n { g(x).await } else { m }",
        expect![[r#"
            start [n, m]
                await f() at point f
            point f -> __result1 [n, m]
                if let Some(x) = __result1
                    if x > n
                        await g(x) at point g
                    else
                        go to join 1
                else
                    go to join 1
            point g -> __result2 []
                return __result2
            join 1 inside [m]
                return { m }
        "#]],
    );
    check(
        "let ok = n || f().await; ok",
        expect![[r#"
        start [n]
            if !(n)
                await f() at point f
            else
                go to join 2
        point f -> __result1 []
            go to join 1 with __result1
        join 2 inside []
            go to join 1 with true
        join 1 -> __value1 []
            let ok = __value1
            return ok
    "#]],
    );
}

#[test]
fn an_if_without_else_at_the_end() {
    check(
        "if n { f().await; }",
        expect![[r#"
        start [n]
            if n
                await f() at point f
            else
                go to join 1
        point f -> __result1 []
            return { __result1; }
        join 1 inside []
            return { }
    "#]],
    );
    check(
        "let x = { m(); if n { f().await; } }; g(x)",
        expect![[r#"
        start [n, m]
            m();
            if n
                await f() at point f
            else
                go to join 2
        point f -> __result1 []
            go to join 1 with { __result1; }
        join 2 inside []
            go to join 1 with { }
        join 1 -> __value1 []
            let x = __value1
            return g(x)
    "#]],
    );
}

#[test]
fn a_join_of_one_stage_is_inside_of_it() {
    check(
        "let r = &n; match m { 0 => {} 1 => k(), _ => { f().await; return 0; } } use_it(r); g().await",
        expect![[r#"
            start [n, m]
                let r = &n
                match m
                    0 =>
                        go to join 1
                    1 =>
                        k();
                        go to join 1
                    _ =>
                        await f() at point f
            point f -> __result1 []
                __result1;
                return 0;
                diverges
            join 1 inside [r]
                use_it(r);
                await g() at point g
            point g -> __result2 []
                return __result2
        "#]],
    );
}

#[test]
fn loops() {
    check(
        "for x in n { if x == 2 { continue; } f(x).await; if x == m { break; } }",
        expect![[r#"
            start [n, m]
                let mut __for_2_x = match n { __source => { #[allow(unused_imports)] use::workflow_runtime::__private::{ ItemsKind as _, RangeKind as _ };(&__source).__loop_kind().start(__source) } }
                go to join 1
            join 1 [m, __for_2_x]
                match __for_2_x.next()
                    ::core::option::Option::Some(x) =>
                        if x == 2
                            go to join 1
                        else
                            go to join 3
                    ::core::option::Option::None =>
                        go to join 2
            join 3 inside [m, __for_2_x, x]
                go to join 4
            join 4 inside [m, __for_2_x, x]
                await f(x) at point f
            point f -> __result1 [m, __for_2_x, x]
                __result1;
                if x == m
                    go to join 2
                else
                    go to join 6
            join 6 inside [m, __for_2_x]
                go to join 7
            join 7 inside [m, __for_2_x]
                go to join 1
            join 2 []
                return ()
        "#]],
    );
    check(
        "while let Some(x) = f().await { use_it(x) }",
        expect![[r#"
        start []
            go to join 1
        join 1 []
            await f() at point f
        point f -> __result1 []
            if let Some(x) = __result1
                use_it(x);
                go to join 1
            else
                go to join 2
        join 2 inside []
            return ()
    "#]],
    );
    check(
        "let x = loop { if f().await { break n; } }; x",
        expect![[r#"
        start [n]
            go to join 2
        join 2 [n]
            await f() at point f
        point f -> __result1 [n]
            if __result1
                go to join 1 with n
            else
                go to join 3
        join 3 inside [n]
            go to join 4
        join 4 inside [n]
            go to join 2
        join 1 inside -> __value1 []
            let x = __value1
            return x
    "#]],
    );
    check(
        "for x in &m { f(*x).await; }",
        expect![[r#"
            start [m]
                let mut __for_2_x = ::workflow_runtime::__private::Cursor::new()
                go to join 1
            join 1 [m, __for_2_x]
                match match &m { __collection =>::workflow_runtime::__private::Ordered::next_item(__collection, &mut __for_2_x) }
                    ::core::option::Option::Some(x) =>
                        await f(* x) at point f
                    ::core::option::Option::None =>
                        go to join 2
            point f -> __result1 [m, __for_2_x]
                __result1;
                go to join 1
            join 2 inside []
                return ()
        "#]],
    );
}

#[test]
fn a_loop_without_awaits_stays_as_it_was_written() {
    check(
        "'a: loop { for x in n { if x { continue 'a; } else { break 'a; } } f().await; }",
        expect![[r#"
            start [n]
                go to join 1
            join 1 [n]
                for x in n { if x { __jump!(0); } else { __jump!(1); } }
                    jump to join 1
                    jump to join 2 with ()
                await f() at point f
            join 2 inside -> __value1 []
                return __value1
            point f -> __result1 [n]
                __result1;
                go to join 1
        "#]],
    );
}

#[test]
fn a_loop_that_hides_a_name_is_taken_apart() {
    check(
        "let x = f().await; 'a: loop { for x in 0..3 { if x == n { break 'a; } } f().await; } g(x)",
        expect![[r#"
            start [n]
                await f() at point f
            point f -> __result1 [n]
                let x = __result1
                go to join 2
            join 2 [n, x]
                let mut __for_4_x = match 0..3 { __source => { #[allow(unused_imports)] use::workflow_runtime::__private::{ ItemsKind as _, RangeKind as _ };(&__source).__loop_kind().start(__source) } }
                go to join 4
            join 4 [n, x, __for_4_x]
                match __for_4_x.next()
                    ::core::option::Option::Some(__5_x) =>
                        if __5_x == n
                            go to join 3
                        else
                            go to join 6
                    ::core::option::Option::None =>
                        go to join 5
            join 6 inside [n, x, __for_4_x]
                go to join 7
            join 7 inside [n, x, __for_4_x]
                go to join 4
            join 5 inside [n, x]
                await f() at point f#2
            point f#2 -> __result2 [n, x]
                __result2;
                go to join 2
            join 3 inside [x]
                return g(x)
        "#]],
    );
}

#[test]
fn shadowing() {
    check(
        "{ let n = f(n).await; g(n).await; } n",
        expect![[r#"
            start [n]
                await f(n) at point f
            point f -> __result1 [n]
                let __3_n = __result1
                await g(__3_n) at point g
            point g -> __result2 [n]
                __result2;
                return n
        "#]],
    );
    check(
        "{ let k = f(n).await; } k(m)",
        expect![[r#"
            start [n, m]
                await f(n) at point f
            point f -> __result1 [m]
                let __3_k = __result1
                return k(m)
        "#]],
    );
}

#[test]
fn deferred_initialisation() {
    check(
        "let x; if n { x = f().await; } else { x = 1; } g(x).await",
        expect![[r#"
            start [n]
                let x
                if n
                    await f() at point f
                else
                    go to join 1
            point f -> __result1 [] declares x
                x = __result1;
                go to join 2
            join 1 inside []
                x = 1;
                go to join 2
            join 2 [x]
                await g(x) at point g
            point g -> __result2 []
                return __result2
        "#]],
    );
}

#[test]
fn a_variable_that_is_assigned_and_never_read_is_declared_again() {
    check(
        "let mut a = k(); f(a).await; match n { 1 => a = 2, _ => {} } while n { a = 3; }",
        expect![[r#"
            start [n]
                let mut a = k()
                await f(a) at point f
            point f -> __result1 [n] declares a
                __result1;
                match n { 1 => a = 2, _ => { } }
                return while n { a = 3; }
        "#]],
    );
    check(
        "let mut a = k(); f(a).await; if n { a = g().await; } n",
        expect![[r#"
            start [n]
                let mut a = k()
                await f(a) at point f
            point f -> __result1 [n]
                __result1;
                if n
                    await g() at point g
                else
                    go to join 2
            point g -> __result2 [n] declares a
                a = __result2;
                go to join 3
            join 2 inside [n]
                go to join 3
            join 3 [n]
                return n
        "#]],
    );
    // What a closure captures must have a value.
    check(
        "let mut a = k(); f(a).await; h(|b| a = b); n",
        expect![[r#"
            start [n]
                let mut a = k()
                await f(a) at point f
            point f -> __result1 [n, a]
                __result1;
                h(| b | a = b);
                return n
        "#]],
    );
}

#[test]
fn guards_live_to_the_end_of_their_scope() {
    check(
        "{ let _g = k(); f().await; } g().await",
        expect![[r#"
        start []
            let _g = k()
            await f() at point f
        point f -> __result1 [_g]
            __result1;
            await g() at point g
        point g -> __result2 []
            return __result2
    "#]],
    );
}

#[test]
fn inline_captures_count() {
    check(
        "let x = k(); f().await; format!(\"{x} {n:>m$}\")",
        expect![[r#"
        start [n, m]
            let x = k()
            await f() at point f
        point f -> __result1 [n, m, x]
            __result1;
            return format!("{x} {n:>m$}")
    "#]],
    );
    check(
        "let x = k(); f().await; other!(x.n)",
        expect![[r#"
        start []
            let x = k()
            await f() at point f
        point f -> __result1 [x]
            __result1;
            return other!(x.n)
    "#]],
    );
}

#[test]
fn point_names() {
    check(
        "f().await; a::g::<u32>().await; Mail::new(n).await; x.send().await; f().await; #[point(\"p\")] f().await;",
        expect![[r#"
            start [n]
                await f() at point f
            point f -> __result1 [n]
                __result1;
                await a::g::< u32 >() at point g
            point g -> __result2 [n]
                __result2;
                await Mail::new(n) at point Mail
            point Mail -> __result3 []
                __result3;
                await x.send() at point send
            point send -> __result4 []
                __result4;
                await f() at point f#2
            point f#2 -> __result5 []
                __result5;
                await f() at point p
            point p -> __result6 []
                return { __result6; }
        "#]],
    );
}
