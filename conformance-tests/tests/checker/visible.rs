//! What can be seen, and whether it should: `phantom`, `rejected-visible`, `needless-unknown`, by their words and edges.

use super::{fails, passes, rules};

#[test]
fn a_stranger_is_called_what_it_is() {
    for (line, words) in [
        ("5 ok 9.9", "an outcome of a message"),
        ("5 got 9.9 L1 c1", "a delivery of a message"),
        ("5 dead 9.9 q rejected", "a dead letter of a message"),
        ("5 left 9.9 q", "a message that is held of a message"),
    ] {
        let told = fails("phantom", &rules(), &format!("0 sub c1 q\n{line}\n90 end q\n90 end q.dead"));
        assert!(told.contains(words), "{line}: {told}");
    }
}

#[test]
fn at_the_moment_of_its_publish_a_message_may_be_there() {
    let history = |at: &str| format!("0 sub c1 q\n3 pub 1.0\n{at} got 1.0 L1 c1\n4 ok 1.0\n5 ack L1\n90 end q");
    passes(&rules(), &history("3"));
    fails("phantom", &rules(), &history("2.9"));
}

#[test]
fn a_rejected_message_of_which_is_told_was_not_seen() {
    let history = |more: &str| {
        format!("0 sub c1 t/one\n0 sub c2 t/two\n1 pub 1.0 to=t\n2 fail 1.0\n{more}\n9 end t/one\n9 end t/two")
    };
    passes(&rules(), &history("3 spilled 1.0 t/two"));
    // Where, is told.
    let told = fails("rejected-visible", &rules(), &history("3 left 1.0 t/two"));
    assert!(told.contains("1.0 was rejected, and t/two has it"), "{told}");
}

#[test]
fn a_publisher_hurt_as_it_publishes_may_not_know() {
    let history = |at: &str| format!("0 sub c1 q\n{at} cut p1\n5 pub 1.0\n6 unknown 1.0\n90 end q");
    passes(&rules(), &history("5"));
    fails("needless-unknown", &rules(), &history("4.9"));
}
