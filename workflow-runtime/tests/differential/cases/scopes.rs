//! Names, scopes, drops, and when variables get their values.

use crate::tasks::*;

both! {
    [ref_patterns(3)]
    async fn ref_patterns(n: u32) -> Result<u32, String> {
        let mut h = Holder {
            items: vec![n],
            name: "x".into(),
        };
        let Holder {
            ref mut items,
            ref name,
        } = h;
        items.push(name.len() as u32);
        let a = step(n).await?;
        h.items.push(a);
        match &mut h {
            Holder { items, .. } if items.len() > 1 => {
                items.push(5);
            }
            _ => {}
        }
        let b = step(1).await?;
        Ok(h.items.iter().sum::<u32>() + b)
    }

    [shadow(2), shadow(3)]
    async fn shadow(n: u32) -> Result<u32, String> {
        let x = step(n).await?;
        let y = {
            let x = step(x + 10).await?;
            let x = x * 2;
            step(x).await? + x
        };
        {
            let x = 5;
            step(x).await?;
        }
        let x = x + y;
        if n > 2 {
            let x = step(1).await?;
            log(format!("{x}"));
        }
        let z = {
            let n = 1;
            step(n).await?
        };
        Ok(x + n + z)
    }

    [shadow_arm(Some(3)), shadow_arm(None)]
    async fn shadow_arm(x: Option<u32>) -> Result<u32, String> {
        let r = match x {
            Some(x) => step(x).await?,
            None => 0,
        };
        let s = if let Some(x) = x { step(x).await? + x } else { 1 };
        Ok(r + s + x.unwrap_or(9))
    }

    [deferred(1), deferred(4)]
    async fn deferred(n: u32) -> Result<u32, String> {
        let x;
        let y: u32;
        if n > 2 {
            x = step(n).await?;
            y = 1;
        } else {
            x = 5;
            y = step(2).await?;
        }
        let z;
        z = step(x).await?;
        Ok(x * 100 + y * 10 + z)
    }

    [underscore(1, String::new())]
    async fn underscore(_n: u32, _: String) -> Result<u32, String> {
        let _ = step(1).await;
        let _ = text(2).await?;
        let _unused = step(3).await?;
        let (_, b) = (step(4).await?, 2);
        step(5).await?;
        let _ = noted(6);
        Ok(b)
    }

    [items_inside(3)]
    async fn items_inside(n: u32) -> Result<u32, String> {
        const K: u32 = 7;
        use std::collections::BTreeMap as Map;
        fn helper(x: u32) -> u32 {
            x * 2
        }
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Local {
            v: u32,
        }
        let mut m = Map::new();
        m.insert(1u32, Local { v: step(n).await? });
        let k = step(helper(K)).await?;
        Ok(m[&1].v + k)
    }

    [destructured(1, (2, 3), Pair { left: 4, right: (5, 6) })]
    async fn destructured(
        mut a: u32,
        (b, mut c): (u32, u32),
        Pair { left, right: (r, _) }: Pair,
    ) -> Result<u32, String> {
        a += step(b).await?;
        c += a;
        let d = step(c).await?;
        Ok(a + b * 10 + c * 100 + d + left + r)
    }

    [raw(1)]
    async fn raw(r#type: u32) -> Result<u32, String> {
        let r#fn = step(r#type).await?;
        let r#loop = step(r#fn).await?;
        log(format!("{type} {fn}", type = r#type, fn = r#fn));
        Ok(r#fn + r#loop + r#type)
    }

    [name_clash(3)]
    async fn name_clash(n: u32) -> Result<u32, String> {
        let noted = noted(n);
        let k = step(noted).await?;
        let step = step(k).await?;
        {
            let three = 3;
            text(three).await?;
        }
        {
            let r = maybe(1).await?;
            let add_to = 4;
            log(format!("{r:?}{add_to}"));
        }
        let mut q = 1;
        let s = three(1, 2, 3) + add_to(&mut q, 2);
        text(s).await?;
        Ok(noted + step + k)
    }

    [closure_use(2)]
    async fn closure_use(n: u32) -> Result<u32, String> {
        let base = step(n).await?;
        let f = |x: u32| x + base;
        let y = f(2);
        let z = step(y).await?;
        let v: Vec<u32> = (0..z).map(|i| i * base).collect();
        let q = step(v.len() as u32).await?;
        Ok(v.iter().sum::<u32>() + q)
    }

    [moved(1), moved(3)]
    async fn moved(n: u32) -> Result<String, String> {
        let a = text(n).await?;
        let b = a;
        let c = text(1).await?;
        let mut s = b + &c;
        loop {
            let t = s;
            s = text(2).await?;
            if t.len() > 3 {
                s = t + &s;
                break;
            }
        }
        if n > 2 {
            drop(s);
            return Ok("dropped".into());
        }
        Ok(s)
    }

    [block_value(1), block_value(2)]
    async fn block_value(n: u32) -> Result<u32, String> {
        let b = {
            let t = step(n).await?;
            let u = t + 1;
            u * 2
        };
        let c: Option<u32> = { maybe(b).await? };
        let d = {
            step(1).await?;
        };
        let () = d;
        Ok(b + c.unwrap_or(1))
    }

    [infer(1), infer(2)]
    async fn infer(n: u32) -> Result<usize, String> {
        let mut v = Vec::new();
        let mut m = std::collections::BTreeMap::new();
        let mut o = None;
        let parsed = "12".parse().unwrap_or_default();
        if n > 1 {
            step(1).await?;
        }
        v.push(step(n).await?);
        m.insert(1u8, v.len());
        step(parsed).await?;
        o.get_or_insert(text(1).await?);
        Ok(v.len() + m.len() + o.map_or(0, |s| s.len()))
    }

    [guard_scope(2)]
    async fn guard_scope(n: u32) -> Result<u32, String> {
        let _g = Noted("g".into());
        let a = step(n).await?;
        {
            let _h = Noted("h".into());
            step(a).await?;
            log("in");
        }
        log("out");
        step(1).await?;
        Ok(a)
    }

    [shadow_unresolved(0), shadow_unresolved(1)]
    async fn shadow_unresolved(n: u32) -> Result<u32, String> {
        if n > 0 {
            let noted = step(n).await?;
            log(format!("{noted}"));
        }
        let a = noted(3);
        {
            step(1).await?;
            let text = 1;
            log(format!("{text}"))
        }
        text(a).await?;
        Ok(a)
    }

    [allow_stmt(1), allow_stmt(2)]
    async fn allow_stmt(n: u32) -> Result<u32, String> {
        #[allow(unused_variables)]
        let q = step(n).await?;
        #[allow(clippy::all)]
        {
            step(1).await?;
        }
        #[cfg(any())]
        step(100).await?;
        #[cfg(any())]
        {
            undefined!()
        }
        #[cfg(all())]
        step(5).await?;
        let k = match n {
            #[cfg(any())]
            1 => nope,
            #[cfg(all())]
            1 => step(1).await?,
            _ => 3,
        };
        Ok(k)
    }

    [let_mut_pat(1)]
    async fn let_mut_pat(n: u32) -> Result<u32, String> {
        let (mut a, b) = pair2(n).await?;
        a += b;
        let c = step(a).await?;
        let Pair {
            mut left,
            right: (x, _),
        } = pair(c).await?;
        left += x;
        step(left).await
    }

    [dead_stores(1, "a".into()), dead_stores(2, "b".into()), dead_stores(3, "c".into())]
    async fn dead_stores(n: u32, mut a: String) -> Result<u32, String> {
        let mut b = step(n).await?;
        let mut c: Option<Vec<u32>> = Some(vec![b]);
        let mut d = String::new();
        match step(b).await? {
            3 => {
                a = format!("i{n}");
            }
            4 => b = step(1).await?,
            _ if n > 2 => {
                d = String::from("d");
                return Ok(n);
            }
            _ => {}
        }
        if n > 1 {
            c = None;
        }
        for i in 0..n {
            a = format!("{i}");
        }
        step(5).await?;
        c = None;
        let set = |to: &str| d = to.into();
        Ok(n)
    }

    [dead_stores_of_inner_names(1), dead_stores_of_inner_names(2)]
    async fn dead_stores_of_inner_names(n: u32) -> Result<u32, String> {
        let mut a = 1;
        {
            let mut a = step(n).await?;
            let b = step(a).await?;
            if b > 3 {
                a = 7;
            }
        }
        if n > 1 {
            a += step(a).await?;
        }
        let mut m = a;
        let m = step(m).await?;
        Ok(a + m)
    }

    [deferred_box(1), deferred_box(2)]
    async fn deferred_box(n: u32) -> Result<u32, String> {
        let b: Box<u32>;
        let v: u64;
        if n > 1 {
            b = Box::new(step(n).await?);
            v = 1;
        } else {
            b = Box::new(7);
            v = 2;
        }
        step(1).await?;
        Ok(*b + v as u32)
    }

    [cond_drop(1), cond_drop(2)]
    async fn cond_drop(n: u32) -> Result<u32, String> {
        let g = Noted("g".into());
        if n > 1 {
            drop(g);
            step(1).await?;
        } else {
            step(2).await?;
            drop(g);
        }
        step(3).await?;
        Ok(n)
    }
}
