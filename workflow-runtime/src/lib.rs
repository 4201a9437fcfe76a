//! Durable workflows for Rust: the store that they are kept in.

pub mod store;
