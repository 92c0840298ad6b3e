//! `unexplained-duplicate`, `acked-redelivered`.

use super::{Fact, fails, passes, rules};

/// One message, delivered twice: `between` tells why, or not.
fn twice(between: &str) -> String {
    format!(
        "
        0 sub c1 q
        0 sub c2 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        {between}
        7 got 1.0 L2 c2 n=1..
        8 ack L2
        9 end q"
    )
}

#[test]
fn again_without_a_cause() {
    fails("unexplained-duplicate", &rules(), &twice(""));
    fails("unexplained-duplicate", &rules(), &twice("4 ack L1"));
    fails("unexplained-duplicate", &rules(), &twice("8 ack L1"));
    fails("unexplained-duplicate", &rules(), &twice("8 release L1"));
}

#[test]
fn given_back_is_a_cause() {
    for end in [
        "retry L1",
        "release L1",
        "drop L1",
        "retry L1 unknown",
        "ack L1 stale",
        "ack L1 unknown",
        "ack L1 begun",
        "ack L1 refused",
        "reject L1 stale",
    ] {
        passes(&rules(), &twice(&format!("4 {end}")));
    }
    passes(&rules(), &twice("4 ack L1\n5 late L1 stale"));
    passes(&rules(), &twice("4 ack L1\n5 late L1 unknown"));
}

#[test]
fn a_lost_delivery_is_a_cause() {
    passes(&rules(), &twice("4 lost L1"));
    passes(&rules(), &twice("4 cut c1"));
    passes(&rules(), &twice("4 close c1"));
    passes(&rules(), &twice("4 kill 0"));
    fails("unexplained-duplicate", &rules(), &twice("4 kill 5"));
    fails("unexplained-duplicate", &rules(), &twice("4 cut c2"));
    fails("unexplained-duplicate", &rules(), &twice("4 close c2"));
    // Lost before it was delivered to this consumer.
    fails("unexplained-duplicate", &rules(), &twice("2 cut c1"));
    fails("unexplained-duplicate", &rules(), &twice("8 cut c1"));
    // It may be noticed a little later.
    let notice = |ms| rules().set(|p| p.notice = std::time::Duration::from_millis(ms));
    passes(&notice(1), &twice("8 cut c1"));
    passes(&notice(1), &twice("8 lost L1"));
    passes(&notice(1), &twice("8 close c1"));
    fails("unexplained-duplicate", &notice(1), &twice("8.1 cut c1"));
    fails("unexplained-duplicate", &notice(1), &twice("8.1 lost L1"));
}

#[test]
fn faults_are_causes_while_they_last() {
    for fault in [
        "cut",
        "half-open",
        "slow",
        "expired-lease",
        "failed-settle",
        "broker-paused",
        "consumer-stopped",
        "rebalance",
        "replica-lost",
        "clock",
    ] {
        passes(&rules(), &twice(&format!("4 fault {fault}\n5 heal {fault}")));
    }
    for fault in ["lost-confirm", "duplicate", "delayed-delivery", "dead-letter-refused", "publisher-stopped", "full"] {
        fails("unexplained-duplicate", &rules(), &twice(&format!("4 fault {fault}\n5 heal {fault}")));
    }
    fails("unexplained-duplicate", &rules(), &twice("2.1 fault cut\n2.9 heal cut"));
    fails("unexplained-duplicate", &rules(), &twice("8 fault cut"));
    passes(&rules(), &twice("1 fault cut"));
    // Begun twice, it ends once.
    fails("unexplained-duplicate", &rules(), &twice("2.1 fault cut\n2.2 fault cut\n2.9 heal cut"));
    passes(&rules(), &twice("2.1 fault cut\n2.2 heal cut\n2.9 fault cut\n4 heal cut"));
}

#[test]
fn a_second_copy_is_a_cause() {
    passes(&rules(), &twice("").replace("2 ok", "1.5 again 1.0\n2 ok"));
    passes(&rules(), &twice("").replace("2 ok", "1.2 fault duplicate\n1.4 heal duplicate\n2 ok"));
    passes(&rules(), &twice("").replace("2 ok", "1.5 cut p1\n2 ok"));
    fails("unexplained-duplicate", &rules(), &twice("").replace("2 ok", "1.5 cut p2\n2 ok"));
    // The broker's id tells that it is the same copy.
    let same = twice("").replace("L1 c1", "L1 c1 id=7").replace("L2 c2", "L2 c2 id=7");
    fails("unexplained-duplicate", &rules(), &same);
    fails("unexplained-duplicate", &rules(), &same.replace("2 ok", "1.5 again 1.0\n2 ok"));
    let other = twice("").replace("L1 c1", "L1 c1 id=7").replace("L2 c2", "L2 c2 id=8");
    passes(&rules(), &other.replace("2 ok", "1.5 again 1.0\n2 ok"));
}

#[test]
fn put_back_is_a_cause() {
    passes(&rules(), &twice("4 ack L1\n4 flush c1\n5 redriven 1.0 q"));
    fails("acked-redelivered", &rules(), &twice("4 ack L1\n4 flush c1\n8 redriven 1.0 q"));
}

#[test]
fn each_delivery_needs_a_cause_of_its_own() {
    let thrice = |second: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 retry L1
        5 got 1.0 L2 c1 n=2
        {second}
        7 got 1.0 L3 c1 n=2..
        8 ack L3
        9 end q"
        )
    };
    passes(&rules(), &thrice("6 release L2"));
    fails("unexplained-duplicate", &rules(), &thrice(""));
}

/// Where the broker confirms no acknowledgement, the end of a connection soon after a flush may overtake one.
#[test]
fn an_acknowledgement_that_nobody_confirmed_may_be_overtaken() {
    let rules = |acks_confirmed: bool| {
        let set = |p: &mut pontoon_conformance::checker::Promises| {
            p.acks_confirmed = acks_confirmed;
            p.notice = std::time::Duration::from_millis(1);
        };
        rules().stale().set(set)
    };
    let cut_at = |at: &str| twice(&format!("4 ack L1\n5 flush c1\n{at} cut c1"));
    passes(&rules(false), &cut_at("5.5"));
    fails("acked-redelivered", &rules(true), &cut_at("5.5"));
    fails("acked-redelivered", &rules(false), &cut_at("6.5"));
    fails("acked-redelivered", &rules(false), &twice("4 ack L1\n5 flush c1"));
}

#[test]
fn delivered_after_its_acknowledgement_was_final() {
    fails("acked-redelivered", &rules(), &twice("4 ack L1\n5 flush c1"));
    fails("acked-redelivered", &rules(), &twice("4 ack L1 done"));
    // A flush that began before says nothing of it; nor does another consumer's.
    fails("unexplained-duplicate", &rules(), &twice("3.5 flush c1\n4 ack L1"));
    fails("unexplained-duplicate", &rules(), &twice("4 ack L1\n5 flush c2"));
    // A flush that began before and ended after tells of it too.
    let during =
        |unknown: usize| twice(&format!("3.5 flushes c1\n4 ack L1\n4.5 flushed c1 unknown={unknown}\n5 flush c1"));
    fails("acked-redelivered", &rules(), &during(0));
    fails("unexplained-duplicate", &rules(), &during(1));
    fails("acked-redelivered", &rules(), &twice("3.5 flush c1 unknown=1\n4 ack L1\n5 flush c1"));
    // So may one that began after the call and ended before its answer was written down.
    let between =
        |unknown: usize| twice(&format!("4 ack L1 begun\n4.1 flush c1 unknown={unknown}\n4.2 answered L1\n5 flush c1"));
    fails("acked-redelivered", &rules(), &between(0));
    fails("unexplained-duplicate", &rules(), &between(1));
    let lost = "4 ack L1 begun\n4.1 flushes c1\n4.2 cut c1\n4.3 flushed c1 unknown=1\n4.4 answered L1\n5 flush c1";
    passes(&rules().stale(), &twice(lost));
    fails("unexplained-duplicate", &rules(), &twice("4 ack L1\n5 flushes c1"));
    // All at one time: the order of the record counts.
    fails("acked-redelivered", &rules(), &twice("4 ack L1\n4 flush c1"));
    fails("unexplained-duplicate", &rules(), &twice("4 flush c1\n4 ack L1"));
    // Not final when it was delivered again.
    fails("unexplained-duplicate", &rules(), &twice("4 ack L1\n7 flush c1"));
    fails("unexplained-duplicate", &rules(), &twice("4 ack L1\n7.5 flush c1"));
    // The flush found something: which it was is not known.
    passes(&rules(), &twice("4 ack L1\n5 flush c1 unknown=1\n6 cut c1"));
    fails("unexplained-duplicate", &rules(), &twice("4 ack L1\n5 flush c1 stale=1"));
}

#[test]
fn final_stays_final_over_faults_where_stale_settlements_are_noticed() {
    let history = twice("4 ack L1\n5 flush c1\n5.5 fault cut\n6 heal cut");
    fails("acked-redelivered", &rules().stale(), &history);
    // Elsewhere the lease may have been over when it was acknowledged.
    passes(&rules(), &history);
    passes(&rules().stale(), &twice("4 ack L1\n4.5 fault cut\n5 heal cut"));
    // A broker that keeps nothing forgets acknowledgements in a crash.
    let crash = twice("4 ack L1\n5 flush c1\n5.5 fault broker-killed\n6 heal broker-killed");
    passes(&rules().stale(), &crash);
    fails("acked-redelivered", &rules().stale().set(|p| p.durable = true), &crash);
}

#[test]
fn what_was_fetched_before_may_be_handed_on_after() {
    let history = |first: &str, second: &str, fault: &str| {
        let text = twice(&format!("4 ack L1\n5 flush c1\n2.5 fault {fault}\n2.6 heal {fault}"));
        text.replace("L1 c1", &format!("L1 c1 n={first}")).replace("L2 c2 n=1..", &format!("L2 c2 n={second}"))
    };
    passes(&rules().stale(), &history("1..2", "1..1", "expired-lease"));
    fails("acked-redelivered", &rules().stale(), &history("1..1", "1..2", "expired-lease"));
    fails("acked-redelivered", &rules().stale().fall_behind(), &history("1..1", "1..2", "expired-lease"));
    passes(&rules().stale(), &history("1..1", "1..1", "expired-lease"));
    fails("acked-redelivered", &rules().stale(), &history("1..1", "1..1", "duplicate"));
    // While its key waits the client counts too.
    passes(&rules().stale().block(), &history("1..1", "1..2", "expired-lease"));
    fails("acked-redelivered", &rules().stale().block(), &history("1..1", "1..2", "duplicate"));
    fails("acked-redelivered", &rules().stale(), &history("1..2", "1..1", "duplicate"));
    // Where nobody counts nobody can tell.
    passes(&rules().stale(), &history("1", "1", "expired-lease"));
    fails("acked-redelivered", &rules().stale(), &history("1", "1", "duplicate"));
}

#[test]
fn subscriptions_do_not_explain_each_other() {
    passes(
        &rules(),
        "
        0 sub c1 t/a
        0 sub c2 t/b
        1 pub 1.0 to=t
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        5 got 1.0 L2 c2
        6 ack L2
        9 end t/a
        9 end t/b",
    );
    fails(
        "unexplained-duplicate",
        &rules(),
        "
        0 sub c1 t/a
        0 sub c2 t/b
        1 pub 1.0 to=t
        2 ok 1.0
        3 got 1.0 L1 c1
        3 got 1.0 L2 c2
        4 release L2
        5 got 1.0 L3 c1
        6 ack L1
        6 ack L3
        7 got 1.0 L4 c2
        8 ack L4
        9 end t/a
        9 end t/b",
    );
}

#[test]
fn a_prolonged_lease_is_no_cause() {
    fails("unexplained-duplicate", &rules(), &twice("4 extended L1 by=100"));
}
