//! Branches, matches, early ends, and the joins behind them.

use crate::tasks::*;

both! {
    [if_let_else(1), if_let_else(2), if_let_else(3), if_let_else(4)]
    async fn if_let_else(n: u32) -> Result<u32, String> {
        let r = if let Some(x) = maybe(n).await? {
            step(x).await?
        } else if let Ok(y) = fail_at(n, 2).await {
            y
        } else {
            77
        };
        let Some(z) = maybe(r).await? else {
            let k = step(100).await?;
            return Ok(k);
        };
        Ok(z + r)
    }

    [chains(1), chains(2), chains(3), chains(4), chains(5), chains(6)]
    async fn chains(n: u32) -> Result<u32, String> {
        if let Some(x) = maybe(n).await?
            && x > 2
            && let Some(y) = maybe(x + n).await?
            && y != 100
        {
            return Ok(x + y);
        }
        if n > 1 && step(n).await? == 3 || step(n).await? == 6 {
            return Ok(1000);
        }
        if !(step(n).await? == 2) {
            return Ok(2000);
        }
        Ok(5)
    }

    [guards(1), guards(3), guards(7)]
    async fn guards(n: u32) -> Result<u32, String> {
        Ok(match step(n).await {
            Ok(x) if x > 5 => x,
            Ok(x @ 1..=3) => step(x).await? * 10,
            Ok(x) => {
                let y = step(x).await?;
                x + y
            }
            Err(_) => 0,
        })
    }

    [or_patterns(0), or_patterns(1), or_patterns(2)]
    async fn or_patterns(n: u32) -> Result<u32, String> {
        let k = kind(n).await?;
        Ok(match k {
            Kind::A(x) | Kind::B { x, .. } => step(x).await? + x,
            Kind::C => LIMIT,
        })
    }

    [return_inside(1), return_inside(3), return_inside(5)]
    async fn return_inside(n: u32) -> Result<u32, String> {
        let x = step(if n > 3 {
            return Err("early".into());
        } else {
            step(n).await?
        })
        .await?;
        let y = three(1, step(2).await?, if x > 4 { return Ok(55) } else { 3 });
        Ok(x + y)
    }

    [question_cond(0), question_cond(1), question_cond(2)]
    async fn question_cond(n: u32) -> Result<u32, String> {
        if check(n)? && step(n).await? > 2 {
            return Ok(1);
        }
        while check(n)? {
            if step(1).await? == 2 {
                break;
            }
        }
        Ok(0)
    }

    [diverging(1), diverging(2), diverging(3), diverging(4)]
    async fn diverging(n: u32) -> Result<u32, String> {
        let x = match fail_at(n, 3).await {
            Ok(v) => v,
            Err(_) => return Ok(999),
        };
        let y = match maybe(x).await? {
            Some(v) => v,
            None => {
                log("none");
                return Err("none".into());
            }
        };
        if y == 1000 {
            never()
        }
        if y == 2000 {
            never();
        }
        Ok(x + y)
    }

    [diverging_tail(1)]
    async fn diverging_tail(n: u32) -> Result<u32, String> {
        match step(n).await {
            Ok(v) => Ok(v),
            Err(_) => {
                never();
            }
        }
    }

    [borrow_between(0), borrow_between(1), borrow_between(2)]
    async fn borrow_between(n: u32) -> Result<u32, String> {
        let x = vec![n, 1];
        let r = &x;
        match n {
            0 => {}
            1 => {
                log("one");
            }
            _ => {
                step(n).await?;
                return Ok(0);
            }
        }
        let s: u32 = r.iter().sum();
        let b = step(s).await?;
        Ok(b + x.len() as u32)
    }

    [borrow_value(0), borrow_value(1), borrow_value(2)]
    async fn borrow_value(n: u32) -> Result<u32, String> {
        let x = vec![n, 1];
        let mut acc = Vec::new();
        let out = &mut acc;
        let r = match n {
            0 => &x[0],
            1 => {
                out.push(1);
                &x[1]
            }
            _ => {
                step(n).await?;
                return Ok(0);
            }
        };
        out.push(*r);
        let b = step(*r).await?;
        Ok(b + x.len() as u32 + acc.len() as u32)
    }

    [nested_joins(0), nested_joins(1), nested_joins(2), nested_joins(3), nested_joins(6), nested_joins(7), nested_joins(8)]
    async fn nested_joins(n: u32) -> Result<u32, String> {
        let s = String::from("hey");
        let r = s.as_str();
        let a = if n > 5 {
            if n > 7 {
                1
            } else if n == 6 {
                step(1).await?;
                return Ok(6);
            } else {
                2
            }
        } else {
            match n {
                0 => 3,
                1 => {
                    step(2).await?;
                    return Err("one".into());
                }
                2 => {
                    let q = r.len() as u32;
                    q
                }
                _ => 4,
            }
        };
        let l = r.len() as u32;
        step(a).await?;
        Ok(a + l)
    }

    [boxed(1), boxed(2)]
    async fn boxed(n: u32) -> Result<u32, String> {
        let f: Box<dyn Fn(u32) -> u32 + Send> = if n > 1 {
            Box::new(|x| x + 1)
        } else {
            if step(1).await? == 5 {
                return Ok(1);
            }
            Box::new(move |x| x + n)
        };
        let y = f(1);
        Ok(y + step(y).await?)
    }

    [statements(0), statements(1), statements(2), statements(5)]
    async fn statements(n: u32) -> Result<u32, String> {
        let mut x = n;
        if x > 1 {
            x += step(x).await?;
        } else {
            x += 1
        }
        match x {
            1 => {
                step(1).await?;
            }
            2 => (),
            _ => x = step(x).await?,
        }
        {
            x += 1;
        }
        unsafe_free(&mut x);
        (x, _) = (step(x).await?, 1);
        x = if x > 5 { x } else { step(x).await? };
        Ok(x)
    }

    [async_tail_if(0), async_tail_if(1), async_tail_if(2)]
    async fn async_tail_if(n: u32) -> Result<u32, String> {
        if n > 1 {
            step(n).await
        } else {
            match n {
                0 => fail_at(0, 0).await,
                _ => Ok(1),
            }
        }
    }

    [let_else_plain(None), let_else_plain(Some(1)), let_else_plain(Some(2))]
    async fn let_else_plain(v: Option<u32>) -> Result<u32, String> {
        let Some(x) = v else { return Err("none".into()) };
        let y = step(x).await?;
        let (Some(z), w) = (maybe(y).await?, y) else {
            return Ok(y);
        };
        Ok(x + z + w)
    }

    [let_else_label(0), let_else_label(1), let_else_label(2), let_else_label(4)]
    async fn let_else_label(n: u32) -> Result<u32, String> {
        let r = 'b: {
            let Some(k) = opt(n) else { break 'b 1 };
            let Some(q) = opt(k + 1) else { break 'b 2 };
            if q == 6 {
                step(1).await?;
                break 'b 3;
            }
            k + q
        };
        Ok(r + step(r).await?)
    }

    [cond_move(1), cond_move(2)]
    async fn cond_move(n: u32) -> Result<u32, String> {
        let s = text(n).await?;
        let t = if n > 1 {
            s
        } else {
            drop(s);
            text(9).await?
        };
        Ok(t.len() as u32)
    }

    [nested_match(0), nested_match(1), nested_match(2), nested_match(3)]
    async fn nested_match(n: u32) -> Result<u32, String> {
        Ok(match (maybe(n).await?, kind(n % 3).await?) {
            (Some(x), Kind::A(y)) => match step(x).await? {
                3 => y,
                z => z + step(y).await?,
            },
            (None, Kind::B { x, y }) if x == y => x,
            (_, k) => {
                let w = weigh(&k);
                step(w).await?
            }
        })
    }

    [match_move(Some("abc".into())), match_move(Some("a".into())), match_move(None)]
    async fn match_move(o: Option<String>) -> Result<String, String> {
        let o = o;
        match o {
            Some(s) if s.len() > 2 => {
                step(1).await?;
                Ok(s)
            }
            Some(s) => Ok(s + &text(1).await?),
            None => Ok(text(2).await?),
        }
    }

    [if_no_else_value(1), if_no_else_value(2), if_no_else_value(3)]
    async fn if_no_else_value(n: u32) -> Result<(), String> {
        if n > 1 {
            step(n).await?;
        }
        if let Some(x) = maybe(n).await? {
            log(format!("{x}"));
        }
        Ok(if n > 2 {
            log("big")
        })
    }

    [if_at_the_end(1), if_at_the_end(2), if_at_the_end(3)]
    async fn if_at_the_end(n: u32) -> () {
        {
            if n > 1 {
                log(format!("{:?}", step(n).await));
            }
        }
        let unit = {
            log("block");
            if let Ok(Some(x)) = maybe(n).await {
                log(format!("{x}"));
            }
        };
        if n < 3 {
            log(format!("{:?} {unit:?}", step(n).await));
            if n == 2 {
                step(5).await.unwrap();
            }
        }
    }

    [at_bind(1)]
    async fn at_bind(n: u32) -> Result<u32, String> {
        let v = vec![n, 2, 3];
        match v.as_slice() {
            [first, rest @ ..] if rest.len() == 2 => {
                let (f, r) = (*first, rest.len() as u32);
                let k = step(f).await?;
                Ok(k + r)
            }
            _ => Ok(0),
        }
    }
}
