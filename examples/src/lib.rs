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

documentation! {
    readme = "../../README.md";
}
