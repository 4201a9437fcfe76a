//! Every program in `fail` is refused, with the message that stands next to it.

#[test]
fn programs() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
