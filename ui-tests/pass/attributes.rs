//! Attributes on functions, statements, arms and arguments; documentation; names of points.

use workflow_runtime::Workflow;
use workflow_runtime::prelude::*;

use super::support::{echo, run};

/// Documented, with a name of its own.
///
/// A second paragraph.
#[workflow(name = "attributes/all")]
#[allow(clippy::too_many_lines, reason = "it is short")]
#[must_use]
#[doc(alias = "everything")]
pub async fn all(n: u64, #[allow(unused_mut)] mut extra: u64) -> u64 {
    #[allow(unused_variables)]
    let unused = echo(n).await;
    #[cfg(any())]
    let missing = does_not_exist();
    #[cfg(not(any()))]
    {
        extra += 0;
    }
    #[cfg(any())]
    let there = does_not_exist().await;
    #[cfg(not(any()))]
    let there = echo(extra).await;
    #[allow(clippy::let_and_return)]
    let sum = {
        let sum = n + there;
        sum
    };
    match sum {
        #[cfg(any())]
        0 => does_not_exist().await,
        #[allow(unreachable_patterns)]
        1 | 1 => echo(1).await,
        other => other,
    }
}

/// Named points.
#[workflow]
pub async fn points(n: u64) -> u64 {
    #[point("first")]
    let a = echo(n).await;
    #[point("second")]
    echo(a).await;
    let mut sum = a;
    #[point("third")]
    sum += echo(1).await;
    #[point("fourth")]
    if echo(sum).await > 100 {
        return 0;
    }
    for i in 0..2 {
        #[point("each")]
        let got = echo(i).await;
        sum += got;
    }
    echo(sum).await;
    #[point("last")]
    echo(sum).await
}

#[deprecated = "use something else"]
#[workflow]
async fn old(n: u64) -> u64 {
    echo(n).await
}

#[cfg(any())]
#[workflow]
async fn never(n: u64) -> u64 {
    does_not_exist(n).await
}

/// Runs them.
pub(crate) fn main() {
    assert_eq!(run(all(1, 2)), 3);
    assert_eq!(run(points(1)), 3);
    assert_eq!(all::NAME, "attributes/all");
    assert_eq!(points::POINTS, ["first", "second", "third", "fourth", "each", "echo", "last"]);
    #[allow(deprecated)]
    let output = run(old(1));
    assert_eq!(output, 1);
}
