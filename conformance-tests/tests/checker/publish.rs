//! `phantom`, `rejected-visible`, `needless-unknown`, `duplicate-publish`, and receipts.

use super::{Fact, fails, passes, rules};

#[test]
fn from_nowhere() {
    let history = |message: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        5 got {message} L2 c1
        6 ack L2
        9 end q"
        )
    };
    fails("phantom", &rules(), &history("1.7"));
    fails("phantom", &rules(), &history("2.0"));
    fails("phantom", &rules(), &history("stranger"));
}

#[test]
fn dead_letters_and_leftovers_from_nowhere() {
    let history = |rest: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        {rest}
        9 end q
        9 end q.dead"
        )
    };
    passes(&rules().dlq(), &history(""));
    fails("phantom", &rules().dlq(), &history("8 dead 1.9 q rejected"));
    fails("phantom", &rules().dlq(), &history("8 left 1.9 q"));
    fails("phantom", &rules().dlq(), &history("8 ok 1.9"));
}

#[test]
fn delivered_before_it_was_published() {
    fails(
        "phantom",
        &rules(),
        "
        0 sub c1 q
        1 got 1.0 L1 c1
        2 pub 1.0
        3 ok 1.0
        4 ack L1
        9 end q",
    );
    // Before its outcome is nothing special.
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 got 1.0 L1 c1
        3 ack L1
        4 ok 1.0
        9 end q",
    );
}

#[test]
fn rejected_and_visible() {
    fails(
        "rejected-visible",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 fail 1.0
        3 got 1.0 L1 c1
        4 ack L1
        9 end q",
    );
    fails(
        "rejected-visible",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 fail 1.0
        8 left 1.0 q
        9 end q",
    );
    fails(
        "rejected-visible",
        &rules().dlq(),
        "
        0 sub c1 q
        1 pub 1.0 ttl=1
        2 fail 1.0
        8 dead 1.0 q expired
        9 end q
        9 end q.dead",
    );
    // Unknown, and then delivered: it has happened.
    passes(
        &rules(),
        "
        0 sub c1 q
        0 fault cut
        1 pub 1.0
        2 unknown 1.0
        2 heal cut
        3 got 1.0 L1 c1
        4 ack L1
        9 end q",
    );
    // One of two submissions was confirmed.
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 fail 1.0
        3 pub 1.0
        4 ok 1.0
        5 got 1.0 L1 c1
        6 ack L1
        9 end q",
    );
    // One of two submissions has no end.
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 fail 1.0
        3 pub 1.0
        5 got 1.0 L1 c1
        6 ack L1
        9 end q",
    );
}

#[test]
fn unknown_without_need() {
    let history = |around: &str| {
        format!(
            "
        0 sub c1 q
        {around}
        11 pub 1.0
        12 unknown 1.0
        90 end q"
        )
    };
    fails("needless-unknown", &rules(), &history(""));
    for fault in
        ["lost-confirm", "cut", "half-open", "slow", "broker-killed", "broker-paused", "publisher-stopped", "full"]
    {
        passes(&rules(), &history(&format!("10 fault {fault}\n20 heal {fault}")));
        passes(&rules(), &history(&format!("12 fault {fault}")));
    }
    for fault in ["duplicate", "delayed-delivery", "expired-lease", "failed-settle", "consumer-stopped", "clock"] {
        fails("needless-unknown", &rules(), &history(&format!("10 fault {fault}\n20 heal {fault}")));
    }
    // Over before, or begun after.
    fails("needless-unknown", &rules(), &history("5 fault cut\n6 heal cut"));
    fails("needless-unknown", &rules(), &history("13 fault cut"));
    // It may show for a while after.
    passes(&rules().set(|p| p.notice = std::time::Duration::from_millis(5)), &history("5 fault cut\n6 heal cut"));
    fails(
        "needless-unknown",
        &rules().set(|p| p.notice = std::time::Duration::from_millis(4)),
        &history("5 fault cut\n6 heal cut"),
    );
    // Its publisher's connection, not another's.
    passes(&rules(), &history("11.5 cut p1"));
    fails("needless-unknown", &rules(), &history("11.5 cut p2"));
    fails("needless-unknown", &rules(), &history("11.5 cut c1"));
    fails("needless-unknown", &rules(), &history("10 cut p1"));
    passes(&rules(), &history("11.5 kill 0"));
    fails("needless-unknown", &rules(), &history("11.5 kill 3"));
}

#[test]
fn two_messages_of_one_publish() {
    let history = |around: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        {around}
        2 ok 1.0 id=7
        3 got 1.0 L1 c1 id=7
        4 ack L1
        5 got 1.0 L2 c1 id=8
        6 ack L2
        9 end q"
        )
    };
    fails("duplicate-publish", &rules(), &history(""));
    passes(&rules(), &history("1.5 again 1.0"));
    passes(&rules(), &history("1.2 fault lost-confirm\n1.8 heal lost-confirm"));
    passes(&rules(), &history("1.2 fault duplicate\n1.8 heal duplicate"));
    passes(&rules(), &history("1.5 cut p1"));
    passes(&rules(), &history("1.5 pub 1.0"));
    // A message that was certainly not stored is sent again without a doubt.
    fails("duplicate-publish", &rules(), &history("1.5 again 1.0 full"));
    fails("duplicate-publish", &rules(), &history("1.2 fault expired-lease\n9 heal expired-lease"));
    fails("duplicate-publish", &rules(), &history("2.5 fault duplicate\n9 heal duplicate"));
}

#[test]
fn a_copy_of_the_library_is_no_second_message() {
    // A retry that travels as a copy has another id of the broker.
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0 id=7
        3 got 1.0 L1 c1 id=7
        4 retry L1
        5 got 1.0 L2 c1 id=8 n=2
        6 ack L2
        9 end q",
    );
    passes(
        &rules().dlq(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0 id=7
        3 got 1.0 L1 c1 id=7
        4 reject L1
        5 dead 1.0 q rejected
        6 redriven 1.0 q
        7 got 1.0 L2 c1 id=8
        8 ack L2
        9 end q
        9 end q.dead",
    );
}

#[test]
fn receipts_name_what_is_delivered() {
    let history = |receipts: [&str; 2], delivered: [&str; 2]| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        1 pub 1.1
        2 ok 1.0 {}
        2 ok 1.1 {}
        3 got 1.0 L1 c1 {}
        4 ack L1
        5 got 1.1 L2 c1 {}
        6 ack L2
        9 end q",
            receipts[0], receipts[1], delivered[0], delivered[1]
        )
    };
    passes(&rules(), &history(["id=7", "id=8"], ["id=7", "id=8"]));
    fails("position-mismatch", &rules(), &history(["id=7", "id=8"], ["id=8", "id=7"]));
    fails("position-mismatch", &rules(), &history(["id=7", "id=9"], ["id=7", "id=8"]));
    // The same receipt for all.
    fails("position-mismatch", &rules(), &history(["id=7", "id=7"], ["", ""]));
    // Where nothing is named nothing is compared.
    passes(&rules(), &history(["", ""], ["id=8", "id=7"]));
    passes(&rules(), &history(["id=7", "id=8"], ["", ""]));
    // Retry copies, and what was in doubt, have other ids.
    passes(
        &rules(),
        &history(["id=7", "id=8"], ["id=7", "id=9 n=2"])
            .replace("2 ok 1.1", "1.5 again 1.1\n2 ok 1.1")
            .replace(" n=2", ""),
    );
}
