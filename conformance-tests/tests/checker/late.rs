//! What came too late, or was older than it looked: acknowledgements that are not final, deliveries that were fetched
//! before.

use super::{Fact, fails, passes, rules};

#[test]
fn a_connection_lost_as_it_delivers_gives_back() {
    let history = |at: &str| {
        format!(
            "0 sub c1 q\n0 sub c2 q\n1 pub 1.0\n2 ok 1.0\n5 got 1.0 L1 c1\n{at} cut c1\n9 got 1.0 L2 c2\n10 ack L2\n90 end q"
        )
    };
    passes(&rules(), &history("5"));
    fails("unexplained-duplicate", &rules(), &history("4.9"));
}

#[test]
fn what_a_flush_found_late_is_not_final_by_the_next() {
    let history = |late: &str| {
        format!(
            "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        5 cut c1
        {late}
        7 flush c1
        8 got 1.0 L2 c1
        9 ack L2
        90 end q"
        )
    };
    passes(&rules().stale(), &history("6 late L1 stale"));
    fails("acked-redelivered", &rules().stale(), &history(""));
}

#[test]
fn deliveries_that_count_the_same_may_come_in_either_order() {
    let history = |first: &str, second: &str| {
        format!(
            "
        0 sub c1 q
        0 sub c2 q
        1 pub 1.0
        2 ok 1.0
        3 fault expired-lease
        3 heal expired-lease
        50 got 1.0 L1 c1 n=1..{first} id=7
        51 ack L1
        52 flush c1
        60 got 1.0 L2 c2 n=1..{second} id=7
        61 ack L2 stale
        90 end q"
        )
    };
    // The second may have been fetched first and lain in its client; not where the broker counted it later.
    passes(&rules().stale(), &history("2", "2"));
    fails("acked-redelivered", &rules().stale(), &history("1", "2"));
    // A lost connection hands out nothing in another order.
    let cut = history("2", "2").replace("fault expired-lease", "cut c2").replace("3 heal expired-lease", "");
    fails("acked-redelivered", &rules().stale(), &cut);
}

#[test]
fn a_copy_that_is_stored_first_may_be_made_before_the_loss_can_be_known() {
    let history = |rejected: &str| {
        format!(
            "
        0 sub c1 q
        0 sub c2 q
        1 pub 1.0
        2 ok 1.0
        5 got 1.0 L1 c1 n=1..1 id=7
        6 cut c1
        7 got 1.0 L2 c2 n=1..2 id=7
        {rejected} reject L1
        20 ack L2 done
        21 dead 1.0 q rejected
        90 end q
        90 end q.dead"
        )
    };
    let copies =
        rules().dlq().stale().set(|p| (p.copies_first, p.notice) = (true, std::time::Duration::from_millis(3)));
    passes(&copies, &history("10"));
    fails("stale-ack-accepted", &copies, &history("10.1"));
    // In one step it is known by the broker.
    fails("stale-ack-accepted", &copies.clone().set(|p| p.copies_first = false), &history("8"));
}
