//! Workflows in modules, with private types, raw identifiers, items inside of the body, and a registry of them.

use workflow_runtime::prelude::*;

use super::support::run;

mod billing {
    //! Everything in here is private to the crate.

    use serde::{Deserialize, Serialize};
    use workflow_runtime::{task, workflow};

    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Secret {
        cents: u64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) enum Failure {
        Declined,
    }

    #[task]
    async fn charge(secret: Secret) -> Result<Secret, Failure> {
        if secret.cents == 0 { Err(Failure::Declined) } else { Ok(secret) }
    }

    #[workflow]
    pub(crate) async fn bill(cents: u64) -> Result<u64, Failure> {
        let secret = Secret { cents };
        let charged = charge(secret.clone()).await?;
        let again = charge(charged).await?;
        Ok(again.cents + secret.cents)
    }

    pub(super) mod inner {
        use super::super::super::support;

        #[workflow_runtime::workflow(name = "inner")]
        pub(in super::super) async fn visible(n: u64) -> u64 {
            support::echo(n).await
        }
    }
}

/// Items inside of the body, and names that are keywords.
#[workflow]
pub async fn r#loop(r#type: u64) -> u64 {
    const STEP: u64 = 2;
    #[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
    struct Local {
        n: u64,
    }
    impl Local {
        fn next(self) -> Local {
            Local { n: self.n + STEP }
        }
    }
    fn twice(n: u64) -> u64 {
        n * 2
    }
    use super::support::echo as awaited;

    let r#match = Local { n: r#type };
    awaited(r#match.n).await;
    let r#fn = r#match.next();
    awaited(r#fn.n).await;
    for r#in in 0..2 {
        awaited(r#in).await;
    }
    twice(r#fn.n)
}

/// Names that generated code uses itself.
#[workflow]
pub async fn names(context: u64, input: u64, state: u64, operation: u64) -> u64 {
    use super::support::echo;
    let result = echo(context).await;
    let value = echo(input).await;
    let (saver, point, halt, witness, entry) = (1, 2, 3, 4, 5);
    echo(state).await;
    let output = echo(operation).await;
    result + value + saver + point + halt + witness + entry + output
}

workflows! {
    /// All of this program's workflows.
    pub App { billing::bill, billing::inner::visible, r#loop, names }
}

/// Runs them.
pub(crate) fn main() {
    assert!(matches!(run(billing::bill(2)), Ok(4)));
    assert!(matches!(run(billing::bill(0)), Err(billing::Failure::Declined)));
    assert_eq!(run(billing::inner::visible(3)), 3);
    assert_eq!(run(r#loop(3)), 10);
    assert_eq!(run(names(1, 2, 3, 4)), 1 + 2 + 15 + 4);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let engine = WorkflowEngine::<App>::builder().in_memory().build().await.expect("an engine");
        let first = engine.start(billing::bill(1)).await.expect("a start");
        let second = engine.start(names(1, 1, 1, 1)).await.expect("a start");
        assert!(matches!(first.result().await, Ok(Ok(2))));
        assert!(matches!(second.result().await, Ok(18)));
    });
}
