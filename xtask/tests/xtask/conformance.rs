//! The command line of `cargo xtask conformance`: mistakes get an answer that helps.

use std::process::Command;

fn refused(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("conformance").args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?} was accepted");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_unknown_transport_is_answered_with_those_there_are() {
    let text = refused(&["--transport", "memroy"]);
    assert!(text.contains("there is no transport `memroy`") && text.contains("memory"), "{text}");
}

#[test]
fn an_unknown_broker_is_answered_with_those_there_are() {
    let text = refused(&["--broker", "rabbit"]);
    assert!(text.contains("no transport here runs on the broker `rabbit`") && text.contains("redis-old"), "{text}");
}
