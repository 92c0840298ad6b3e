//! `lost-confirmed`, `unseen`, `dlq-lost`.

use super::{Fact, fails, passes, rules};

#[test]
fn confirmed_and_never_seen() {
    let verdict = fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        9 end q",
    );
    assert!(verdict.contains("1.0 was confirmed and q does not account for it (as all"), "{verdict}");
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        9 end q",
    );
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        8 left 1.0 q
        9 end q",
    );
}

#[test]
fn not_confirmed_may_be_missing() {
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 fail 1.0
        9 end q",
    );
    passes(
        &rules(),
        "
        0 sub c1 q
        0 fault cut
        1 pub 1.0
        2 unknown 1.0
        3 heal cut
        9 end q",
    );
    // No end at all is unknown.
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        9 end q",
    );
}

#[test]
fn delivered_and_never_settled() {
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        5 close c1
        9 end q",
    );
    // It may have been acknowledged: the answer is only not known.
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1 begun
        5 kill 0
        9 end q",
    );
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1 unknown
        9 end q",
    );
    // What was stale was not done.
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1 stale
        9 end q",
    );
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        5 late L1 stale
        9 end q",
    );
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1 refused
        9 end q",
    );
}

#[test]
fn given_back_and_never_seen_again() {
    for end in ["release L1", "drop L1", "retry L1"] {
        fails(
            "lost-confirmed",
            &rules(),
            &format!(
                "
            0 sub c1 q
            1 pub 1.0
            2 ok 1.0
            3 got 1.0 L1 c1
            4 {end}
            9 end q"
            ),
        );
    }
}

#[test]
fn where_in_its_publishers_messages() {
    let with = |missing: usize, end: &str| {
        let mut text = "0 sub c1 q\n".to_owned();
        for n in 0..5 {
            text += &format!("{}.1 pub 1.{n}\n{}.2 ok 1.{n}\n", n + 1, n + 1);
            if n != missing {
                text += &format!("{}.3 got 1.{n} L{n} c1\n{}.4 ack L{n}\n", n + 1, n + 1);
            }
        }
        text + end
    };
    for (missing, part) in [(0, "among the first"), (2, "in the middle"), (4, "among the last")] {
        let verdict = fails("lost-confirmed", &rules(), &with(missing, "9 end q"));
        assert!(verdict.contains(part), "{verdict}");
    }
    passes(&rules(), &with(9, "9 quiet q"));
    // The end of a source that merely fell quiet may be with a slow reader; what is missing before it may not.
    fails("unseen", &rules(), &with(4, "9 quiet q"));
    fails("lost-confirmed", &rules(), &with(3, "9 quiet q"));
    fails("lost-confirmed", &rules(), &with(0, "9 quiet q"));
}

#[test]
fn unseen_is_only_what_was_never_seen() {
    fails(
        "unseen",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        9 quiet q",
    );
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        9 quiet q",
    );
}

#[test]
fn every_subscription_gets_its_own() {
    let history = |of_b: &str| {
        format!(
            "
        0 sub c1 t/a
        0 sub c2 t/b
        1 pub 1.0 to=t
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        {of_b}
        9 end t/a
        9 end t/b"
        )
    };
    fails("lost-confirmed", &rules(), &history(""));
    passes(&rules(), &history("3 got 1.0 L2 c2\n4 ack L2"));
}

#[test]
fn a_subscription_begins_with_what_is_published_later() {
    let history = |begins: &str, published: &str| {
        format!(
            "
        {begins}
        1 sub c1 t/a
        {published}
        9 end t/a"
        )
    };
    passes(&rules(), &history("", "0 pub 1.0 to=t\n2 ok 1.0"));
    fails("lost-confirmed", &rules(), &history("", "1.5 pub 1.0 to=t\n2 ok 1.0"));
    // It was durable before anybody read from it.
    fails("lost-confirmed", &rules(), &history("0 topic t/a", "0.5 pub 1.0 to=t\n2 ok 1.0"));
    // It was to begin with the oldest message.
    fails("lost-confirmed", &rules(), &history("0.9 topic t/a earliest", "0.5 pub 1.0 to=t\n2 ok 1.0"));
    passes(&rules(), &history("0.9 topic t/a", "0.5 pub 1.0 to=t\n2 ok 1.0"));
    // A queue has no beginning.
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 pub 1.0
        1 ok 1.0
        2 sub c1 q
        9 end q",
    );
}

#[test]
fn other_channels_are_not_expected_to_have_it() {
    passes(
        &rules(),
        "
        0 sub c1 q
        0 sub c2 r
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        9 end q
        9 end r",
    );
}

#[test]
fn what_was_purged_is_not_lost() {
    let history = |count: usize| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        1 pub 1.1
        2 ok 1.0
        2 ok 1.1
        3 purged q {count}
        9 end q"
        )
    };
    passes(&rules(), &history(2));
    fails("lost-confirmed", &rules(), &history(1));
    // What was published after the purge was not purged.
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 purged q 5
        2 pub 1.0
        3 ok 1.0
        9 end q",
    );
}

#[test]
fn published_again_it_counts_once_and_the_best_outcome_counts() {
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 fail 1.0
        3 pub 1.0
        4 ok 1.0
        9 end q",
    );
    fails(
        "lost-confirmed",
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 pub 1.0
        4 fail 1.0
        9 end q",
    );
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0
        2 fail 1.0
        3 pub 1.0
        4 fail 1.0
        9 end q",
    );
}

#[test]
fn a_broker_that_keeps_nothing_may_lose_it_in_a_crash() {
    let history = |fault: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 fault {fault}
        4 heal {fault}
        9 end q"
        )
    };
    passes(&rules(), &history("broker-killed"));
    fails("lost-confirmed", &rules(), &history("broker-paused"));
    fails("lost-confirmed", &rules().set(|p| p.durable = true), &history("broker-killed"));
}

#[test]
fn dead_lettered_and_nowhere() {
    let rejected = |rest: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 reject L1
        {rest}
        9 end q
        9 end q.dead"
        )
    };
    fails("dlq-lost", &rules().dlq(), &rejected(""));
    passes(&rules().dlq(), &rejected("8 dead 1.0 q rejected"));
    // A dead letter that does not say where it came from is one all the same.
    fails("dlq-metadata", &rules().dlq(), &rejected("8 dead 1.0 ? rejected"));
    // Dropping needs a policy that says so.
    fails("dlq-lost", &rules().dlq(), &rejected("8 dropped 1.0 q rejected"));
    passes(&rules(), &rejected("8 dropped 1.0 q rejected"));
    fails("dlq-lost", &rules(), &rejected(""));
}

#[test]
fn attempts_used_up_and_nowhere() {
    let history = |rest: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 retry L1
        5 got 1.0 L2 c1 n=2
        6 retry L2
        {rest}
        9 end q
        9 end q.dead"
        )
    };
    fails("dlq-lost", &rules().dlq().max(2), &history(""));
    fails("lost-confirmed", &rules().dlq().max(3), &history(""));
    passes(&rules().dlq().max(2), &history("8 dead 1.0 q max-attempts n=2"));
    // A settlement that was not accepted is no failure.
    fails("lost-confirmed", &rules().dlq().max(2), &history("7 late L2 stale"));
}

#[test]
fn a_reject_that_was_not_accepted_makes_no_dead_letter() {
    fails(
        "lost-confirmed",
        &rules().dlq(),
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 reject L1 stale
        9 end q
        9 end q.dead",
    );
}
