//! What the compiler says about a wrong handler is part of the interface: each message is kept beside the code that
//! causes it. After a change on purpose, `TRYBUILD=overwrite cargo test --test ui` writes them anew.

#[test]
fn wrong_handlers_are_told_what_is_wrong() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
