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
    let settled = history("6 got 1.2 L3 c2\n8 ack L3").replace("4 close c1", "4 ack L1").replace("9 left 1.0 q", "");
    fails("lease-overlap", &rules().block(), &settled);
    passes(&rules().block(), &settled.replace("6 got", "8 got").replace("8 ack", "8.5 ack"));
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
fn what_is_given_back_too_late_may_wait_in_the_client() {
    for end in ["release L1", "retry L1", "drop L1"] {
        passes(&rules().stale(), &late(&format!("{end}\n7.5 flush c1\n7.6 close c1")));
    }
}

#[test]
fn a_lease_that_was_over_makes_no_dead_letter() {
    let promises = rules().dlq().stale();
    let dead = |end: &str, reason: &str| {
        let history = late(&format!("{end}\n8.5 dead 1.0 q {reason}")).replace("8 ack L2", "8 ack L2 done");
        format!("{history}\n9 end q.dead")
    };
    for answer in ["", "stale", "unknown"] {
        fails("stale-ack-accepted", &promises, &dead(&format!("reject L1 {answer}"), "rejected"));
    }
    fails("stale-ack-accepted", &promises, &dead("retry L1", "max-attempts"));
    passes(&promises, &late("reject L1\n9 end q.dead"));
    // It was given up in time, and came again because the settlement was lost.
    passes(&promises, &dead("reject L1", "rejected").replace("6 got", "7.1 cut c1\n7.2 got"));
    passes(&promises, &dead("reject L1", "rejected").replace("7 reject", "6 reject"));
    // The acknowledgement is not final, or may be late itself.
    passes(&promises, &dead("reject L1", "rejected").replace("ack L2 done", "ack L2"));
    passes(&rules().dlq(), &dead("reject L1", "rejected"));
    // The later lease gave it up too, or only that did.
    passes(&promises, &dead("reject L1", "rejected").replace("8 ack L2 done", "8 reject L2"));
    let third = |second: &str| {
        dead("reject L1 stale", "rejected").replace("8 ack L2", &format!("8 {second}\n8.2 got 1.0 L3 c1\n8.3 ack L3"))
    };
    passes(&promises, &third("reject L2 unknown"));
    fails("stale-ack-accepted", &promises, &third("release L2"));
    // Another reason has another cause; and what was put back may be acknowledged.
    passes(&promises, &dead("reject L1", "expired").replace("1 pub 1.0", "1 pub 1.0 ttl=50"));
    passes(&promises, &dead("reject L1\n7.2 redriven 1.0 q", "rejected"));
}

#[test]
fn a_late_acknowledgement_may_be_accepted_where_nobody_can_tell() {
    let both = |first: &str| late(first).replace("8 ack L2", "8 ack L2 done");
    passes(&rules(), &both("ack L1 done"));
    fails("stale-ack-accepted", &rules().stale(), &both("ack L1 done"));
    fails("stale-ack-accepted", &rules().stale(), &both("ack L1\n7.5 flush c1"));
    passes(&rules().stale(), &both("ack L1 stale"));
    passes(&rules().stale(), &both("ack L1"));
    // At the very moment of the next delivery is not after it.
    passes(&rules().stale(), &both("ack L1 done").replace("7 ack L1", "6 ack L1"));
    // Which of the two was the later one is not known, and only one was acknowledged.
    passes(&rules().stale(), &late("ack L1 done"));
    passes(&rules().stale(), &both("ack L1 done").replace("6 got", "5.5 redriven 1.0 q\n6 got"));
}

#[test]
fn the_broker_counts_which_lease_was_the_later_one() {
    let counted = |first: &str, second: &str| {
        late("ack L1 done").replace("L1 c1", &format!("L1 c1 n={first}")).replace("L2 c2", &format!("L2 c2 n={second}"))
    };
    fails("stale-ack-accepted", &rules().stale(), &counted("1..1", "1..2"));
    // The second was fetched first, and handed on late.
    passes(&rules().stale(), &counted("1..2", "1..1"));
    passes(&rules().stale(), &counted("1..2", "1..1").replace("8 ack L2", "8 ack L2 done"));
}

#[test]
fn two_copies_have_two_leases() {
    let doubt = |text: String| text.replace("2 ok", "1.5 again 1.0\n2 ok");
    let acked = doubt(late("ack L1 done").replace("8 ack L2", "8 ack L2 done"));
    passes(&rules().stale(), &acked);
    let named =
        |a: &str, b: &str| acked.replace("L1 c1", &format!("L1 c1 id={a}")).replace("L2 c2", &format!("L2 c2 id={b}"));
    passes(&rules().stale(), &named("7", "8"));
    fails("stale-ack-accepted", &rules().stale(), &named("7", "7"));
    let rejected = late("reject L1\n8 dead 1.0 q rejected\n9 end q.dead").replace("8 ack L2", "8 ack L2 done");
    fails("stale-ack-accepted", &rules().dlq().stale(), &rejected);
    passes(&rules().dlq().stale(), &doubt(rejected));
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
    let verdict = fails("zombie", &rules(), &history("0 given c1 0\n4 taken c1 0", "at=7@0"));
    assert!(verdict.contains("7@0 1000000 ns after"), "{verdict}");
    passes(&rules(), &history("0 given c1 0\n4 taken c1 1", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n4 taken c2 0", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n5.5 taken c1 0", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n3 taken c1 0\n4 given c1 0", "at=7@0"));
    passes(&rules(), &history("0 given c1 0\n4 taken c1 0", ""));
}
