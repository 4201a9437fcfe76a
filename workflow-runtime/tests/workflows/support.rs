//! Tasks, types and the `twin!` macro: one body, compiled as a workflow and as a plain async function.
#![allow(dead_code, missing_docs, unreachable_pub, unused_braces)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
pub use workflow_runtime::testing::CrashEverywhere;
use workflow_runtime::testing::{CrashReport, EffectLog, crash_everywhere};
use workflow_runtime::{Signal, Workflow, WorkflowCall};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    Dot,
    Line(i64),
    Rect { w: i64, h: i64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pt {
    pub x: i64,
    pub label: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note(pub i64);

impl Signal for Note {
    const NAME: &'static str = "note";
}

/// Keeps texts from growing without bounds.
pub fn short(text: String) -> String {
    text.chars().take(12).collect()
}

thread_local! {
    static PLAIN_LOG: EffectLog = EffectLog::new();
    static PLAIN_NOTES: RefCell<VecDeque<Note>> = RefCell::default();
}

/// Defines each function twice: as a task that writes its effect into the engine's log, and in `plain` as an async
/// function that writes into the thread's log.
macro_rules! tasks {
    ($(async fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty $body:block)*) => {
        pub mod durable {
            use super::*;
            pub use workflow_runtime::prelude::*;
            $(
                #[task]
                pub async fn $name(context: &TaskContext, State(log): State<EffectLog>, $($arg: $ty),*) -> $out {
                    log.record(context, format!("{}{:?}", stringify!($name), ($(&$arg,)*)));
                    $body
                }
            )*
            #[task]
            pub async fn length(context: &TaskContext, State(log): State<EffectLog>, text: &str) -> i64 {
                log.record(context, format!("length{text:?}"));
                text.len() as i64
            }
            #[task]
            pub async fn sum_of(context: &TaskContext, State(log): State<EffectLog>, numbers: &[i64]) -> i64 {
                log.record(context, format!("sum_of{numbers:?}"));
                numbers.iter().sum::<i64>() % 997
            }
        }
        pub mod plain {
            use super::*;
            $(
                pub async fn $name($($arg: $ty),*) -> $out {
                    PLAIN_LOG.with(|log| log.note(format!("{}{:?}", stringify!($name), ($(&$arg,)*))));
                    $body
                }
            )*
            pub async fn length(text: &str) -> i64 {
                PLAIN_LOG.with(|log| log.note(format!("length{text:?}")));
                text.len() as i64
            }
            pub async fn sum_of(numbers: &[i64]) -> i64 {
                PLAIN_LOG.with(|log| log.note(format!("sum_of{numbers:?}")));
                numbers.iter().sum::<i64>() % 997
            }
            pub async fn sleep(_: &str) {}
            // For the random programs.
            #[allow(unused_imports, reason = "the programs of this crate use none")]
            pub use tokio::join;
            pub trait Timeout: Future + Sized {
                fn timeout(self, _: &str) -> impl Future<Output = Result<Self::Output, ()>> {
                    async { Ok(self.await) }
                }
            }
            impl<F: Future> Timeout for F {}
            pub async fn receive<S: From<Note>>() -> S {
                PLAIN_NOTES.with(|notes| notes.borrow_mut().pop_front().expect("a note")).into()
            }
        }
    };
}

tasks! {
    async fn inc(n: i64) -> i64 { let next = n + 1; next % 1000 }
    async fn add(a: i64, b: i64) -> i64 { (a % 1000 + b % 1000) % 1000 }
    async fn even(n: i64) -> bool { n % 2 == 0 }
    async fn flag(b: bool) -> bool { !b }
    async fn name(n: i64) -> String { format!("n{}", n % 5) }
    async fn join(a: String, b: String) -> String { short(a + &b) }
    async fn list(n: i64) -> Vec<i64> { (0..n.rem_euclid(4)).map(|i| i * n % 100).collect() }
    async fn total(v: Vec<i64>) -> i64 { v.iter().sum::<i64>() % 997 }
    async fn find(n: i64) -> Option<i64> { (n % 3 != 0).then_some(n % 100) }
    async fn draw(n: i64) -> Shape {
        match n.rem_euclid(3) { 0 => Shape::Dot, 1 => Shape::Line(n % 50), _ => Shape::Rect { w: n % 10, h: 2 } }
    }
    async fn point(x: i64, label: String) -> Pt { Pt { x: x % 100, label: short(label) } }
    async fn area(shape: Shape) -> i64 {
        match shape { Shape::Dot => 0, Shape::Line(n) => n % 100, Shape::Rect { w, h } => (w % 100) * (h % 100) }
    }
    async fn check(n: i64) -> Result<i64, String> {
        if n.rem_euclid(7) == 3 { Err(format!("bad {n}")) } else { Ok(n % 100) }
    }
    async fn unit(n: i64) -> () { let _ = n; }
}

/// How a plain function is run.
pub type Twin<T> = Pin<Box<dyn Future<Output = T>>>;

/// Compares a workflow, crashed everywhere, with its plain twin.
pub async fn compare<W>(
    call: fn() -> WorkflowCall<W>,
    twin: fn() -> Twin<W::Output>,
    notes: &[i64],
    send: fn(CrashEverywhere<W, W>, Note) -> CrashEverywhere<W, W>,
    places: usize,
) -> Result<CrashReport<W::Output>, String>
where
    W: Workflow,
    W::Output: PartialEq + Debug,
{
    PLAIN_LOG.with(EffectLog::clear);
    PLAIN_NOTES.with(|queue| *queue.borrow_mut() = notes.iter().copied().map(Note).collect());
    let expected = twin().await;
    let effects = PLAIN_LOG.with(EffectLog::texts);
    let log = EffectLog::new();
    let kit = || {
        let kit = crash_everywhere::<W, W>(call).effects(&log).at_most(places);
        notes.iter().fold(kit, |kit, note| {
            send(kit, Note(*note)).pause(std::time::Duration::from_millis(1))
        })
    };
    let report = kit().check().await.map_err(|mismatch| mismatch.to_string())?;
    let mut reports = vec![
        kit()
            .evicting()
            .at_most(places.min(24))
            .check()
            .await
            .map_err(|mismatch| mismatch.to_string())?,
    ];
    if report.commits() <= 5 {
        reports.push(
            kit()
                .twice()
                .check()
                .await
                .map_err(|mismatch| mismatch.to_string())?,
        );
    }
    reports.push(report);
    for report in &reports {
        if report.result() != Some(&expected) {
            return Err(format!(
                "the workflow gives\n  {:?}, its plain twin\n  {expected:?}",
                report.result()
            ));
        }
        if report.effects() != effects {
            return Err(format!(
                "the workflow's effects\n  {:?}, its twin's\n  {effects:?}",
                report.effects()
            ));
        }
    }
    reports.pop().ok_or_else(|| "no report".to_owned())
}

/// `twin! { async fn name(parameters) -> Output { body } name(arguments) }` makes a module with the workflow, the plain
/// function, and a check that they do the same.
#[allow(unused_macros)]
macro_rules! twin {
    (
        async fn $name:ident($($params:tt)*) -> $out:ty { $($body:tt)* }
        $call:ident($($args:expr),*)
        $(signals $notes:expr)?
    ) => {
        #[allow(warnings, clippy::all, clippy::pedantic)]
        pub mod $name {
            #[cfg(not(twins_only))]
            pub mod workflow {
                use crate::support::{*, durable::*};
                #[workflow]
                pub async fn $name($($params)*) -> $out { $($body)* }
            }
            pub mod function {
                use crate::support::{*, plain::*};
                pub async fn $name($($params)*) -> $out { $($body)* }
                pub fn twin() -> crate::support::Twin<$out> { Box::pin($call($($args),*)) }
            }
            #[cfg(not(twins_only))]
            pub async fn check(places: usize) -> Result<(), String> {
                use crate::support::*;
                let notes: &[i64] = &[];
                let send: fn(CrashEverywhere<workflow::$name, workflow::$name>, Note) -> _ = |kit, _| kit;
                $(
                    let notes: &[i64] = &$notes;
                    let send: fn(CrashEverywhere<workflow::$name, workflow::$name>, Note) -> _ = |kit, note| kit.signal(note);
                )?
                crate::support::compare(|| workflow::$call($($args),*), function::twin, notes, send, places).await?;
                Ok(())
            }
            #[cfg(not(twins_only))]
            #[tokio::test(start_paused = true)]
            async fn twins_agree() {
                if let Err(difference) = check(usize::MAX).await {
                    panic!("{difference}");
                }
            }
        }
    };
}

/// Runs one check of many in one process, on a thread of its own, and prints how it ended.
pub fn report(name: &str, check: fn() -> Twin<Result<(), String>>) {
    let run = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(check())
    };
    let outcome = match std::thread::spawn(run).join() {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(difference)) => difference,
        Err(panic) => match panic.downcast_ref::<String>() {
            Some(message) => format!("it panicked: {message}"),
            None => "it panicked".to_owned(),
        },
    };
    println!("<<<{name}\n{outcome}\n>>>");
}
