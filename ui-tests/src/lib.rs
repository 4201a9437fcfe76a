//! The programs stand in `pass` and `fail`; `tests/ui.rs` compiles them.
