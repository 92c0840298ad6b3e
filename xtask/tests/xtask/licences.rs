//! Which licence expressions suit ours.

use xtask::licences::{clients_in, suits};

#[test]
fn expressions_that_can_be_met() {
    for good in [
        "MIT",
        "MIT OR Apache-2.0",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        "MIT AND BSD-3-Clause",
    ] {
        assert!(suits(good), "{good}");
    }
}

#[test]
fn expressions_that_cannot_be_met() {
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Apache-2.0) AND MPL-2.0",
        "GPL-2.0 WITH Classpath-exception-2.0",
        "(MIT",
        "MIT Apache-2.0",
    ] {
        assert!(!suits(bad), "{bad}");
    }
}

#[test]
fn broker_clients_are_found_by_whole_name() {
    let tree = "pontoon v0.1.0 (/x)\nredis v1.0.0\nredis-protocol v6.0.0\nlapin-lookalike v1.0.0";
    assert_eq!(clients_in(tree), ["redis"]);
    assert!(clients_in("pontoon v0.1.0\ntokio v1.54.0 (*)").is_empty());
}
