//! Tasks, types and functions that the cases use.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
pub use workflow_runtime::sleep;
use workflow_runtime::task;
pub const LIMIT: u32 = 5;
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Num(pub u32);
impl Num {
    pub fn bump(&mut self) {
        self.0 += 1;
        log("bump");
    }
}
pub fn num(n: Num) -> u32 {
    log("num");
    n.0
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub items: Vec<u32>,
    pub name: String,
}
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trio {
    pub a: u32,
    pub b: String,
    pub c: u32,
}
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pair {
    pub left: u32,
    pub right: (u32, u32),
}
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Kind {
    A(u32),
    B { x: u32, y: u32 },
    C,
}
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Noted(pub String);
impl Drop for Noted {
    fn drop(&mut self) {
        log(format!("drop {}", self.0))
    }
}
pub fn noted(n: u32) -> u32 {
    log(format!("noted {n}"));
    n
}
pub fn three(a: u32, b: u32, c: u32) -> u32 {
    a * 100 + b * 10 + c
}
pub fn add_to(x: &mut u32, y: u32) -> u32 {
    *x += y;
    *x
}
pub fn unsafe_free(x: &mut u32) {
    *x += 1
}
pub fn check(n: u32) -> Result<bool, String> {
    if n == 0 { Err("zero".into()) } else { Ok(n > 1) }
}
pub fn never() -> ! {
    panic!("never")
}
pub fn opt(n: u32) -> Option<u32> {
    (!n.is_multiple_of(3)).then_some(n)
}
pub fn weigh(k: &Kind) -> u32 {
    match k {
        Kind::A(x) => *x,
        Kind::B { x, y } => x + y,
        Kind::C => 9,
    }
}
pub fn dbg(n: u32) -> u32 {
    n
}
#[task]
pub async fn step(n: u32) -> Result<u32, String> {
    log(format!("step {n}"));
    Ok(n + 1)
}
#[task]
pub async fn fail_at(n: u32, at: u32) -> Result<u32, String> {
    log(format!("fail_at {n} {at}"));
    if n == at { Err("at".into()) } else { Ok(n) }
}
#[task]
pub async fn text(n: u32) -> Result<String, String> {
    log(format!("text {n}"));
    Ok(format!("t{n}"))
}
#[task]
pub async fn maybe(n: u32) -> Result<Option<u32>, String> {
    log(format!("maybe {n}"));
    Ok(n.is_multiple_of(2).then_some(n + 3))
}
#[task]
pub async fn kind(n: u32) -> Result<Kind, String> {
    log(format!("kind {n}"));
    Ok(match n {
        0 => Kind::A(1),
        1 => Kind::B { x: 2, y: 2 },
        _ => Kind::C,
    })
}
#[task]
pub async fn trio(n: u32) -> Result<Trio, String> {
    log(format!("trio {n}"));
    Ok(Trio {
        a: n,
        b: "q".into(),
        c: 1,
    })
}
#[task]
pub async fn pair(n: u32) -> Result<Pair, String> {
    log(format!("pair {n}"));
    Ok(Pair {
        left: n,
        right: (n, 2),
    })
}
#[task]
pub async fn pair2(n: u32) -> Result<(u32, u32), String> {
    log(format!("pair2 {n}"));
    Ok((n, 2))
}
/// Without an effect.
#[task]
pub async fn calm(n: u32) -> u32 {
    n * 2
}
/// Without an effect.
#[task]
pub async fn odd(n: u32) -> Result<u32, String> {
    if n % 2 == 1 {
        Ok(n / 2 + 1)
    } else {
        Err(format!("{n} is even"))
    }
}

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes an effect.
pub fn log(effect: impl Into<String>) {
    LOG.with_borrow_mut(|log| log.push(effect.into()));
}

pub fn take_log() -> Vec<String> {
    LOG.take()
}
