//! Parameters, `let`, shadowing.

twin! {
    async fn destructured_parameters((a, mut b): (i64, String), Pt { x, label: text }: Pt, [c, .., d]: [i64; 3]) -> String {
        b.push('!');
        let e = add(a, x).await;
        b.push_str(&name(e).await);
        format!("{a} {b} {c} {d} {x} {text} {}", inc(d).await)
    }
    destructured_parameters((1, "b".into()), Pt { x: 2, label: "l".into() }, [3, 4, 5])
}

twin! {
    async fn let_patterns(n: i64) -> String {
        let (a, (mut b, _), [c, .., d]) = (inc(n).await, (add(n, n).await, 9), [1, 2, inc(3).await]);
        let Pt { x, label: ref_label } = point(n, "p".to_string()).await;
        b += c;
        let whole @ (first, second) = (inc(b).await, d);
        unit(x).await;
        format!("{a} {b} {c} {d} {x} {ref_label} {whole:?} {first} {second}")
    }
    let_patterns(4)
}

twin! {
    async fn let_else(n: i64) -> Result<i64, String> {
        let Some(a) = find(n).await else { return Err(name(n).await) };
        let (Shape::Line(b) | Shape::Rect { w: b, .. }) = draw(a).await else { return Ok(inc(a).await) };
        let Ok(c) = check(b).await else {
            unit(b).await;
            return Err("no".into());
        };
        Ok(a + b + c)
    }
    let_else(4)
}

twin! {
    async fn let_else_leaves(n: i64) -> Result<i64, String> {
        let Some(a) = find(n).await else { return Err(name(n).await) };
        Ok(a)
    }
    let_else_leaves(3)
}

twin! {
    async fn shadowing(x: i64) -> String {
        let x = inc(x).await;
        let y = {
            let x = name(x).await;
            let x = join(x.clone(), x).await;
            x.len() as i64
        };
        let x = (x, y);
        unit(x.1).await;
        let text = format!("{x:?}");
        let x = text;
        for x in 0..2 {
            let x = inc(x).await;
            unit(x).await;
        }
        x + &name(y).await
    }
    shadowing(3)
}

twin! {
    async fn shadowed_and_still_needed(x: i64) -> i64 {
        let mut sum = 0;
        if let Some(x) = find(x + 1).await {
            sum += x;
            let x = inc(x).await;
            sum += x;
        }
        match draw(x + 2).await {
            Shape::Line(x) => sum += add(x, 1).await,
            Shape::Rect { w: x, .. } => sum += add(x, 2).await,
            Shape::Dot => {}
        }
        sum + x
    }
    shadowed_and_still_needed(3)
}

twin! {
    async fn assigned_later(n: i64) -> (i64, String) {
        let a: i64;
        let b: String;
        if even(n).await {
            a = inc(n).await;
            b = name(a).await;
        } else {
            a = 0;
            b = String::new();
        }
        unit(a).await;
        (a, b)
    }
    assigned_later(4)
}

twin! {
    async fn moved_on_one_branch(text: String, n: i64) -> String {
        let kept = if even(n).await { join(text, "a".into()).await } else { text };
        unit(1).await;
        kept
    }
    moved_on_one_branch("t".into(), 3)
}

twin! {
    async fn moved_and_assigned_again(n: i64) -> String {
        let mut text = name(n).await;
        for i in 0..3 {
            let all = join(text, i.to_string()).await;
            text = all + "-";
            unit(i).await;
        }
        text
    }
    moved_and_assigned_again(2)
}

twin! {
    async fn destructuring_assignment(n: i64) -> String {
        let (mut a, mut b) = (n, String::new());
        (a, b) = (inc(a).await, name(a).await);
        [a, _] = [add(a, 1).await, 5];
        Pt { x: a, label: b } = point(a, b).await;
        _ = inc(a).await;
        format!("{a}{b}")
    }
    destructuring_assignment(4)
}

twin! {
    async fn items_in_the_body(n: i64) -> i64 {
        const STEP: i64 = 3;
        fn shift(n: i64) -> i64 {
            n + STEP
        }
        #[derive(Clone, serde::Serialize, serde::Deserialize)]
        struct Local {
            n: i64,
        }
        let local = Local { n: inc(n).await };
        unit(1).await;
        shift(local.n)
    }
    items_in_the_body(4)
}

twin! {
    async fn large_values(n: i64) -> i64 {
        let constant: Vec<i64> = (0..600).collect();
        let mut grows = "x".repeat(1500);
        let mut sum = 0;
        for i in 0..4 {
            sum += inc(i).await + constant.len() as i64;
            if i == 2 {
                grows.push_str(&name(n).await);
            }
        }
        sum + grows.len() as i64 + constant[599]
    }
    large_values(3)
}

twin! {
    async fn shadowed_beside_a_field(x: i64) -> i64 {
        let x = inc(x).await;
        let sum = {
            let x = inc(x).await;
            unit(x).await;
            let same = matches!(Pt { x, label: name(x).await }, Pt { x: 1..=9, .. } if x > 2);
            let pts = vec![Pt { x, label: String::new() }; 2];
            let other = matches!(pts[0], Pt { x, .. } if x > 4);
            unit(pts[1].x).await;
            i64::from(same) + i64::from(other) + x
        };
        unit(x).await;
        x + sum
    }
    shadowed_beside_a_field(3)
}
