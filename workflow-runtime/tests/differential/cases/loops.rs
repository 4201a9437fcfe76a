//! Loops and jumps.

use crate::tasks::*;

both! {
    [while_let(0), while_let(1), while_let(4)]
    async fn while_let(n: u32) -> Result<u32, String> {
        let mut i = n;
        let mut s = 0;
        while let Some(x) = maybe(i).await? {
            s += x;
            if x > 8 {
                break;
            }
            i += 2;
        }
        while i > 3 && step(i).await? > 4 {
            i -= 1;
        }
        Ok(s * 100 + i)
    }

    [labels(1), labels(2), labels(9)]
    async fn labels(n: u32) -> Result<u32, String> {
        let mut s = 0;
        'outer: for i in 0..4 {
            for j in 0..4 {
                if j == 2 {
                    continue 'outer;
                }
                if i == n {
                    break 'outer;
                }
                s += step(i * j).await?;
            }
        }
        let v = 'b: {
            if n == 1 {
                break 'b 5;
            }
            let k = step(n).await?;
            if k > 3 {
                break 'b k;
            }
            7
        };
        Ok(s * 100 + v)
    }

    [plain_jump(0), plain_jump(1), plain_jump(2)]
    async fn plain_jump(n: u32) -> Result<u32, String> {
        let mut s = 0;
        let words = vec!["a".to_string(), "bb".into(), "ccc".into()];
        'outer: for i in 0..4u32 {
            for w in words.iter() {
                if w.len() as u32 == i + n {
                    continue 'outer;
                }
                if i == 3 {
                    break 'outer;
                }
            }
            s += step(i).await?;
        }
        Ok(s)
    }

    [loop_value(0), loop_value(4)]
    async fn loop_value(n: u32) -> Result<u32, String> {
        let mut i = n;
        let v = loop {
            i = step(i).await?;
            if i > 5 {
                break i * 2;
            }
            if i == 3 {
                continue;
            }
            log("tick");
        };
        let w: u64 = loop {
            break 9 + u64::from(step(1).await?);
        };
        Ok(v + w as u32)
    }

    [continue_for(vec![1, 2, 3, 99, 5]), continue_for(vec![])]
    async fn continue_for(v: Vec<u32>) -> Result<u32, String> {
        let mut s = 0;
        for x in v {
            if x % 2 == 0 {
                continue;
            }
            let y = step(x).await?;
            if y == 100 {
                break;
            }
            s += y;
        }
        Ok(s)
    }

    [for_borrowed(3), for_borrowed(300)]
    async fn for_borrowed(n: u32) -> Result<Vec<u32>, String> {
        let mut v = vec![1, 2, n];
        let mut s = 0;
        for x in &v {
            s += step(*x).await?;
        }
        for x in &mut v {
            *x += s;
            log("m");
            if s > 100 {
                step(1).await?;
            }
        }
        for x in v.iter() {
            if *x > 10 {
                break;
            }
            s += step(1).await?;
        }
        for (i, c) in v.clone().into_iter().enumerate() {
            s += step(i as u32).await? + c;
        }
        v.push(s);
        Ok(v)
    }

    [for_item_kept(1), for_item_kept(40)]
    async fn for_item_kept(n: u32) -> Result<(Vec<Holder>, u32), String> {
        let mut holders = vec![
            Holder { items: vec![1, n], name: "first".to_owned() },
            Holder { items: vec![], name: "second".to_owned() },
            Holder { items: vec![2, 3, 4], name: "third".to_owned() },
        ];
        let mut s = 0;
        for holder in &holders {
            s += step(1).await?;
            for item in &holder.items {
                let y = step(*item).await?;
                if y > 40 {
                    log(&holder.name);
                    continue;
                }
                s += y + *item;
                let item = step(*item + 1).await?;
                s += item;
            }
            log(format!("{} {s}", holder.name));
        }
        for holder in &mut holders {
            let y = step(s).await?;
            holder.items.push(y);
            if holder.items.len() > 3 {
                step(2).await?;
                holder.name.push('!');
            }
            step(3).await?;
            holder.items.sort_unstable();
        }
        let map: std::collections::BTreeMap<_, _> =
            holders.iter().map(|holder| (holder.name.clone(), holder.clone())).collect();
        for (name, Holder { items, .. }) in &map {
            s += step(items.len() as u32).await?;
            s += name.len() as u32;
            let got = loop {
                match step(s % 7).await? {
                    0 => break items.len() as u32,
                    other => s += other + items.first().copied().unwrap_or(1),
                }
                if s > 300 {
                    break 0;
                }
            };
            s += got;
        }
        Ok((holders, s))
    }

    [for_item_shadowed(2)]
    async fn for_item_shadowed(n: u32) -> Result<u32, String> {
        let names = ["a".to_owned(), "bc".to_owned()];
        let mut s = n;
        for name in &names {
            {
                let name = step(s).await?;
                s += step(name).await?;
                s += name;
            }
            let names = name.len() as u32;
            s += step(names).await? + names;
            s += name.len() as u32;
        }
        Ok(s + names.len() as u32)
    }

    [for_nested(0), for_nested(3), for_nested(6)]
    async fn for_nested(n: u32) -> Result<u32, String> {
        let mut s = 0;
        for i in 0..n {
            for j in i..n {
                if j == 2 {
                    continue;
                }
                s += step(j).await?;
            }
            if s > 20 {
                break;
            }
        }
        Ok(s)
    }

    [while_break_value(0), while_break_value(4), while_break_value(9)]
    async fn while_break_value(n: u32) -> Result<u32, String> {
        let mut i = 0;
        'a: while i < n {
            i += 1;
            let mut j = 0;
            while j < 3 {
                j += 1;
                if j == 2 && i == 2 {
                    continue 'a;
                }
                if i == 5 {
                    break 'a;
                }
                if step(j).await? == 3 {
                    break;
                }
            }
        }
        Ok(i)
    }

    [break_inner_plain(5), break_inner_plain(6), break_inner_plain(77)]
    async fn break_inner_plain(n: u32) -> Result<u32, String> {
        let mut t = 0;
        let got = 'find: {
            for x in [1, 5, 9].iter() {
                if *x == n {
                    break 'find Some(*x);
                }
            }
            if n == 77 {
                step(1).await?;
            }
            None
        };
        t += got.map_or(100, |g| g);
        t += step(t).await?;
        Ok(t)
    }

    [loops_in_branches(0), loops_in_branches(2)]
    async fn loops_in_branches(n: u32) -> Result<u32, String> {
        let mut t = 0;
        if n > 0 {
            for i in 0..n {
                t += step(i).await?;
            }
        } else {
            loop {
                t += step(t).await?;
                if t > 3 {
                    break;
                }
            }
        }
        t += step(t).await?;
        Ok(t)
    }

    [swap_loop(5)]
    async fn swap_loop(n: u32) -> Result<u32, String> {
        let (mut a, mut b) = (0, 1);
        for _ in 0..n {
            (a, b) = (b, a + step(b).await?);
        }
        Ok(a)
    }

    [nested_label(0), nested_label(1), nested_label(3)]
    async fn nested_label(n: u32) -> Result<u32, String> {
        let mut c = 0;
        let r = 'x: loop {
            loop {
                c += 1;
                if c > n {
                    break 'x c * 2;
                }
                if step(c).await? % 2 == 0 {
                    continue 'x;
                }
                for q in 0..5 {
                    if q == c {
                        break 'x 1000 + q;
                    }
                }
                break;
            }
        };
        Ok(r)
    }

    [option_slot(0), option_slot(4)]
    async fn option_slot(n: u32) -> Result<u32, String> {
        let mut best: Option<(u32, String)> = None;
        for i in 0..n {
            let s = step(i * 3 % 5).await?;
            if best.as_ref().is_none_or(|(b, _)| s > *b) {
                best = Some((s, text(i).await?));
            }
        }
        let Some((s, t)) = best else { return Ok(0) };
        log(t);
        Ok(s)
    }

    [while_true(1)]
    async fn while_true(n: u32) -> Result<u32, String> {
        let mut i = n;
        while true {
            i = step(i).await?;
            if i > 4 {
                return Ok(i);
            }
        }
        Ok(0)
    }

    [loop_return(0)]
    async fn loop_return(n: u32) -> Result<u32, String> {
        let mut i = n;
        loop {
            i = step(i).await?;
            match i {
                0..=3 => continue,
                4 => {
                    log("four");
                }
                _ => return Ok(i),
            }
        }
    }

    [block_label_plain(0), block_label_plain(1), block_label_plain(4), block_label_plain(9)]
    async fn block_label_plain(n: u32) -> Result<u32, String> {
        let y = 'a: {
            if n > 5 {
                break 'a 1;
            }
            let mut k = n;
            while k > 0 {
                k -= 1;
                if k == 2 {
                    break 'a 2;
                }
            }
            if n == 0 {
                step(0).await?;
                break 'a 3;
            }
            4
        };
        Ok(y + step(y).await?)
    }

    [jump_shadow(0), jump_shadow(1), jump_shadow(7)]
    async fn jump_shadow(n: u32) -> Result<u32, String> {
        let x = step(100).await?;
        let mut t = 0;
        'a: for i in 0..3u32 {
            for x in [0u32, 1, 2] {
                if x == n {
                    continue 'a;
                }
                if x == i {
                    t += x;
                }
                if t > 2 {
                    break 'a;
                }
            }
            t += step(i).await?;
        }
        Ok(x + t)
    }

    [param_hidden(2)]
    async fn param_hidden(n: u32) -> Result<u32, String> {
        let mut t = 0;
        'a: loop {
            for n in 1..4u32 {
                t += n;
                if t > 20 {
                    break 'a;
                }
            }
            t += step(n).await?;
        }
        Ok(n * 1000 + t)
    }
}
