//! The emitted code of small bodies.

use expect_test::{Expect, expect};

use super::dump::expansion;

/// Checks the stages; what all workflows have in common stands around them.
fn check(source: &str, expected: Expect) {
    let text = expansion(source);
    let start = text.find("match __stage {").expect("the stages");
    let end = text.find("_ => __no_such_stage").expect("the end of the stages");
    expected.assert_eq(&text[start..end]);
}

#[test]
fn two_points() {
    check(
        "let a = f(n).await?; g(a).await",
        expect![[r#"
            match __stage {
                                        0usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let ((n, m),) = __unboxed(__witness0, __content);
                                                    let __awaited = f(n);
                                                    let __operation = __context.prepare(__awaited);
                                                    __go(
                                                        __next,
                                                        1usize,
                                                        __boxed(__witness1, (__operation, ())),
                                                    );
                                                    break '__stage;
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                                        1usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let (__operation, ()) = match __content {
                                                        ::core::option::Option::None => {
                                                            let ::core::option::Option::Some(__operation) = __read(
                                                                __next,
                                                                __context.restore_operation(),
                                                            ) else { break '__stage };
                                                            (__operation, ())
                                                        }
                                                        __content => __unboxed(__witness1, __content),
                                                    };
                                                    if let ::core::option::Option::Some(_) = __context
                                                        .checkpoint(0usize, &__operation)
                                                    {}
                                                    let __result1 = __context.perform(__operation).await;
                                                    let a = __result1?;
                                                    let __awaited = g(a);
                                                    let __operation = __context.prepare(__awaited);
                                                    __go(
                                                        __next,
                                                        2usize,
                                                        __boxed(__witness2, (__operation, ())),
                                                    );
                                                    break '__stage;
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                                        2usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let (__operation, ()) = match __content {
                                                        ::core::option::Option::None => {
                                                            let ::core::option::Option::Some(__operation) = __read(
                                                                __next,
                                                                __context.restore_operation(),
                                                            ) else { break '__stage };
                                                            (__operation, ())
                                                        }
                                                        __content => __unboxed(__witness2, __content),
                                                    };
                                                    if let ::core::option::Option::Some(_) = __context
                                                        .checkpoint(1usize, &__operation)
                                                    {}
                                                    let __result2 = __context.perform(__operation).await;
                                                    return __result2;
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                            "#]],
    );
}

#[test]
fn a_loop() {
    check(
        "let mut sum = 0; for x in 0..n { sum += f(x).await?; } Ok(sum)",
        expect![[r#"
            match __stage {
                                        0usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let ((n, m),) = __unboxed(__witness0, __content);
                                                    let mut sum = 0;
                                                    let mut __for_x_3 = match 0..n {
                                                        __source => {
                                                            #[allow(unused_imports)]
                                                            use ::workflow_runtime::__private::{
                                                                ItemsKind as _, RangeKind as _,
                                                            };
                                                            (&__source).__loop_kind().start(__source)
                                                        }
                                                    };
                                                    __go(
                                                        __next,
                                                        2usize,
                                                        __boxed(__witness2, ((sum, __for_x_3),)),
                                                    );
                                                    break '__stage;
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                                        2usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let ((mut sum, mut __for_x_3),) = __unboxed(
                                                        __witness2,
                                                        __content,
                                                    );
                                                    match __for_x_3.next() {
                                                        ::core::option::Option::Some(x) => {
                                                            let __awaited = f(x);
                                                            let __operation = __context.prepare(__awaited);
                                                            __go(
                                                                __next,
                                                                1usize,
                                                                __boxed(__witness1, (__operation, (sum, __for_x_3))),
                                                            );
                                                            break '__stage;
                                                        }
                                                        ::core::option::Option::None => {
                                                            return Ok(sum);
                                                        }
                                                    }
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                                        1usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let (__operation, (mut sum, mut __for_x_3)) = match __content {
                                                        ::core::option::Option::None => {
                                                            let ::core::option::Option::Some(__operation) = __read(
                                                                __next,
                                                                __context.restore_operation(),
                                                            ) else { break '__stage };
                                                            let ::core::option::Option::Some(sum) = __read(
                                                                __next,
                                                                ::workflow_runtime::__private::restore::<
                                                                    _,
                                                                    __await_of::f,
                                                                >(__context, "sum"),
                                                            ) else { break '__stage };
                                                            let ::core::option::Option::Some(__for_x_3) = __read(
                                                                __next,
                                                                ::workflow_runtime::__private::restore_loop(
                                                                    __context,
                                                                    "for x",
                                                                ),
                                                            ) else { break '__stage };
                                                            (__operation, (sum, __for_x_3))
                                                        }
                                                        __content => __unboxed(__witness1, __content),
                                                    };
                                                    if let ::core::option::Option::Some(mut __saver) = __context
                                                        .checkpoint(0usize, &__operation)
                                                    {
                                                        ::workflow_runtime::__private::save::<
                                                            _,
                                                            __await_of::f,
                                                        >(&mut __saver, "sum", &sum);
                                                        ::workflow_runtime::__private::save_loop(
                                                            &mut __saver,
                                                            "for x",
                                                            3u32,
                                                            &__for_x_3,
                                                        );
                                                    }
                                                    let __result1 = __context.perform(__operation).await;
                                                    sum += __result1?;
                                                    __go(
                                                        __next,
                                                        2usize,
                                                        __boxed(__witness2, ((sum, __for_x_3),)),
                                                    );
                                                    break '__stage;
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                            "#]],
    );
}

#[test]
fn a_join_inside_of_a_stage() {
    check(
        "let r = &n; let k = match m { 0 => 1, 1 => 2, _ => { f().await; return 0; } }; g(k, r).await",
        expect![[r#"
            match __stage {
                                        0usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let ((n, m),) = __unboxed(__witness0, __content);
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
                                                                let __operation = __context.prepare(__awaited);
                                                                __go(
                                                                    __next,
                                                                    1usize,
                                                                    __boxed(__witness1, (__operation, ())),
                                                                );
                                                                break '__stage;
                                                            }
                                                        }
                                                    };
                                                    let k = __value1;
                                                    let __awaited = g(k, r);
                                                    let __operation = __context.prepare(__awaited);
                                                    __go(
                                                        __next,
                                                        2usize,
                                                        __boxed(__witness2, (__operation, ())),
                                                    );
                                                    break '__stage;
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                                        1usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let (__operation, ()) = match __content {
                                                        ::core::option::Option::None => {
                                                            let ::core::option::Option::Some(__operation) = __read(
                                                                __next,
                                                                __context.restore_operation(),
                                                            ) else { break '__stage };
                                                            (__operation, ())
                                                        }
                                                        __content => __unboxed(__witness1, __content),
                                                    };
                                                    if let ::core::option::Option::Some(_) = __context
                                                        .checkpoint(0usize, &__operation)
                                                    {}
                                                    let __result1 = __context.perform(__operation).await;
                                                    __result1;
                                                    return 0;
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                                        2usize => {
                                            ::std::boxed::Box::pin(async move {
                                                if false {
                                                    return __some::<Output>();
                                                }
                                                '__stage: {
                                                    let (__operation, ()) = match __content {
                                                        ::core::option::Option::None => {
                                                            let ::core::option::Option::Some(__operation) = __read(
                                                                __next,
                                                                __context.restore_operation(),
                                                            ) else { break '__stage };
                                                            (__operation, ())
                                                        }
                                                        __content => __unboxed(__witness2, __content),
                                                    };
                                                    if let ::core::option::Option::Some(_) = __context
                                                        .checkpoint(1usize, &__operation)
                                                    {}
                                                    let __result2 = __context.perform(__operation).await;
                                                    return __result2;
                                                }
                                                ::core::future::pending().await
                                            })
                                        }
                            "#]],
    );
}

#[test]
fn deterministic() {
    let source = "let mut s = n; for x in m { s += f(x, s).await?; if s > 3 { g().await?; } } Ok(s)";
    assert_eq!(expansion(source), expansion(source));
}
