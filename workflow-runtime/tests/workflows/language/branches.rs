//! `if`, `match`, and their values.

twin! {
    async fn if_chain(n: i64) -> String {
        let mut seen = Vec::new();
        for i in 0..n {
            let word = if even(i).await && i > 2 {
                name(i).await
            } else if let Some(found) = find(i).await {
                seen.push(found);
                format!("f{}", inc(found).await)
            } else if i == 0 {
                "zero".to_string()
            } else {
                unit(i).await;
                continue;
            };
            seen.push(word.len() as i64);
        }
        format!("{seen:?}")
    }
    if_chain(5)
}

twin! {
    async fn let_chains(n: i64) -> i64 {
        let mut sum = 0;
        for i in 0..n {
            if let Some(a) = find(i).await && a > 1 && let Shape::Line(b) | Shape::Rect { w: b, .. } = draw(a).await && even(b).await {
                sum += add(a, b).await;
            } else {
                sum += 100;
            }
        }
        sum
    }
    let_chains(6)
}

twin! {
    async fn match_arms(n: i64) -> String {
        let mut text = String::new();
        for i in 0..n {
            text += &match draw(i).await {
                Shape::Line(k @ 1..=3) => format!("small {k} {}", inc(k).await),
                Shape::Line(k) if k > 3 => format!("large {}", add(k, i).await),
                Shape::Rect { w, h } if w == h => "square".to_string(),
                Shape::Rect { w, .. } => match check(w).await {
                    Ok(0) | Ok(1) => name(0).await,
                    Ok(ok) if ok % 2 == 0 => name(ok).await,
                    Ok(ok) => ok.to_string(),
                    Err(error) => error + &name(3).await,
                },
                other => format!("{other:?}"),
            };
        }
        short(text)
    }
    match_arms(6)
}

twin! {
    async fn match_on_several(n: i64) -> i64 {
        let mut sum = 0;
        for i in 0..n {
            sum += match (find(i).await, even(i).await) {
                (Some(a), true) => inc(a).await,
                (Some(a), _) if a > 4 => a,
                (Some(_), false) => 7,
                (None, even) => i64::from(even),
            };
        }
        sum
    }
    match_on_several(7)
}

twin! {
    async fn match_on_text_and_slices(n: i64) -> String {
        let text = name(n).await;
        let a = match text.as_str() {
            "n1" | "n2" => inc(n).await,
            "" => 0,
            _ => add(n, n).await,
        };
        let all = list(n).await;
        let b = match all.as_slice() {
            [] => inc(0).await,
            [one] => *one,
            [first, .., last] => {
                let (first, last) = (*first, *last);
                add(first, last).await
            }
        };
        format!("{text} {all:?} {a} {b}")
    }
    match_on_text_and_slices(7)
}

twin! {
    async fn match_by_reference(n: i64) -> String {
        let pt = point(n, "label".to_string()).await;
        let length = match &pt {
            Pt { x: 0, .. } => 0,
            Pt { label, .. } => length(label).await,
        };
        match pt.label.len() {
            5 => unit(5).await,
            _ => {}
        }
        format!("{pt:?} {length}")
    }
    match_by_reference(7)
}

twin! {
    async fn nested_branches(n: i64) -> i64 {
        if even(n).await {
            if let Some(a) = find(n).await {
                match check(a).await {
                    Ok(ok) => {
                        if ok > 3 { inc(ok).await } else { ok }
                    }
                    Err(_) => -1,
                }
            } else {
                let b = inc(n).await;
                { let c = inc(b).await; c + n }
            }
        } else {
            0
        }
    }
    nested_branches(4)
}

twin! {
    async fn question_marks(n: i64) -> Result<i64, String> {
        let a = check(n).await?;
        let b = check(a).await.map_err(|error| format!("second {error}"))?;
        let c = find(b).await.ok_or_else(|| "none".to_string())?;
        for i in 0..5 {
            unit(check(c + i).await?).await;
        }
        Ok(a + b + c)
    }
    question_marks(1)
}

twin! {
    async fn early_return(n: i64) -> Vec<i64> {
        let mut all = Vec::new();
        for i in 0..10 {
            if i == n {
                return list(i).await;
            }
            all.push(inc(i).await);
            if all.len() > 100 {
                return all;
            }
        }
        all
    }
    early_return(3)
}

twin! {
    async fn logical_operators(n: i64) -> String {
        let mut all = Vec::new();
        for i in 0..n {
            all.push(even(i).await && flag(i > 2).await);
            all.push(even(i).await || flag(i > 2).await);
            all.push(i > 1 && (even(i).await || i == 3) && !flag(true).await);
            all.push(even(i).await & flag(true).await | (i == 2));
            if !(even(i).await && i > 0) || flag(false).await {
                all.push(true);
            }
        }
        format!("{all:?}")
    }
    logical_operators(4)
}
