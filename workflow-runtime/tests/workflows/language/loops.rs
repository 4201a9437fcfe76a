//! Loops, labels, jumps.

twin! {
    async fn ranges(n: i64) -> Vec<i64> {
        let mut all = Vec::new();
        for i in 0..n { all.push(inc(i).await); }
        for i in 2..=n { all.push(inc(i).await); }
        for i in (0..n).rev() { all.push(inc(i).await); }
        for i in (0..n).step_by(2) { all.push(inc(i).await); }
        for i in 5.. { if i > 7 { break; } all.push(inc(i).await); }
        for i in 0..inc(1).await { all.push(i); }
        for letter in 'a'..='c' { all.push(length(&letter.to_string()).await); }
        all
    }
    ranges(3)
}

twin! {
    async fn owned_items(n: i64) -> String {
        let mut text = String::new();
        for item in list(n).await { text += &name(item).await; }
        for (i, item) in vec!["a".to_string(), "b".to_string()].into_iter().enumerate() {
            text += &join(item, i.to_string()).await;
        }
        for word in "one two three".split(' ').map(str::to_owned) { text += &length(&word).await.to_string(); }
        for pair in [(1, 'x'), (2, 'y')] { text.push(pair.1); unit(pair.0).await; }
        for Pt { x, label } in [point(1, "p".into()).await, point(2, "q".into()).await] { text += &label; unit(x).await; }
        for mut i in Some(3) { i += 1; text += &inc(i).await.to_string(); }
        for (key, value) in std::collections::BTreeMap::from([(1, "v".to_string()), (2, "w".to_string())]) {
            text += &join(value, key.to_string()).await;
        }
        for chunk in list(7).await.chunks(2).map(<[i64]>::to_vec) { unit(total(chunk).await).await; }
        text
    }
    owned_items(3)
}

twin! {
    async fn borrowed_items(n: i64) -> String {
        let mut numbers = vec![n, 2, 3];
        let mut sum = 0;
        for &number in &numbers { sum += inc(number).await; }
        for number in numbers.iter() { let number = *number; sum += inc(number).await; sum += number; }
        for number in &mut numbers { *number += 10; unit(sum).await; }
        for number in numbers.iter_mut() { *number *= 2; unit(sum).await; }
        let names = ["a".to_string(), "b".to_string()];
        for name in &names { sum += length(name).await; }
        format!("{numbers:?} {sum} {names:?}")
    }
    borrowed_items(3)
}

twin! {
    async fn while_loops(n: i64) -> String {
        let mut i = n;
        let mut all = list(7).await;
        while i > 0 && even(i).await || i == 3 { i = add(i, -1).await; }
        while let Some(last) = all.pop() { i += inc(last).await; }
        while let Some(found) = find(i).await && found > 1 { i -= 1; unit(found).await; }
        while !even(i).await { i += 1; }
        i.to_string()
    }
    while_loops(4)
}

twin! {
    async fn loop_values(n: i64) -> String {
        let mut i = n;
        let a = loop {
            i += 1;
            if even(i).await { break inc(i).await; }
            if i > 100 { break -1; }
        };
        let b = 'block: {
            if a > 100 { break 'block name(a).await; }
            let c = inc(a).await;
            if even(c).await { break 'block format!("even {c}"); }
            name(c).await
        };
        let c = 'outer: loop {
            loop {
                i = inc(i).await;
                if i % 3 == 0 { break 'outer i; }
                if i % 5 == 0 { break; }
            }
            unit(i).await;
        };
        format!("{a} {b} {c}")
    }
    loop_values(4)
}

twin! {
    async fn labels(n: i64) -> String {
        let mut all = Vec::new();
        'rows: for row in 0..n {
            'columns: for column in 0..n {
                if even(row + column).await { continue 'columns; }
                if column == 3 { continue 'rows; }
                let mut k = column;
                'inner: while k > 0 {
                    k -= 1;
                    if row == 2 { break 'rows; }
                    if inc(k).await == 2 { continue 'columns; }
                    if k == 1 { break 'inner; }
                }
                all.push(row * 10 + column);
            }
            all.push(add(row, 100).await);
        }
        format!("{all:?}")
    }
    labels(4)
}

twin! {
    async fn loop_in_a_loop_with_state(n: i64) -> String {
        let mut rows: Vec<Vec<i64>> = Vec::new();
        for i in 0..n {
            let mut row = vec![i];
            for item in list(i + 5).await {
                row.push(item);
                if row.len() > 2 { break; }
                row.push(inc(item).await);
            }
            rows.push(row);
        }
        for row in &mut rows { row.retain(|item| item % 2 == 0); unit(1).await; }
        format!("{rows:?}")
    }
    loop_in_a_loop_with_state(3)
}

twin! {
    async fn empty_loops(n: i64) -> i64 {
        let mut sum = n;
        for _ in 0..0 { sum += inc(sum).await; }
        for i in Vec::<i64>::new() { sum += inc(i).await; }
        while sum > 100 { sum -= inc(1).await; }
        for _ in 0..2 { sum = inc(sum).await; }
        sum
    }
    empty_loops(3)
}

twin! {
    async fn messages(n: i64) -> Vec<i64> {
        let mut all = Vec::new();
        for i in 0..n {
            let note = receive::<Note>().await;
            all.push(add(note.0, i).await);
            sleep("10ms").await;
        }
        all
    }
    messages(3) signals [5, 6, 7]
}
