//! `key-inversion`.

use super::{Fact, fails, passes, rules};

/// Two messages of key a and one of key b, and what happens to them.
fn lane(then: &str) -> String {
    format!(
        "
        0 sub c1 q
        0 sub c2 q
        1 pub 1.0 key=a
        1 pub 1.1 key=a
        1 pub 1.2 key=b
        2 ok 1.0
        2 ok 1.1
        2 ok 1.2
        {then}
        90 end q"
    )
}

#[test]
fn first_deliveries_out_of_order() {
    let swapped = lane(
        "
        3 got 1.1 L1 c1
        4 ack L1
        5 got 1.0 L2 c1
        6 ack L2
        7 got 1.2 L3 c1
        8 ack L3",
    );
    fails("key-inversion", &rules().block(), &swapped);
    fails("key-inversion", &rules().fall_behind(), &swapped);
    passes(&rules(), &swapped);
    let other_key = lane(
        "
        3 got 1.2 L1 c1
        4 ack L1
        5 got 1.0 L2 c1
        6 ack L2
        7 got 1.1 L3 c1
        8 ack L3",
    );
    passes(&rules().block(), &other_key);
}

#[test]
fn order_is_of_one_publisher_and_one_key() {
    let history = |second: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0 key=a
        1.5 pub {second}
        2 ok 1.0
        2 ok {}
        3 got {} L1 c1
        4 ack L1
        5 got 1.0 L2 c1
        6 ack L2
        9 end q",
            &second[..3],
            &second[..3]
        )
    };
    fails("key-inversion", &rules().block(), &history("1.1 key=a"));
    passes(&rules().block(), &history("2.1 key=a"));
    passes(&rules().block(), &history("1.1 key=b"));
    passes(&rules().block(), &history("1.1"));
    // What was held back, or preferred, has no place.
    passes(&rules().block(), &history("1.1 key=a due=2"));
    passes(&rules().block(), &history("1.1 key=a priority=9"));
}

#[test]
fn at_one_moment_nothing_is_before_anything() {
    passes(
        &rules().block(),
        &lane(
            "
        3 got 1.0 L1 c1
        3 retry L1
        7 got 1.0 L2 c1 n=2
        7 ack L2
        7 got 1.1 L3 c1
        7 ack L3
        9 got 1.2 L4 c1
        10 ack L4",
        ),
    );
    passes(
        &rules().block(),
        &lane(
            "
        3 got 1.0 L1 c1
        3 ack L1
        3 got 1.1 L2 c1
        3 ack L2
        9 got 1.2 L4 c1
        10 ack L4",
        ),
    );
}

#[test]
fn each_subscription_has_its_own_order() {
    let history = |first: &str, second: &str| {
        format!(
            "
        0 sub c1 t/a
        0 sub c2 t/b
        1 pub 1.0 key=a to=t
        1 pub 1.1 key=a to=t
        2 ok 1.0
        2 ok 1.1
        3 got 1.0 L1 c1
        4 ack L1
        5 got {first} L2 c2
        6 ack L2
        7 got {second} L3 c2
        8 ack L3
        7 got 1.1 L4 c1
        8 ack L4
        9 end t/a
        9 end t/b"
        )
    };
    passes(&rules().block(), &history("1.0", "1.1"));
    fails("key-inversion", &rules().block(), &history("1.1", "1.0"));
}

#[test]
fn redeliveries_do_not_count_as_first() {
    passes(
        &rules().fall_behind(),
        &lane(
            "
        3 got 1.0 L1 c1
        4 retry L1
        5 got 1.1 L2 c1
        6 ack L2
        7 got 1.0 L3 c1 n=2
        8 ack L3
        9 got 1.2 L4 c1
        10 ack L4",
        ),
    );
}

#[test]
fn rejected_and_unknown_messages_in_between() {
    // The first was never stored: the second may go.
    passes(
        &rules().block(),
        "
        0 sub c1 q
        1 pub 1.0 key=a
        1 pub 1.1 key=a
        2 fail 1.0
        2 ok 1.1
        3 got 1.1 L1 c1
        4 ack L1
        9 end q",
    );
    fails(
        "key-inversion",
        &rules().block(),
        "
        0 sub c1 q
        0 fault cut
        1 pub 1.0 key=a
        1 pub 1.1 key=a
        2 unknown 1.0
        2 ok 1.1
        3 heal cut
        4 got 1.1 L1 c1
        5 ack L1
        6 got 1.0 L2 c1
        7 ack L2
        9 end q",
    );
}

#[test]
fn the_inversion_is_against_the_latest_of_the_earlier() {
    let verdict = fails(
        "key-inversion",
        &rules().block(),
        "
        0 sub c1 q
        1 pub 1.0 key=a
        1 pub 1.1 key=a
        1 pub 1.2 key=a
        2 ok 1.0
        2 ok 1.1
        2 ok 1.2
        3 got 1.2 L1 c1
        4 ack L1
        5 got 1.0 L2 c1
        6 ack L2
        7 got 1.1 L3 c1
        8 ack L3
        9 end q",
    );
    assert!(verdict.contains("key-inversion ×1"), "{verdict}");
    assert!(verdict.contains("1.1 was first delivered after 1.2"), "{verdict}");
}

#[test]
fn the_first_copy_may_have_expired() {
    let history = |ttl: &str, again: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0 key=a {ttl}
        1 pub 1.1 key=a
        {again}
        2 ok 1.0
        2 ok 1.1
        3 got 1.1 L1 c1
        4 ack L1
        5 got 1.0 L2 c1
        6 ack L2
        9 end q"
        )
    };
    passes(&rules().block(), &history("ttl=50", "1.5 again 1.0"));
    fails("key-inversion", &rules().block(), &history("", "1.5 again 1.0"));
    fails("key-inversion", &rules().block(), &history("ttl=50", ""));
}

/// The first is given back in some way, the second is delivered meanwhile.
fn passed_by(end: &str) -> String {
    lane(&format!(
        "
        3 got 1.0 L1 c1
        4 {end}
        5 got 1.1 L2 c1
        6 ack L2
        7 got 1.0 L3 c1 n=1..
        8 ack L3
        9 got 1.2 L4 c1
        10 ack L4"
    ))
}

#[test]
fn a_message_in_retry_blocks_its_key() {
    fails("key-inversion", &rules().block(), &passed_by("retry L1"));
    passes(&rules().fall_behind(), &passed_by("retry L1"));
    passes(&rules(), &passed_by("retry L1"));
    // Another key is not blocked.
    passes(
        &rules().block(),
        &lane(
            "
        3 got 1.0 L1 c1
        4 retry L1
        5 got 1.2 L2 c1
        6 ack L2
        7 got 1.0 L3 c1 n=2
        8 ack L3
        9 got 1.1 L4 c1
        10 ack L4",
        ),
    );
    // It is spilled: its order is given up.
    passes(&rules().block(), &passed_by("retry L1\n4.5 spilled 1.0 q"));
    fails("key-inversion", &rules().block(), &passed_by("retry L1\n7.5 spilled 1.0 q"));
    fails("key-inversion", &rules().block(), &passed_by("retry L1\n4.5 spilled 1.1 q"));
}

#[test]
fn a_message_given_back_keeps_its_place() {
    for end in ["release L1", "drop L1"] {
        fails("key-inversion", &rules().block(), &passed_by(end));
        fails("key-inversion", &rules().fall_behind(), &passed_by(end));
        passes(&rules(), &passed_by(end));
    }
    // The settlement was not accepted: what became of the message is not told.
    passes(&rules().block(), &passed_by("release L1 unknown"));
    passes(&rules().block(), &passed_by("release L1\n4.5 late L1 unknown"));
}

#[test]
fn a_lost_delivery_returns_before_the_later_ones() {
    fails("key-inversion", &rules().block(), &passed_by("lost L1"));
    fails("key-inversion", &rules().fall_behind(), &passed_by("lost L1"));
    // It ended before its holder could know, and others of the key were with it.
    passes(&rules().block(), &passed_by("lost L1").replace("4 lost", "3.5 fault expired-lease\n4 lost"));
    passes(&rules().block(), &passed_by("lost L1").replace("4 lost", "3.5 cut c1\n4 lost"));
}

#[test]
fn dead_lettered_messages_let_their_key_go() {
    passes(
        &rules().block().dlq(),
        &format!(
            "{}\n90 end q.dead",
            lane(
                "
        3 got 1.0 L1 c1
        4 reject L1
        5 got 1.1 L2 c1
        6 ack L2
        7 dead 1.0 q rejected
        9 got 1.2 L4 c1
        10 ack L4"
            )
        ),
    );
    // Put back, it comes after those of its key.
    passes(
        &rules().block().dlq(),
        &format!(
            "{}\n90 end q.dead",
            lane(
                "
        3 got 1.0 L1 c1
        4 reject L1
        5 dead 1.0 q rejected
        6 redriven 1.0 q
        7 got 1.1 L2 c1
        8 ack L2
        9 got 1.0 L3 c1
        10 ack L3
        11 got 1.2 L4 c1
        12 ack L4"
            )
        ),
    );
}

#[test]
fn put_back_before_it_was_ever_delivered_it_has_no_place() {
    let history = |redriven: &str| {
        format!(
            "{}\n90 end q.dead",
            lane(&format!(
                "
        3 dead 1.0 q expired
        4 {redriven}
        5 got 1.1 L1 c1
        6 ack L1
        7 got 1.0 L2 c1
        8 ack L2
        9 got 1.2 L3 c1
        10 ack L3"
            ))
            .replace("1 pub 1.0 key=a", "1 pub 1.0 key=a ttl=50")
        )
    };
    passes(&rules().block().dlq(), &history("redriven 1.0 q"));
    fails("key-inversion", &rules().block().dlq(), &history("redriven 1.1 q"));
}
