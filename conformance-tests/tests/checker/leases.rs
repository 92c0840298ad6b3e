//! `lease-overlap`, `prefetch-exceeded`, `stale-ack-accepted`, `zombie`.

use super::{Fact, fails, passes, rules};

/// Two messages of one key; the first lease ends as told.
fn overlap(between: &str) -> String {
    format!(
        "
        0 sub c1 q
        0 sub c2 q
        1 pub 1.0 key=a
        1 pub 1.1 key=a
        2 ok 1.0
        2 ok 1.1
        3 got 1.0 L1 c1
        {between}
        6 got 1.1 L2 c2
        7 ack L2
        9 end q"
    )
}

#[test]
fn two_of_a_key_at_once() {
    fails("lease-overlap", &rules().block(), &overlap("8 ack L1"));
    fails("lease-overlap", &rules().fall_behind(), &overlap("8 ack L1"));
    passes(&rules(), &overlap("8 ack L1"));
    passes(&rules().block(), &overlap("5 ack L1"));
    // The very moment at which it ends is late enough.
    passes(&rules().block(), &overlap("6 ack L1"));
    passes(&rules().block(), &overlap("8 ack L1").replace("pub 1.1 key=a", "pub 1.1 key=b"));
    passes(&rules().block(), &overlap("8 ack L1").replace(" key=a", ""));
}

#[test]
fn a_lease_that_its_holder_knows_to_be_lost_is_over() {
    let history = |lost: &str| format!("{}\n8.5 got 1.0 L3 c1\n8.6 ack L3", overlap(lost));
    // Known to be lost, and it returns only after the later one: that is the order's matter.
    fails("key-inversion", &rules().block(), &history("5 lost L1"));
    fails("lease-overlap", &rules().block(), &history("7 lost L1"));
}

#[test]
fn a_lease_may_end_without_a_word_while_something_is_wrong() {
    for fault in
        ["cut", "expired-lease", "half-open", "slow", "consumer-stopped", "rebalance", "broker-killed", "clock"]
    {
        passes(
            &rules().block().set(|p| p.durable = true),
            &overlap(&format!("4 fault {fault}\n5 heal {fault}\n8 ack L1")),
        );
    }
    for fault in ["lost-confirm", "duplicate", "failed-settle", "dead-letter-refused", "publisher-stopped"] {
        fails("lease-overlap", &rules().block(), &overlap(&format!("4 fault {fault}\n5 heal {fault}\n8 ack L1")));
    }
    passes(&rules().block(), &overlap("5 cut c1\n8 ack L1"));
    passes(&rules().block(), &overlap("5 close c1\n8 ack L1"));
    fails("lease-overlap", &rules().block(), &overlap("5 cut c2\n8 ack L1"));
    fails("lease-overlap", &rules().block(), &overlap("7 cut c1\n8 ack L1"));
}

#[test]
fn every_later_lease_is_compared() {
    let history = |third: &str| {
        format!(
            "
        0 sub c1 q
        0 sub c2 q
        1 pub 1.0 key=a
        1 pub 1.1 key=a
        1 pub 1.2 key=a
        2 ok 1.0
        2 ok 1.1
        2 ok 1.2
        3 got 1.0 L1 c1
        4 close c1
        5 got 1.1 L2 c2
        {third}
        7 ack L2
        9 left 1.0 q
        9 end q"
        )
    };
    fails("lease-overlap", &rules().block(), &history("6 got 1.2 L3 c2\n8 ack L3"));
    passes(&rules().block(), &history("8 got 1.2 L3 c2\n8.5 ack L3"));
}

#[test]
fn sources_do_not_share_leases() {
    let history = |second: &str| {
        format!(
            "
        0 sub c1 t/a
        0 sub c2 {second}
        1 pub 1.0 key=a to=t
        2 ok 1.0
        3 got 1.0 L1 c1
        4 got 1.0 L2 c2
        5 ack L2
        6 ack L1
        9 end t/a
        9 end t/b"
        )
    };
    passes(&rules().block(), &history("t/b"));
    fails("lease-overlap unexplained-duplicate", &rules().block(), &history("t/a"));
}

/// Three deliveries to one consumer.
fn held(prefetch: u32, between: &str) -> String {
    format!(
        "
        0 sub c1 q prefetch={prefetch}
        1 pub 1.0
        1 pub 1.1
        1 pub 1.2
        2 ok 1.0
        2 ok 1.1
        2 ok 1.2
        3 got 1.0 L1 c1
        4 got 1.1 L2 c1
        {between}
        6 got 1.2 L3 c1
        7 ack L1
        7 ack L2
        8 ack L3
        9 end q"
    )
}

#[test]
fn more_than_the_prefetch() {
    passes(&rules(), &held(3, ""));
    let verdict = fails("prefetch-exceeded", &rules(), &held(2, ""));
    assert!(verdict.contains("consumer 1 holds 3 unsettled deliveries, its prefetch is 2"), "{verdict}");
    passes(&rules(), &held(2, "").replace(" prefetch=2", ""));
    passes(&rules(), &held(2, "").replace("7 ack L1", "5 ack L1"));
    passes(&rules(), &held(2, "").replace("7 ack L2", "6 ack L2"));
    // A lease that is lost does not count, though its handler still runs.
    passes(&rules(), &held(2, "5 lost L2").replace("7 ack L2", "7 ack L2 unknown"));
    fails("prefetch-exceeded", &rules(), &held(2, "6.5 lost L2").replace("7 ack L2", "7 ack L2 unknown"));
}

/// A settlement after the message was delivered to another.
fn late(settlement: &str) -> String {
    format!(
        "
        0 sub c1 q
        0 sub c2 q
        1 pub 1.0
        2 ok 1.0
        3 fault expired-lease
        4 got 1.0 L1 c1
        5 heal expired-lease
        6 got 1.0 L2 c2
        7 {settlement}
        8 ack L2
        9 end q"
    )
}

#[test]
fn a_settlement_that_came_too_late_was_accepted() {
    for end in ["release L1", "retry L1", "drop L1"] {
        fails("stale-ack-accepted", &rules(), &late(&format!("{end}\n7.5 flush c1")));
        passes(&rules(), &late(&format!("{end} stale\n7.5 flush c1")));
        passes(&rules(), &late(&format!("{end}\n7.2 late L1 stale\n7.5 flush c1 stale=1")));
        // Not final: nobody knows.
        passes(&rules(), &late(end));
        passes(&rules(), &late(&format!("{end}\n7.5 flush c1 unknown=1")));
        passes(&rules(), &late(&format!("{end}\n7.5 flush c2")));
    }
    fails(
        "stale-ack-accepted",
        &rules().dlq(),
        &format!("{}\n9 dead 1.0 q rejected\n9 end q.dead", late("reject L1\n7.5 flush c1")),
    );
}

#[test]
fn a_late_acknowledgement_may_be_accepted_where_nobody_can_tell() {
    passes(&rules(), &late("ack L1 done"));
    fails("stale-ack-accepted", &rules().stale(), &late("ack L1 done"));
    fails("stale-ack-accepted", &rules().stale(), &late("ack L1\n7.5 flush c1"));
    passes(&rules().stale(), &late("ack L1 stale"));
    passes(&rules().stale(), &late("ack L1"));
    passes(&rules().stale(), &late("ack L1").replace("6 got", "6.5 got").replace("7 ack L1", "6.2 ack L1 stale"));
}

#[test]
fn two_copies_have_two_leases() {
    let doubt = late("release L1\n7.5 flush c1").replace("2 ok", "1.5 again 1.0\n2 ok");
    passes(&rules(), &doubt);
    let named =
        |a: &str, b: &str| doubt.replace("L1 c1", &format!("L1 c1 id={a}")).replace("L2 c2", &format!("L2 c2 id={b}"));
    passes(&rules(), &named("7", "8"));
    fails("stale-ack-accepted", &rules(), &named("7", "7"));
}

#[test]
fn an_owner_whose_source_was_taken_away_delivers_nothing() {
    let history = |around: &str, position: &str| {
        format!(
            "
        0 sub c1 q
        {around}
        1 pub 1.0
        2 ok 1.0
        5 got 1.0 L1 c1 {position}
        6 ack L1
        9 end q"
        )
    };
    fails("zombie", &rules(), &history("0 given c1 0\n4 taken c1 0", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n4 taken c1 1", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n4 taken c2 0", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n5.5 taken c1 0", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n3 taken c1 0\n4 given c1 0", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n4 taken c1 0", ""));
}
