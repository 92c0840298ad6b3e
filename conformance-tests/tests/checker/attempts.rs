//! `attempt-regression`.

use super::{Fact, fails, passes, rules};
use pontoon_conformance::checker::{Attempts, Promises};

fn exact() -> Promises {
    rules().set(|p| p.attempts = Attempts::Exact)
}

fn range() -> Promises {
    rules().set(|p| p.attempts = Attempts::Range)
}

fn once(attempt: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1 n={attempt}
        4 ack L1
        9 end q"
    )
}

/// Delivered, ended in some way, delivered again with this attempt.
fn twice(end: &str, attempt: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1 n=1..1
        4 {end}
        5 got 1.0 L2 c1 n={attempt}
        6 ack L2
        9 end q"
    )
}

#[test]
fn the_first_is_one() {
    for attempt in ["1", "1..1", "1..3"] {
        passes(&exact(), &once(attempt));
    }
    fails("attempt-regression", &rules(), &once("0"));
    fails("attempt-regression", &rules(), &once("0..0"));
    fails("attempt-regression", &rules(), &once("2"));
    fails("attempt-regression", &rules(), &once("2..1"));
    fails("attempt-regression", &rules(), &once("1..0"));
}

#[test]
fn it_counts_failures_and_nothing_else() {
    passes(&exact(), &twice("retry L1", "2..2"));
    for end in ["release L1", "drop L1", "lost L1", "ack L1 stale", "retry L1 stale"] {
        passes(&exact(), &twice(end, "1..2"));
        fails("attempt-regression", &rules(), &twice(end, "2..2"));
    }
    // What may have been recorded may be counted.
    passes(&rules(), &twice("retry L1 unknown", "2..2"));
    passes(&rules(), &twice("retry L1 unknown", "1..2"));
    passes(&rules(), &twice("retry L1\n4.5 late L1 unknown", "2..2"));
    fails("attempt-regression", &rules(), &twice("retry L1\n4.5 late L1 stale", "2..2"));
    fails("attempt-regression", &rules(), &twice("retry L1", "3..3"));
}

#[test]
fn it_counts_every_failure_where_it_is_exact() {
    fails("attempt-regression", &exact(), &twice("retry L1", "1..2"));
    passes(&range(), &twice("retry L1", "1..2"));
    // Unless something came in between.
    passes(&exact(), &twice("retry L1\n4.5 cut c1", "1..2"));
    passes(&exact(), &twice("retry L1\n4.5 fault cut", "1..2"));
    passes(&exact(), &twice("retry L1", "1..2").replace("2 ok", "1.5 again 1.0\n2 ok"));
}

#[test]
fn the_upper_bound_counts_what_failed() {
    fails("attempt-regression", &range(), &twice("retry L1", "1..1"));
    passes(&range(), &twice("release L1", "1..1"));
    passes(&range(), &twice("retry L1", "1.."));
    passes(&range(), &twice("retry L1\n4.5 cut c1", "1..1"));
}

/// Two failures, and then an attempt.
fn third(between: &str, attempt: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1 id=5
        4 retry L1
        5 got 1.0 L2 c1 n=2 id=5
        6 {between}
        7 got 1.0 L3 c1 n={attempt} id=5
        8 ack L3
        9 end q
        9 end q.dead"
    )
}

#[test]
fn it_does_not_go_back() {
    passes(&exact(), &third("retry L2", "3"));
    fails("attempt-regression", &rules(), &third("release L2", "1"));
    passes(&rules(), &third("release L2", "2"));
    fails("attempt-regression", &range(), &third("lost L2", "1"));
    fails("attempt-regression", &range(), &third("cut c1", "1"));
    // What only a client counted is gone with it.
    passes(&rules(), &third("lost L2", "1"));
    passes(&rules(), &third("cut c1", "1"));
    passes(&range(), &third("lost L2", "2"));
}

#[test]
fn what_was_fetched_before_may_be_handed_on_later() {
    let history = |second: &str, third_: &str| third("cut c1", third_).replace("n=2 id=5", &format!("n={second} id=5"));
    fails("attempt-regression", &range(), &history("2..3", "1..4"));
    passes(&range(), &history("2..3", "1..2"));
    passes(&rules(), &history("2..3", "1..4"));
}

#[test]
fn copies_count_apart() {
    let doubt = |text: String| text.replace("2 ok", "1.5 again 1.0\n2 ok");
    fails("attempt-regression", &range(), &doubt(third("release L2", "1")));
    passes(&range(), &doubt(third("release L2", "1").replace("n=1 id=5", "n=1 id=6")));
    passes(&range(), &doubt(third("release L2", "1").replace(" id=5", "")));
}

#[test]
fn putting_back_begins_anew() {
    let history = |attempt: &str| third("bury L2 rejected\n6.2 dead 1.0 q rejected n=2\n6.5 redriven 1.0 q", attempt);
    passes(&exact().dlq(), &history("1"));
    fails("attempt-regression", &exact().dlq(), &history("2"));
    fails("attempt-regression", &exact().dlq(), &history("3"));
    // And not before it was put back.
    fails("attempt-regression", &exact().dlq(), &third("release L2\n8 redriven 1.0 q", "1"));
}
