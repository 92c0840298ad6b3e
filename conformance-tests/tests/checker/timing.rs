//! `early`, `late`, `expired-delivered`, `stall`.

use std::time::Duration;

use super::{Fact, fails, passes, rules};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn delayed(delivered: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0 due=50
        2 ok 1.0
        {delivered} got 1.0 L1 c1
        200 ack L1
        300 end q"
    )
}

#[test]
fn before_its_delay_is_over() {
    passes(&rules(), &delayed("50"));
    fails("early", &rules(), &delayed("49.9"));
    passes(&rules().set(|p| p.early_by = MS(1)), &delayed("49.1"));
    fails("early", &rules().set(|p| p.early_by = MS(1)), &delayed("48.9"));
}

#[test]
fn too_long_after_its_delay() {
    let by = |ms| rules().set(|p| p.late_by = Some(MS(ms)));
    passes(&by(10), &delayed("60"));
    fails("late", &by(10), &delayed("60.1"));
    passes(&rules(), &delayed("199"));
    // It was stored late itself.
    let stored = delayed("70").replace("2 ok", "65 ok");
    passes(&by(10), &stored);
    fails("late", &by(10), &stored.replace("70 got", "76 got"));
    // Something was wrong meanwhile.
    passes(&by(10), &delayed("100").replace("2 ok", "55 fault slow\n56 heal slow\n2 ok"));
    fails("late", &by(10), &delayed("100").replace("2 ok", "30 fault slow\n40 heal slow\n2 ok"));
}

fn returned(end: &str, at: &str) -> String {
    format!(
        "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        10 {end}
        {at} got 1.0 L2 c1 n=1..
        200 ack L2
        300 end q"
    )
}

#[test]
fn before_its_wait_is_over() {
    passes(&rules(), &returned("retry L1 after=50", "60"));
    fails("early", &rules(), &returned("retry L1 after=50", "59"));
    passes(&rules().set(|p| p.early_by = MS(1)), &returned("retry L1 after=50", "59"));
    passes(&rules(), &returned("retry L1", "11"));
    passes(&rules(), &returned("release L1", "11"));
    // The retry did not stand, the key was blocked for too long, or the wait was lost with its client.
    passes(&rules(), &returned("retry L1 after=50 unknown", "30"));
    passes(&rules(), &returned("retry L1 after=50\n20 late L1 unknown", "30"));
    passes(&rules(), &returned("retry L1 after=50\n20 spilled 1.0 q", "30"));
    passes(&rules(), &returned("retry L1 after=50\n20 cut c1", "30"));
    passes(&rules(), &returned("retry L1 after=50\n20 redriven 1.0 q", "30"));
    fails("early", &rules(), &returned("retry L1 after=50\n40 spilled 1.0 q", "30"));
}

#[test]
fn another_copy_does_not_wait() {
    let doubt = returned("retry L1 after=50", "30").replace("2 ok", "1.5 again 1.0\n2 ok");
    passes(&rules(), &doubt);
    let named =
        |a: &str, b: &str| doubt.replace("L1 c1", &format!("L1 c1 id={a}")).replace("L2 c1", &format!("L2 c1 id={b}"));
    passes(&rules(), &named("7", "8"));
    fails("early", &rules(), &named("7", "7"));
}

#[test]
fn after_its_ttl() {
    let history = |publish: &str, delivered: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0 {publish}
        10 ok 1.0
        {delivered} got 1.0 L1 c1
        200 ack L1
        300 end q
        300 end q.dead"
        )
    };
    passes(&rules(), &history("ttl=50", "60"));
    fails("expired-delivered", &rules(), &history("ttl=50", "61"));
    passes(&rules(), &history("", "190"));
    passes(&rules().set(|p| p.expired_by = MS(1)), &history("ttl=50", "61"));
    fails("expired-delivered", &rules().set(|p| p.expired_by = MS(1)), &history("ttl=50", "61.1"));
    // When it was stored is not known.
    passes(&rules(), &history("ttl=50", "150").replace("10 ok 1.0", ""));
    // It begins when the delay is over, at the latest.
    passes(&rules(), &history("ttl=50 due=100", "150"));
    fails("expired-delivered", &rules(), &history("ttl=50 due=100", "151"));
    // Put back, a dead letter has no TTL.
    passes(
        &rules().dlq(),
        &history("ttl=50", "150").replace("150 got", "70 dead 1.0 q expired n=0..\n80 redriven 1.0 q\n150 got"),
    );
}

#[test]
fn only_the_first_hand_over_counts() {
    passes(
        &rules(),
        "
        0 sub c1 q
        1 pub 1.0 ttl=50
        2 ok 1.0
        3 got 1.0 L1 c1
        4 retry L1
        100 got 1.0 L2 c1 n=2
        101 ack L2
        300 end q",
    );
}

/// A message waits while nothing happens.
fn gap(delivered: &str, more: &str) -> String {
    format!(
        "
        0 sub c1 q
        10 pub 1.0
        20 ok 1.0
        {more}
        {delivered} got 1.0 L1 c1
        900 ack L1
        901 end q"
    )
}

fn stall(ms: u64) -> pontoon_conformance::checker::Promises {
    rules().set(|p| p.stall_after = Some(MS(ms)))
}

#[test]
fn nothing_happens() {
    // Its handler may take as long as it likes.
    passes(&stall(100), &gap("120", ""));
    fails("stall", &stall(100), &gap("121", ""));
    passes(&rules(), &gap("800", ""));
    // Nobody was there to read, or it was not due.
    passes(&stall(100), &gap("200", "").replace("0 sub c1 q", "150 sub c1 q"));
    fails("stall", &stall(100), &gap("300", "").replace("0 sub c1 q", "150 sub c1 q"));
    passes(&stall(100), &gap("200", "").replace("pub 1.0", "pub 1.0 due=150"));
    // Something was wrong, and shows for a while.
    passes(&stall(100), &gap("200", "30 fault slow\n150 heal slow"));
    passes(&stall(100), &gap("200", "30 fault slow\n150 heal slow"));
    fails("stall", &stall(100), &gap("300", "30 fault slow\n150 heal slow"));
    passes(&stall(100).set(|p| p.notice = MS(60)), &gap("300", "30 fault slow\n150 heal slow"));
    // It was over long before.
    fails("stall", &stall(100), &gap("200", "1 fault slow\n2 heal slow"));
    // What could expire may be gone.
    passes(&stall(100), &gap("140", "").replace("pub 1.0", "pub 1.0 ttl=200"));
}

#[test]
fn something_happened_meanwhile() {
    let other = "
        15 pub 1.1
        16 ok 1.1
        90 got 1.1 L9 c1
        91 ack L9";
    passes(&stall(100), &gap("190", other));
    fails("stall", &stall(100), &gap("192", other));
}

#[test]
fn two_calms_and_the_bound_between() {
    // Each calm by itself is as long as the bound, and no longer.
    passes(&stall(100), &gap("150", "30 fault slow\n50 heal slow"));
    passes(&stall(100), &gap("210", "120 fault slow\n205 heal slow"));
    fails("stall", &stall(100), &gap("210", "121 fault slow\n205 heal slow"));
    fails("stall", &stall(100), &gap("210", "200 fault slow\n205 heal slow"));
    // What is wrong afterwards is none of it.
    passes(&stall(100), &(gap("150", "30 fault slow\n60 heal slow") + "\n902 fault slow\n903 heal slow"));
}

#[test]
fn whoever_left_does_not_read() {
    let left = |closed: &str| {
        let history = gap("300", &format!("299 sub c2 q\n{closed} close c1"));
        history.replace("got 1.0 L1 c1", "got 1.0 L1 c2")
    };
    // Nobody reads from then on, until the next comes.
    passes(&stall(100), &left("20"));
    passes(&stall(100), &left("15"));
    fails("stall", &stall(100), &left("250"));
}

#[test]
fn a_lease_that_is_prolonged_is_something() {
    let other = |more: &str| format!("15 pub 1.1\n16 ok 1.1\n30 got 1.1 L9 c1\n{more}\n890 ack L9");
    fails("stall", &stall(100), &gap("200", &other("")));
    passes(&stall(100), &gap("200", &other("110 extended L9 by=50")));
}

#[test]
fn a_source_ends_when_it_was_read_to_its_end() {
    let history = "0 sub c1 q\n10 pub 1.0\n20 ok 1.0\n100 end q\n500 end q.dead";
    fails("lost-confirmed", &stall(100), history);
}

#[test]
fn how_long_is_told_in_seconds() {
    let told = fails("stall", &stall(100), &gap("520", ""));
    assert!(told.contains("stood still for 0.520 s"), "{told}");
}

#[test]
fn never_delivered_at_all() {
    let history = |end: u32| format!("0 sub c1 q\n10 pub 1.0\n20 ok 1.0\n{end} end q");
    fails("lost-confirmed stall", &stall(100), &history(500));
    fails("lost-confirmed", &stall(100), &history(100));
    passes(&stall(100), "0 sub c1 q\n10 pub 1.0\n20 ok 1.0\n21 got 1.0 L1 c1\n22 ack L1\n500 end q");
}
