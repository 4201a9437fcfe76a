//! The emitted code of small bodies.

use expect_test::{Expect, expect};

use super::dump::expansion;

/// Checks what the stages are and how they are entered; what all workflows have in common stands behind them.
fn check(source: &str, expected: Expect) {
    let text = expansion(source);
    let start = text.find('\n').map_or(0, |line| line + 1);
    let end = text
        .find("::workflow_runtime::__private::DESCRIBE")
        .expect("the end of the stages");
    let end = text[..end].rfind('\n').map_or(0, |line| line + 1);
    let lines: Vec<&str> = text[start..end].lines().collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let least = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(indent)
        .min()
        .unwrap_or(0);
    let lines = lines
        .iter()
        .map(|line| line.get(least..).unwrap_or_default().trim_end());
    expected.assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn two_points() {
    check(
        "let a = f(n).await?; g(a).await",
        expect![[r#"
            #[allow(unused_imports)]
            use ::workflow_runtime::__private::{OtherNamed as _, TaskNamed as _};
            let __stage1 = ::workflow_runtime::__private::Point::new(0usize, ());
            let __stage2 = ::workflow_runtime::__private::Point::new(1usize, ());
            return match __context.stage(<Self as ::workflow_runtime::Workflow>::POINTS) {
                0usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ::core::option::Option::Some(__input) = __input else {
                                __context.stop(::workflow_runtime::__private::Halt::no_input());
                                break '__stage;
                            };
                            let n = __input.n;
                            let m = __input.m;
                            let __awaited = f(n);
                            ::workflow_runtime::__private::Operation::__await(
                                __awaited,
                                __stage1,
                                __context,
                                (),
                            );
                            break '__stage;
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
                1usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ::core::option::Option::Some((__result1, ())) = ::workflow_runtime::__private::Operation::__awaited(
                                __stage1,
                                __context,
                            ) else { break '__stage };
                            let a = __result1?;
                            let __awaited = g(a);
                            ::workflow_runtime::__private::Operation::__await(
                                __awaited,
                                __stage2,
                                __context,
                                (),
                            );
                            break '__stage;
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
                2usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ::core::option::Option::Some((__result2, ())) = ::workflow_runtime::__private::Operation::__awaited(
                                __stage2,
                                __context,
                            ) else { break '__stage };
                            return __result2;
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
        "#]],
    );
}

#[test]
fn a_loop() {
    check(
        "let mut sum = 0; for x in 0..n { sum += f(x).await?; } Ok(sum)",
        expect![[r##"
            #[allow(unused_imports)]
            use ::workflow_runtime::__private::{OtherNamed as _, TaskNamed as _};
            let __keeper0 = ::core::marker::PhantomData;
            let __codec2 = ::workflow_runtime::__private::tie(
                __keeper0,
                ::workflow_runtime::__private::Keeper::variable(),
            );
            let __codec3 = ::workflow_runtime::__private::LoopState::codec(3u32);
            let __stage2 = ::workflow_runtime::__private::Join::new(2usize);
            let __stage1 = ::workflow_runtime::__private::Point::new(
                0usize,
                (
                    ::workflow_runtime::__private::Stored("sum", __codec2),
                    ::workflow_runtime::__private::Stored("for x", __codec3),
                ),
            );
            return match __context.stage(<Self as ::workflow_runtime::Workflow>::POINTS) {
                0usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ::core::option::Option::Some(__input) = __input else {
                                __context.stop(::workflow_runtime::__private::Halt::no_input());
                                break '__stage;
                            };
                            let n = __input.n;
                            let m = __input.m;
                            let mut sum = 0;
                            let mut __for_3_x = match 0..n {
                                __source => {
                                    #[allow(unused_imports)]
                                    use ::workflow_runtime::__private::{
                                        ItemsKind as _, RangeKind as _,
                                    };
                                    (&__source).__loop_kind().start(__source)
                                }
                            };
                            ::workflow_runtime::__private::go(
                                __stage2,
                                __context,
                                ((sum, __for_3_x),),
                            );
                            break '__stage;
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
                2usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ((mut sum, mut __for_3_x),) = ::workflow_runtime::__private::enter(
                                __stage2,
                                __context,
                            );
                            match __for_3_x.next() {
                                ::core::option::Option::Some(x) => {
                                    let __awaited = f(x);
                                    ::workflow_runtime::__private::keep(
                                        __keeper0,
                                        (&::workflow_runtime::__private::Named::of(&__awaited))
                                            .__across(),
                                    );
                                    ::workflow_runtime::__private::Operation::__await(
                                        __awaited,
                                        __stage1,
                                        __context,
                                        (sum, __for_3_x),
                                    );
                                    break '__stage;
                                }
                                ::core::option::Option::None => {
                                    return Ok(sum);
                                }
                            }
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
                1usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ::core::option::Option::Some(
                                (__result1, (mut sum, mut __for_3_x)),
                            ) = ::workflow_runtime::__private::Operation::__awaited(
                                __stage1,
                                __context,
                            ) else { break '__stage };
                            sum += __result1?;
                            ::workflow_runtime::__private::go(
                                __stage2,
                                __context,
                                ((sum, __for_3_x),),
                            );
                            break '__stage;
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
        "##]],
    );
}

#[test]
fn a_join_inside_of_a_stage() {
    check(
        "let r = &n; let k = match m { 0 => 1, 1 => 2, _ => { f().await; return 0; } }; g(k, r).await",
        expect![[r#"
            #[allow(unused_imports)]
            use ::workflow_runtime::__private::{OtherNamed as _, TaskNamed as _};
            let __stage1 = ::workflow_runtime::__private::Point::new(0usize, ());
            let __stage2 = ::workflow_runtime::__private::Point::new(1usize, ());
            return match __context.stage(<Self as ::workflow_runtime::Workflow>::POINTS) {
                0usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ::core::option::Option::Some(__input) = __input else {
                                __context.stop(::workflow_runtime::__private::Halt::no_input());
                                break '__stage;
                            };
                            let n = __input.n;
                            let m = __input.m;
                            let r = &n;
                            let (__value1,): (_,) = '__join1: {
                                match m {
                                    0 => {
                                        break '__join1 (1,);
                                    }
                                    1 => {
                                        break '__join1 (2,);
                                    }
                                    _ => {
                                        let __awaited = f();
                                        ::workflow_runtime::__private::Operation::__await(
                                            __awaited,
                                            __stage1,
                                            __context,
                                            (),
                                        );
                                        break '__stage;
                                    }
                                }
                            };
                            let k = __value1;
                            let __awaited = g(k, r);
                            ::workflow_runtime::__private::Operation::__await(
                                __awaited,
                                __stage2,
                                __context,
                                (),
                            );
                            break '__stage;
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
                1usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ::core::option::Option::Some((__result1, ())) = ::workflow_runtime::__private::Operation::__awaited(
                                __stage1,
                                __context,
                            ) else { break '__stage };
                            __result1;
                            return 0;
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
                2usize => {
                    let __code = async move {
                        if false {
                            return ::workflow_runtime::__private::never::<Output>();
                        }
                        '__stage: {
                            let ::core::option::Option::Some((__result2, ())) = ::workflow_runtime::__private::Operation::__awaited(
                                __stage2,
                                __context,
                            ) else { break '__stage };
                            return __result2;
                        }
                        ::core::future::pending().await
                    };
                    ::workflow_runtime::__private::run(::core::pin::pin!(__code))
                }
        "#]],
    );
}

#[test]
fn deterministic() {
    let source = "let mut s = n; for x in m { s += f(x, s).await?; if s > 3 { g().await?; } } Ok(s)";
    assert_eq!(expansion(source), expansion(source));
}
