//! Blocks and tails, closures, values of many types.

twin! {
    async fn tails(n: i64) -> i64 {
        let a = { inc(n).await };
        let b = { let c = inc(a).await; { let d = c; d + inc(d).await } };
        { unit(b).await; }
        ({ inc(a).await }) + b
    }
    tails(3)
}

twin! {
    async fn tail_if(n: i64) -> Result<String, String> {
        if let Ok(ok) = check(n).await {
            Ok(name(ok).await)
        } else {
            Err(name(n).await)
        }
    }
    tail_if(3)
}

twin! {
    async fn tail_match(n: i64) -> Option<i64> {
        match find(n).await {
            Some(found) if found % 2 == 1 || found > 0 => Some(inc(found).await),
            other => other,
        }
    }
    tail_match(4)
}

twin! {
    async fn tail_loop(n: i64) -> i64 {
        let mut n = n;
        loop {
            n = inc(n).await;
            if n % 4 == 0 {
                break n;
            }
        }
    }
    tail_loop(1)
}

twin! {
    async fn nothing(n: i64) -> () {
        if n > 2 {
            unit(n).await;
        }
        for i in 0..2 {
            unit(i).await
        }
    }
    nothing(3)
}

twin! {
    async fn no_await(n: i64) -> i64 {
        (0..n).sum()
    }
    no_await(4)
}

twin! {
    async fn closures_between(n: i64) -> i64 {
        let factor = inc(n).await;
        let scaled: Vec<i64> = list(7).await.iter().map(|k| k * factor).collect();
        let count = { let is_large = |k: &&i64| **k > factor; scaled.iter().filter(is_large).count() };
        let sum = scaled.iter().fold(0, |sum, k| sum + k);
        inc(sum % 100 + count as i64).await
    }
    closures_between(3)
}

twin! {
    async fn many_types(n: i64) -> String {
        let map = std::collections::BTreeMap::from([("k".to_string(), vec![inc(n).await])]);
        let set: std::collections::BTreeSet<char> = name(n).await.chars().collect();
        let nested: Option<Result<(u8, f64), String>> = Some(Ok((7, 1.5)));
        let bytes = vec![1_u8, 2, 3];
        let unit_value = unit(n).await;
        let duration = std::time::Duration::from_millis(1500);
        let boxed: Box<[i64]> = list(7).await.into();
        let letter = 'ß';
        let big = i128::MAX;
        unit(1).await;
        format!("{map:?} {set:?} {nested:?} {bytes:?} {unit_value:?} {duration:?} {boxed:?} {letter} {big}")
    }
    many_types(3)
}

twin! {
    async fn generic_inference(n: i64) -> String {
        let mut none = None;
        let mut empty = Vec::new();
        let parsed = "42".parse().unwrap_or_default();
        unit(parsed).await;
        if even(n).await { none = Some(inc(n).await); }
        empty.push(name(n).await);
        let collected = list(7).await.into_iter().map(|k| k.to_string()).collect::<Vec<_>>();
        unit(1).await;
        format!("{none:?} {empty:?} {parsed} {collected:?}")
    }
    generic_inference(3)
}

twin! {
    async fn a_long_body(n: i64) -> i64 {
        let a1 = inc(n).await; let a2 = inc(a1).await; let a3 = inc(a2).await; let a4 = inc(a3).await;
        let b1 = add(a1, a4).await; let b2 = add(b1, a3).await; let b3 = add(b2, a2).await; let b4 = add(b3, a1).await;
        let c1 = add(b1, b4).await; let c2 = add(c1, b3).await; let c3 = add(c2, b2).await; let c4 = add(c3, b1).await;
        a1 + a2 + a3 + a4 + b1 + b2 + b3 + b4 + c1 + c2 + c3 + c4
    }
    a_long_body(1)
}
