//! Operands, receivers, macros: everything is evaluated once and in order.

use crate::tasks::*;

both! {
    [straight(3)]
    async fn straight(n: u32) -> Result<u32, String> {
        let a = step(n).await?;
        let b = step(a).await?;
        Ok(a + b)
    }

    [errors(3), errors(4)]
    async fn errors(n: u32) -> Result<u32, String> {
        let a = step(n).await?;
        let b = fail_at(a, 5).await?;
        Ok(a + b)
    }

    [unit(3)]
    async fn unit(n: u32) -> () {
        step(n).await.ok();
        log("x");
    }

    [nothing(3)]
    async fn nothing(n: u32) -> u32 {
        n + 1
    }

    [index_assign(vec![1, 2])]
    async fn index_assign(mut a: Vec<u32>) -> Result<Vec<u32>, String> {
        let mut i = 0;
        a[i] = step(7).await?;
        i += 1;
        a[i] = {
            i = 0;
            step(9).await?
        };
        a[i] += step(1).await?;
        Ok(a)
    }

    [plus_assign(3)]
    async fn plus_assign(n: u32) -> Result<u32, String> {
        let mut x = n;
        x += step(1).await?;
        x -= {
            x += 10;
            step(2).await?
        };
        Ok(x)
    }

    [left_right(3)]
    async fn left_right(n: u32) -> Result<u32, String> {
        let mut x = n;
        let y = x + {
            x = 100;
            step(1).await?
        };
        let z = x * step(2).await? + x;
        Ok(y + z)
    }

    [left_method(3)]
    async fn left_method(n: u32) -> Result<u32, String> {
        let mut x = Num(n);
        let y = x.0 + {
            x.bump();
            step(1).await?
        };
        let z = num(x) + {
            x.bump();
            step(2).await?
        };
        let w = [x.0, {
            x.bump();
            step(2).await?
        }];
        Ok(y + z + w[0] * 1000 + w[1] + x.0)
    }

    [left_copy(3)]
    async fn left_copy(n: u32) -> Result<u32, String> {
        let mut x = Num(n);
        let (a, b) = (x, {
            x.bump();
            step(1).await?
        });
        Ok(a.0 * 100 + b + x.0)
    }

    [args(3)]
    async fn args(n: u32) -> Result<u32, String> {
        let s = three(step(n).await?, noted(5), step(n + 1).await?);
        let t = three(noted(1), noted(2), step(3).await?);
        Ok(s * 1000 + t)
    }

    [two_phase(3)]
    async fn two_phase(n: u32) -> Result<Vec<u32>, String> {
        let mut v = vec![n];
        v.push(step(n).await?);
        v.push({
            v.len();
            step(9).await?
        });
        let l = v.len() as u32 + step(1).await?;
        v.push(l);
        Ok(v)
    }

    [field_receiver(3)]
    async fn field_receiver(n: u32) -> Result<Vec<u32>, String> {
        let mut h = Holder {
            items: vec![n],
            name: String::from("n"),
        };
        h.items.push(step(n).await?);
        h.name.push_str(&text(n).await?);
        let k = h.name.len() as u32;
        h.items.push(k);
        let mut w = vec![h];
        w[0].items.push(step(4).await?);
        Ok(w.remove(0).items)
    }

    [mut_args(3)]
    async fn mut_args(n: u32) -> Result<u32, String> {
        let mut x = n;
        let r = add_to(&mut x, step(4).await?);
        let y = add_to(&mut x, r);
        Ok(x * 100 + y)
    }

    [structs(3)]
    async fn structs(n: u32) -> Result<(u32, String, u32), String> {
        let base = Trio {
            a: 1,
            b: "b".into(),
            c: 3,
        };
        let t = Trio {
            c: step(n).await?,
            a: noted(2),
            ..base
        };
        let name = text(1).await?;
        let u = Trio {
            a: step(t.a).await?,
            b: name,
            ..t
        };
        Ok((u.a, u.b, u.c))
    }

    [struct_rest(3)]
    async fn struct_rest(n: u32) -> Result<(u32, String, u32), String> {
        let t = Trio {
            a: noted(3),
            ..trio(n).await?
        };
        Ok((t.a, t.b, t.c))
    }

    [ranges(3)]
    async fn ranges(n: u32) -> Result<u32, String> {
        let mut s = 0;
        for i in step(n).await?..step(n + 3).await? {
            s += i;
        }
        for i in 0..=step(1).await? {
            s += step(i).await?;
        }
        for i in (0..n).rev() {
            s = s * 2 + step(i).await?;
        }
        Ok(s)
    }

    [vecs(3)]
    async fn vecs(n: u32) -> Result<Vec<u32>, String> {
        let mut v = vec![step(n).await?, noted(2), step(4).await?];
        v.extend(vec![step(1).await?; 2]);
        v.extend([step(5).await?; 2]);
        Ok(v)
    }

    [formats(3)]
    async fn formats(n: u32) -> Result<String, String> {
        let name = "a".to_string();
        let width = 5;
        let s = format!("{name} {n:>width$} {} {z}", step(n).await?, z = noted(8));
        let t = format!("{0} {name} {x}", step(1).await?, x = text(2).await?);
        log(format!("{s}|{t}"));
        Ok(s + &t)
    }

    [matcher(3), matcher(9)]
    async fn matcher(n: u32) -> Result<bool, String> {
        let a = matches!(step(n).await, Ok(4));
        let b = matches!(text(n).await?.as_str(), "t3" | "t4");
        assert!(step(1).await? == 2, "bad {n}");
        assert_eq!(step(1).await?, 2);
        let k = dbg(step(3).await?);
        Ok(a && b && k == 4)
    }

    [scrutinee(3), scrutinee(10), scrutinee(4)]
    async fn scrutinee(n: u32) -> Result<u32, String> {
        let v = match text(n).await?.as_str() {
            "t3" => 1,
            s if s.len() > 2 => step(2).await?,
            other => other.len() as u32,
        };
        Ok(v)
    }

    [await_in_await(1), await_in_await(2)]
    async fn await_in_await(n: u32) -> Result<u32, String> {
        Ok(step(step(step(n).await?).await?).await? + step(maybe(n).await?.map_or(1, |x| x + n)).await?)
    }

    [no_result(4)]
    async fn no_result(n: u32) -> u32 {
        let mut t = 0;
        if let Ok(x) = step(n).await {
            t += x;
        }
        let y = step(t).await.unwrap_or(0);
        t + y
    }

    [tuple_index(2)]
    async fn tuple_index(n: u32) -> Result<u32, String> {
        let p = (step(n).await?, vec![step(1).await?, 5]);
        let q = p.1[step(0).await? as usize] + p.0;
        let r = pair(n).await?.left + pair(step(n).await?).await?.right.0;
        let neg = -i64::from(step(2).await?);
        Ok(q + r + (neg + 10) as u32 + (step(3).await? as u64 as u32))
    }

    [compound_deref(2)]
    async fn compound_deref(n: u32) -> Result<u32, String> {
        let mut b = Box::new(n);
        *b += step(1).await?;
        *b = step(*b).await?;
        let r = &mut *b;
        *r += 1;
        Ok(*b)
    }

    [try_opt(1), try_opt(2), try_opt(4)]
    async fn try_opt(n: u32) -> Option<u32> {
        let x = maybe(n).await.ok()??;
        let y = maybe(x + n).await.ok()?;
        Some(x + y?)
    }

    [tail_macro(1)]
    async fn tail_macro(n: u32) -> String {
        let a = step(n).await.unwrap_or(0);
        format!("{a}{}", text(a).await.unwrap_or_default())
    }

    [sleepy(3)]
    async fn sleepy(n: u32) -> u32 {
        sleep("1s").await;
        sleep("1s").await;
        n
    }

    [opt_chain(1)]
    async fn opt_chain(n: u32) -> Result<u32, String> {
        let h = Some(Holder {
            items: vec![n],
            name: "q".into(),
        });
        let l = h.as_ref().map(|h| h.items.len()).unwrap_or(0) as u32 + step(1).await?;
        if let Some(Holder { items, name }) = &h {
            log(format!("{name}{}", items.len()));
        }
        let b = h.is_some() && step(l).await? > 1;
        Ok(l + u32::from(b))
    }

    [assert_fmt(1)]
    async fn assert_fmt(n: u32) -> Result<u32, String> {
        let msg = "m".to_string();
        assert!(n < 100, "too big {msg} {}", n);
        let r = step(n).await?;
        debug_assert_eq!(r, n + 1, "{msg}");
        Ok(r)
    }

    [turbofish(3)]
    async fn turbofish(n: u32) -> Result<Vec<u32>, String> {
        let v = (0..step(n).await?)
            .map(|x| x + 1)
            .filter(|x| *x > 1)
            .collect::<Vec<_>>();
        let last = step(9).await?;
        let w = v.iter().copied().chain(std::iter::once(last)).collect();
        Ok(w)
    }

    [bool_ops(1), bool_ops(2)]
    async fn bool_ops(n: u32) -> Result<bool, String> {
        let a = n > 1 && step(n).await? > 2;
        let b = n > 1 || step(n).await? > 2;
        let c = (step(1).await? == 2) & (step(n).await? == 2);
        let d = step(1).await? == 1 || a && !(step(7).await? == 8) || c;
        Ok(a ^ b ^ d)
    }

    [fmt_named(1)]
    async fn fmt_named(n: u32) -> Result<String, String> {
        let x = text(n).await?;
        let y = step(n).await?;
        {
            let x = 4;
            step(x).await?;
            log(format!("{x} {x:?}"));
            log(format!("{x}", x = y));
        }
        Ok(format!("{x}{y}"))
    }

    [early_in_args(1), early_in_args(2), early_in_args(3)]
    async fn early_in_args(n: u32) -> Result<u32, String> {
        let v = vec![
            step(n).await?,
            match n {
                1 => return Ok(1),
                2 => 5,
                _ => step(2).await?,
            },
        ];
        Ok(v.iter().sum())
    }

    [string_build(2)]
    async fn string_build(n: u32) -> Result<String, String> {
        let mut s = String::new();
        for i in 0..n {
            s += &text(i).await?;
            s.push_str(&format!("-{}", step(i).await?));
            s = s.replace("t", "q") + &text(9).await?;
        }
        Ok(s)
    }

    [index_side(1)]
    async fn index_side(n: u32) -> Result<u32, String> {
        let mut v = vec![1u32, 2, 3];
        let mut i = 0usize;
        let r =
            v[i] + {
                i = 2;
                v[0] = 50;
                step(1).await?
            } + v[i];
        v[i] -= step(1).await?;
        let t = (v[0], step(2).await?, v[2]);
        Ok(r + t.0 + t.1 + t.2)
    }
}
