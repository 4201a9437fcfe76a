//! Awaits in every position of an expression.

twin! {
    async fn call_arguments(n: i64) -> i64 {
        let a = add(inc(n).await, inc(add(n, 1).await).await).await;
        let b = i64::max(inc(a).await, inc(n).await);
        let c = Some(inc(b).await).map(|k| k + 1).unwrap_or(inc(0).await);
        let d = (|x: i64, y: i64| x * y)(inc(1).await, inc(2).await);
        a + b + c + d
    }
    call_arguments(3)
}

twin! {
    async fn method_arguments(n: i64) -> String {
        let mut all = vec![inc(n).await];
        all.push(inc(n).await);
        all.push(all.len() as i64 + inc(1).await);
        all.insert(inc(0).await as usize, inc(7).await);
        all.extend(list(n).await);
        let has = all.contains(&inc(n).await);
        let mut text = name(n).await.to_uppercase();
        text.push_str(&name(inc(n).await).await);
        text.insert(0, if has { 'h' } else { '-' });
        format!("{text} {all:?}")
    }
    method_arguments(3)
}

twin! {
    async fn operands(n: i64) -> i64 {
        let mut a = n + inc(n).await * inc(2).await - -inc(n).await;
        a += inc(a).await;
        a -= { a = inc(1).await; a };
        a = a * 2 + { a += 1; inc(a).await };
        let b = (inc(n).await as i32) as i64 + i64::from(!even(n).await);
        let c = inc(a).await < inc(b).await || inc(a).await == a + 1;
        a + b + i64::from(c)
    }
    operands(3)
}

twin! {
    async fn left_to_right(n: i64) -> String {
        let mut x = n;
        let a = (x, { x = inc(x).await; x }, x);
        let b = [x, { x += 1; inc(x).await }, x];
        let c = x + { x = 50; inc(x).await } + x;
        let mut o = Some(x);
        let d = (o, { o.take(); inc(1).await }, o);
        let e = Pt { x: { x += 1; inc(x).await }, label: { x += 1; name(x).await } };
        let f = std::mem::replace(&mut x, inc(3).await);
        format!("{a:?} {b:?} {c} {d:?} {e:?} {f} {x}")
    }
    left_to_right(3)
}

twin! {
    async fn literals(n: i64) -> String {
        let tuple = (inc(n).await, name(n).await, (even(n).await,));
        let array = [inc(1).await, 5, inc(2).await];
        let repeated = [inc(3).await; 3];
        let pt = Pt { label: name(1).await, x: inc(4).await };
        let other = Pt { x: inc(5).await, ..point(1, name(2).await).await };
        let shape = Shape::Rect { h: inc(1).await, w: inc(2).await };
        let range = inc(1).await..inc(4).await;
        let reference = *&inc(8).await;
        let boxed = Box::new(inc(9).await);
        format!("{tuple:?} {array:?} {repeated:?} {pt:?} {other:?} {shape:?} {range:?} {reference} {boxed}")
    }
    literals(3)
}

twin! {
    async fn indexes(n: i64) -> i64 {
        let mut all = vec![1, 2, 3, 4];
        let a = all[inc(0).await as usize];
        let b = list(7).await[inc(0).await as usize];
        let c = [inc(1).await, inc(2).await][(n % 2) as usize];
        all[inc(1).await as usize] = inc(9).await;
        all[0] += inc(4).await;
        let d = (inc(1).await, inc(2).await).1;
        let e = point(6, "e".into()).await.x;
        a + b + c + d + e + all.iter().sum::<i64>()
    }
    indexes(3)
}

twin! {
    async fn macros(n: i64) -> String {
        let all = vec![inc(n).await, inc(inc(n).await).await];
        let same = vec![inc(n).await; 2];
        assert!(even(4).await, "four is even, not {n}");
        assert_eq!(inc(n).await, n + 1, "{n}");
        assert_ne!(inc(n).await, inc(n + 1).await);
        print!("{:.0}", name(n).await);
        let text = format!("{} {n} {k} {:?}", inc(n).await, name(n).await, k = inc(7).await);
        let matched = matches!(draw(n).await, Shape::Line(k) if k > 0) || matches!(find(n).await, Some(_) | None);
        debug_assert!(matched);
        let width = 4;
        let padded = format!("{:>width$}", inc(n).await);
        format!("{all:?} {same:?} {text} {matched} {padded}")
    }
    macros(3)
}

twin! {
    async fn jumps_as_values(n: i64) -> Result<i64, String> {
        let mut i = 0;
        let a = loop {
            i += 1;
            let b = match check(i).await {
                Ok(ok) if ok < 2 => continue,
                Ok(ok) => ok,
                Err(error) => return Err(format!("{error} {}", name(i).await)),
            };
            if even(b).await {
                break if n > 2 { add(b, n).await } else { return Ok(inc(b).await) };
            }
        };
        return Ok(inc(a).await);
    }
    jumps_as_values(3)
}

twin! {
    async fn borrowed_arguments(n: i64) -> i64 {
        let mut text = name(n).await;
        let numbers = list(7).await;
        let a = length(&text).await + length(text.as_str()).await + length("literal").await;
        text.push('x');
        let b = sum_of(&numbers).await + sum_of(&numbers[1..]).await + sum_of(&[a, inc(a).await]).await;
        a + b + text.len() as i64
    }
    borrowed_arguments(3)
}

twin! {
    async fn compared_places(n: i64) -> String {
        let text = name(n).await;
        let same = text == name(text.len() as i64 + n).await || text != name(n).await;
        let both = vec![n] == list(n).await;
        format!("{text} {same} {both}")
    }
    compared_places(3)
}

twin! {
    async fn named_arguments_capture_nothing(b: String) -> String {
        if even(2).await {
            drop(b);
        }
        unit(1).await;
        format!("{b}", b = inc(3).await)
    }
    named_arguments_capture_nothing("x".to_string())
}

twin! {
    async fn macros_borrow(n: i64) -> String {
        let text = name(n).await;
        let one = format!("{} {}", text, name(text.len() as i64).await);
        assert_eq!(text, name(n + text.len() as i64 - 2).await, "{text}");
        one + &text
    }
    macros_borrow(3)
}
