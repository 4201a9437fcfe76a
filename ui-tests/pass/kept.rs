//! What may live across an await, and what need not be stored because it ends before.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Mutex;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use workflow_runtime::prelude::*;

use super::support::{echo, length, run};

/// Generic and recursive data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub enum Tree<T> {
    /// An end.
    Leaf(T),
    /// Two parts.
    Node(Box<Tree<T>>, Box<Tree<T>>),
}

static TOTAL: Mutex<u64> = Mutex::new(0);

/// Maps, options, results, generics, boxes, unit, floats, text, nested.
#[workflow]
pub async fn stored(n: u64) -> f64 {
    let mut map: HashMap<String, Vec<Option<u64>>> = HashMap::new();
    let tree = Tree::Node(Box::new(Tree::Leaf(n)), Box::new(Tree::Leaf(n + 1)));
    let result: Result<u8, String> = "7".parse().map_err(|error: std::num::ParseIntError| error.to_string());
    let unit = ();
    let (float, letter, bytes) = (1.5, 'x', [1_u8, 2]);
    let late;
    let collected: Vec<_> = (0..n).collect();
    let parsed = "12".parse().unwrap_or_default();
    map.insert("a".to_owned(), vec![Some(echo(n).await), None]);
    late = echo(parsed).await;
    echo(map["a"].len() as u64).await;
    let () = unit;
    let depth = match &tree {
        Tree::Leaf(_) => 0,
        Tree::Node(..) => 1,
    };
    echo(depth).await;
    let Tree::Node(left, _) = tree else { unreachable!() };
    float
        + f64::from(letter as u32)
        + f64::from(bytes[1])
        + f64::from(result.unwrap_or_default())
        + (late + collected.len() as u64 + u64::from(*left == Tree::Leaf(n))) as f64
}

/// Guards, references, closures and `Rc`s that end before the await, or are only mentioned on its way.
#[workflow]
pub async fn ends_before(name: String, numbers: Vec<u64>) -> u64 {
    let total = {
        let mut total = TOTAL.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *total += 1;
        *total
    };
    let shared = Rc::new(numbers.len() as u64);
    let count = *shared;
    drop(shared);
    let trimmed = name.trim();
    let size = length(trimmed).await as u64;
    let first = numbers.first();
    let got = echo(first.copied().unwrap_or(0)).await;
    let double = |n: u64| n * 2;
    let doubled = echo(double(got)).await;
    let again = name.trim();
    if size > 100 {
        return length(again).await as u64;
    }
    doubled + count + u64::from(total > 0) + size
}

/// A variable is moved before an await on one path only.
#[workflow]
pub async fn moved(flag: bool, text: String) -> usize {
    let owned = text;
    if flag {
        let taken = owned;
        echo(1).await;
        return taken.len();
    }
    echo(2).await;
    owned.len() + 1
}

/// Runs them.
pub(crate) fn main() {
    assert!((run(stored(2)) - (1.5 + 120.0 + 2.0 + 7.0 + 12.0 + 2.0 + 1.0)).abs() < 1e-9);
    assert_eq!(run(ends_before(" ab ".into(), vec![5, 6])), 10 + 2 + 1 + 2);
    assert_eq!([true, false].map(|flag| run(moved(flag, "abc".into()))), [3, 4]);
}
