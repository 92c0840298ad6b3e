//! `corrupt`, `header-loss`, `cross-subscription`.

use super::{Fact, fails, passes, rules};

fn delivered(how: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0 key=a
        2 ok 1.0
        3 got 1.0 L1 c1 {how}
        4 ack L1
        9 end q"
    )
}

fn dead(how: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0 key=a
        2 ok 1.0
        3 got 1.0 L1 c1
        4 reject L1
        5 dead 1.0 q rejected {how}
        9 end q
        9 end q.dead"
    )
}

#[test]
fn another_body_or_key_or_id() {
    passes(&rules(), &delivered(""));
    fails("corrupt", &rules(), &delivered("body=other"));
    fails("corrupt", &rules(), &delivered("key=b"));
    fails("corrupt", &rules(), &delivered("message=other"));
    passes(&rules().dlq(), &dead(""));
    fails("corrupt", &rules().dlq(), &dead("body=other"));
    fails("corrupt", &rules().dlq(), &dead("key=b"));
}

#[test]
fn a_key_that_was_not_there() {
    let history = |key: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1 {key}
        4 ack L1
        9 end q"
        )
    };
    fails("corrupt", &rules(), &history("key=a"));
    passes(&rules(), &history(""));
}

#[test]
fn other_headers() {
    fails("header-loss", &rules(), &delivered("headers=none"));
    fails("header-loss", &rules().dlq(), &dead("headers=none"));
    fails("corrupt header-loss", &rules(), &delivered("headers=none body=other"));
}

#[test]
fn only_the_second_delivery_is_corrupt() {
    fails(
        "corrupt",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 retry L1
        5 got 1.0 L2 c1 n=2 body=other
        6 ack L2
        9 end q",
    );
}

#[test]
fn from_another_channel() {
    let history = |from: &str| {
        format!(
            "
        0 sub c1 q
        0 sub c2 {from}
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        5 got 1.0 L2 c2
        6 ack L2
        9 end q
        9 end {from}"
        )
    };
    fails("cross-subscription", &rules().dlq(), &history("Q"));
    fails("cross-subscription", &rules().dlq(), &history("q.other"));
    // The dead-letter channel is where it may be.
    passes(&rules().dlq(), &history("q.dead"));
    fails("cross-subscription", &rules(), &history("q.dead"));
}

#[test]
fn a_dead_letter_of_the_subscription_that_did_not_reject() {
    let history = |of: &str, of_a: &str| {
        format!(
            "
        0 sub c1 t/a
        0 sub c2 t/b
        1 pub 1.0 to=t
        2 ok 1.0
        3 got 1.0 L1 c1
        4 {of_a}
        3 got 1.0 L2 c2
        4 reject L2
        5 dead 1.0 {of} rejected
        9 end t/a
        9 end t/b
        9 end q.dead"
        )
    };
    fails("cross-subscription dlq-lost dlq-metadata", &rules().dlq(), &history("t/a", "ack L1"));
    passes(&rules().dlq(), &history("t/b", "ack L1"));
    // It may have expired here all the same.
    let expired =
        history("t/a", "release L1").replace("to=t", "to=t ttl=50").replace("1.0 t/a rejected", "1.0 t/a expired");
    fails("dlq-lost", &rules().dlq(), &expired);
    // Both gave it up, one dead letter is missing: that is a loss, and no confusion.
    fails("dlq-lost", &rules().dlq(), &history("t/a", "reject L1"));
    fails("lost-confirmed", &rules().dlq(), &history("t/b", "drop L1"));
}
