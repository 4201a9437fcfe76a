//! Programs that show the workflow system at work, one per idea, on real input.
//!
//! `cargo run -p examples --bin data-processing -- --help` is the first one. This library holds no code: it makes the
//! code blocks of the documentation tests, so that none of them can go stale.

/// Makes the code blocks of a file of the documentation tests.
macro_rules! documentation {
    ($($name:ident = $path:literal;)*) => { $(
        #[cfg(doctest)]
        #[doc = include_str!($path)]
        mod $name {}
    )* };
}

#[cfg(all(doctest, feature = "tikv"))]
#[doc = include_str!("../../docs/guide/10-tikv.md")]
mod guide_tikv {}

documentation! {
    readme = "../../README.md";
    guide_getting_started = "../../docs/guide/01-getting-started.md";
    guide_tasks = "../../docs/guide/02-tasks.md";
    guide_workflows = "../../docs/guide/03-workflows.md";
    guide_starting = "../../docs/guide/04-starting.md";
    guide_failures = "../../docs/guide/05-failures.md";
    guide_testing = "../../docs/guide/06-testing.md";
    guide_messages = "../../docs/guide/08-messages.md";
    guide_operations = "../../docs/guide/07-operations.md";
    guide_concurrency = "../../docs/guide/09-concurrency.md";
    guide_cluster = "../../docs/guide/11-cluster.md";
    w0001 = "../../docs/errors/W0001.md";
    w0002 = "../../docs/errors/W0002.md";
    w0003 = "../../docs/errors/W0003.md";
    w0004 = "../../docs/errors/W0004.md";
    w0005 = "../../docs/errors/W0005.md";
    w0006 = "../../docs/errors/W0006.md";
    w0007 = "../../docs/errors/W0007.md";
    w0008 = "../../docs/errors/W0008.md";
    w0009 = "../../docs/errors/W0009.md";
    w0010 = "../../docs/errors/W0010.md";
    w0011 = "../../docs/errors/W0011.md";
    w0012 = "../../docs/errors/W0012.md";
    w0013 = "../../docs/errors/W0013.md";
    w0014 = "../../docs/errors/W0014.md";
    w0015 = "../../docs/errors/W0015.md";
    w0016 = "../../docs/errors/W0016.md";
    w0017 = "../../docs/errors/W0017.md";
    w0018 = "../../docs/errors/W0018.md";
    w0019 = "../../docs/errors/W0019.md";
    w0020 = "../../docs/errors/W0020.md";
    w0021 = "../../docs/errors/W0021.md";
    w0022 = "../../docs/errors/W0022.md";
    w0023 = "../../docs/errors/W0023.md";
    w0024 = "../../docs/errors/W0024.md";
    w0025 = "../../docs/errors/W0025.md";
    w0026 = "../../docs/errors/W0026.md";
    w0027 = "../../docs/errors/W0027.md";
    w0028 = "../../docs/errors/W0028.md";
    w0030 = "../../docs/errors/W0030.md";
    w0031 = "../../docs/errors/W0031.md";
    w0032 = "../../docs/errors/W0032.md";
    w0033 = "../../docs/errors/W0033.md";
    w0034 = "../../docs/errors/W0034.md";
    w0035 = "../../docs/errors/W0035.md";
    w0036 = "../../docs/errors/W0036.md";
    w0050 = "../../docs/errors/W0050.md";
    w0051 = "../../docs/errors/W0051.md";
    w0052 = "../../docs/errors/W0052.md";
    w0053 = "../../docs/errors/W0053.md";
    w0054 = "../../docs/errors/W0054.md";
    w0055 = "../../docs/errors/W0055.md";
    w0056 = "../../docs/errors/W0056.md";
    w0057 = "../../docs/errors/W0057.md";
}
