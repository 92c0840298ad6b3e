//! `premature-dlq`, `missed-dlq`, `dlq-duplicate`, `dlq-metadata`.

use super::{Fact, fails, passes, rules};

/// Two failures, and then.
fn failed_twice(then: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 retry L1
        5 got 1.0 L2 c1 n=2
        6 retry L2
        {then}
        90 end q
        90 end q.dead"
    )
}

#[test]
fn too_early() {
    let buried = failed_twice("8 dead 1.0 q max-attempts n=2");
    passes(&rules().dlq().max(2), &buried);
    fails("premature-dlq", &rules().dlq().max(3), &buried);
    passes(&rules().dlq(), &buried);
    // An end that is not known may have been counted; one that was refused was not.
    passes(&rules().dlq().max(2), &buried.replace("6 retry L2", "6 retry L2 unknown"));
    fails("premature-dlq", &rules().dlq().max(2), &buried.replace("6 retry L2", "6 retry L2 stale"));
    fails(
        "premature-dlq",
        &rules().dlq().max(2),
        &buried.replace("6 retry L2", "6 release L2").replace("attempts n=2", "attempts n=1"),
    );
    fails("premature-dlq", &rules().dlq().max(2), &buried.replace("6 retry L2", "6 retry L2\n7 late L2 stale"));
}

#[test]
fn the_ceiling_too_early() {
    let ceiling = |at| rules().dlq().set(|p| p.delivery_ceiling = Some(at));
    let history = failed_twice("8 dead 1.0 q delivery-ceiling n=2");
    passes(&ceiling(2), &history);
    fails("premature-dlq", &ceiling(3), &history);
    // What was lost on the way to the handler counts too, and nobody saw it.
    passes(&ceiling(3), &history.replace("4 retry L1", "4 retry L1\n4.5 cut c1"));
    passes(&ceiling(3), &history.replace("4 retry L1", "4 retry L1\n4.5 fault expired-lease"));
    fails("premature-dlq", &ceiling(3), &history.replace("0 sub c1 q", "0 sub c1 q\n0 sub c2 r\n5 cut c2"));
    fails("dlq-metadata", &rules().dlq(), &history);
}

#[test]
fn too_late() {
    let history = failed_twice("7 got 1.0 L3 c1 n=3\n8 retry L3\n9 dead 1.0 q max-attempts n=3");
    passes(&rules().dlq().max(3), &history);
    fails("missed-dlq", &rules().dlq().max(2), &history);
    // Not where failures may be forgotten, or there are copies.
    passes(&rules().dlq().max(2), &history.replace("7 got", "6.5 cut c1\n7 got"));
    passes(&rules().dlq().max(2), &history.replace("7 got", "6.5 fault cut\n7 got"));
    passes(&rules().dlq().max(2), &history.replace("2 ok", "1.5 again 1.0\n2 ok"));
    // A failure that was not recorded is none.
    passes(&rules().dlq().max(2), &history.replace("6 retry L2", "6 retry L2 unknown"));
    passes(&rules().dlq().max(2), &history.replace("6 retry L2", "6 release L2").replace("n=3", "n=2"));
}

#[test]
fn putting_back_gives_new_attempts() {
    let history = |redriven: &str| {
        failed_twice(&format!(
            "
        7 dead 1.0 q max-attempts n=2
        8 {redriven}
        9 got 1.0 L3 c1 n=1
        10 ack L3"
        ))
    };
    passes(&rules().dlq().max(2), &history("redriven 1.0 q"));
    fails("attempt-regression missed-dlq", &rules().dlq().max(2), &history("note").replace("8 note", ""));
}

fn rejected(then: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 reject L1
        {then}
        90 end q
        90 end q.dead"
    )
}

#[test]
fn two_dead_letters() {
    let two = rejected("8 dead 1.0 q rejected\n8 dead 1.0 q rejected");
    fails("dlq-duplicate", &rules().dlq(), &two);
    for fault in ["cut", "lost-confirm", "duplicate", "broker-paused", "consumer-stopped"] {
        passes(&rules().dlq(), &two.replace("8 dead", &format!("4 fault {fault}\n5 heal {fault}\n8 dead")));
    }
    for fault in ["delayed-delivery", "dead-letter-refused", "publisher-stopped"] {
        let history = two.replace("8 dead", &format!("4 fault {fault}\n5 heal {fault}\n8 dead"));
        fails("dlq-duplicate", &rules().dlq(), &history);
    }
    passes(&rules().dlq(), &two.replace("8 dead", "4 cut c1\n8 dead"));
    passes(&rules().dlq(), &two.replace("2 ok", "1.5 again 1.0\n2 ok"));
    fails("dlq-duplicate", &rules().dlq(), &two.replace("0 sub c1 q", "0 sub c1 q\n0 sub c2 r\n5 cut c2"));
}

#[test]
fn each_life_has_its_dead_letter() {
    let history = |letters: usize| {
        rejected(&format!(
            "
        5 dead 1.0 q rejected
        6 redriven 1.0 q
        7 got 1.0 L2 c1
        8 reject L2
        {}",
            "9 dead 1.0 q rejected hops=1\n".repeat(letters)
        ))
    };
    passes(&rules().dlq(), &history(1));
    fails("dlq-duplicate", &rules().dlq(), &history(2));
}

#[test]
fn two_subscriptions_have_two_dead_letters() {
    passes(
        &rules().dlq(),
        "
        0 sub c1 t/a
        0 sub c2 t/b
        1 pub 1.0 to=t
        2 ok 1.0
        3 got 1.0 L1 c1
        4 reject L1
        3 got 1.0 L2 c2
        4 reject L2
        5 dead 1.0 t/a rejected
        5 dead 1.0 t/b rejected
        9 end t/a
        9 end t/b
        9 end q.dead",
    );
}

#[test]
fn delivered_after_it_was_dead_lettered() {
    let history = |between: &str| {
        rejected(&format!(
            "
        5 buried 1.0 q rejected
        6 dead 1.0 q rejected
        {between}
        7 got 1.0 L2 c1
        8 ack L2"
        ))
    };
    fails("dlq-duplicate unexplained-duplicate", &rules().dlq(), &history(""));
    passes(&rules().dlq(), &history("6.5 redriven 1.0 q"));
    passes(&rules().dlq(), &history("6.5 cut c1"));
    // At the same time is not after.
    fails("unexplained-duplicate", &rules().dlq(), &history("").replace("5 buried", "7 buried"));
    // It came before.
    passes(
        &rules().dlq(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 reject L1
        5 buried 1.0 q rejected
        6 dead 1.0 q rejected
        90 end q
        90 end q.dead",
    );
}

#[test]
fn the_reason_is_the_true_one() {
    let reason = |name: &str| rejected(&format!("8 dead 1.0 q {name}"));
    passes(&rules().dlq(), &reason("rejected"));
    for wrong in ["max-attempts", "expired", "undecodable", "no-handler", "order-spill"] {
        fails("dlq-metadata", &rules().dlq(), &reason(wrong));
    }
    fails("dlq-metadata", &rules().dlq(), &rejected("8 dead 1.0 q"));
    fails("dlq-metadata", &rules().dlq(), &failed_twice("8 dead 1.0 q rejected"));
    passes(&rules().dlq(), &failed_twice("8 dead 1.0 q max-attempts"));
    passes(&rules().dlq(), &failed_twice("8 dead 1.0 q order-spill"));
}

#[test]
fn what_no_handler_ever_saw() {
    let unseen = |publish: &str, reason: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0 {publish}
        2 ok 1.0
        8 dead 1.0 q {reason} n=0..
        90 end q
        90 end q.dead"
        )
    };
    passes(&rules().dlq(), &unseen("", "undecodable"));
    passes(&rules().dlq(), &unseen("", "no-handler"));
    passes(&rules().dlq(), &unseen("ttl=5", "expired"));
    fails("dlq-metadata", &rules().dlq(), &unseen("", "expired"));
    fails("dlq-metadata", &rules().dlq(), &unseen("", "rejected"));
    // A handler's router told it.
    passes(&rules().dlq(), &rejected("8 dead 1.0 q no-handler").replace("reject L1", "bury L1 no-handler"));
}

#[test]
fn attempts_and_times() {
    let letter = |more: &str| failed_twice(&format!("8 dead 1.0 q max-attempts {more}"));
    for good in ["n=2", "n=2..2", "n=1..5", "n=2 first=3 last=5", "n=2 first=3 last=3", "n=2 error=1024", "first=none"]
    {
        passes(&rules().dlq(), &letter(good));
    }
    for bad in ["n=3", "n=2..1", "n=0..", "first=5 last=3", "last=none", "error=1025"] {
        fails("dlq-metadata", &rules().dlq(), &letter(bad));
    }
    // Given back is no attempt.
    fails(
        "dlq-metadata",
        &rules().dlq(),
        &letter("n=2").replace("4 retry L1", "4 release L1").replace("c1 n=2", "c1 n=1"),
    );
}

#[test]
fn the_source_is_said() {
    fails("dlq-metadata", &rules().dlq(), &rejected("8 dead 1.0 ? rejected"));
}
