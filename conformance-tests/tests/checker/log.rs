//! Positions: `nonmonotonic-send`, `position-mismatch`, `inconsistent-offsets`, `poll-skip`, `nonmonotonic-poll`.

use super::{fails, passes, rules};

/// Three messages at these places of a log, and what is read.
fn log(places: [&str; 3], read: &str) -> String {
    format!(
        "
        0 sub c1 q
        0 given c1 0
        1 pub 1.0
        1 pub 1.1
        1 pub 1.2
        2 ok 1.0 at={}
        2 ok 1.1 at={}
        2 ok 1.2 at={}
        {read}
        90 end q",
        places[0], places[1], places[2]
    )
}

const READ: &str = "
    3 got 1.0 L1 c1 at=0@0
    4 ack L1
    5 got 1.1 L2 c1 at=1@0
    6 ack L2
    7 got 1.2 L3 c1 at=2@0
    8 ack L3";

const IN_ORDER: [&str; 3] = ["0@0", "1@0", "2@0"];

#[test]
fn read_as_it_was_written() {
    passes(&rules(), &log(IN_ORDER, READ));
    // Positions without a message of the run, such as marks of transactions, are no skips.
    passes(&rules(), &log(["0@0", "5@0", "9@0"], &READ.replace("1@0", "5@0").replace("2@0", "9@0")));
}

#[test]
fn a_message_that_another_reads_at_that_moment_is_skipped() {
    let read = |at: u32| {
        format!(
            "
        0 sub c2 q
        3 got 1.0 L1 c1 at=0@0
        4 ack L1
        {at} got 1.1 L2 c2
        7 got 1.2 L3 c1 at=2@0
        8 ack L2
        8 ack L3"
        )
    };
    passes(&rules(), &log(IN_ORDER, &read(6)));
    fails("poll-skip", &rules(), &log(IN_ORDER, &read(7)));
}

#[test]
fn written_against_the_issue_order() {
    let swapped = READ.replace("3 got 1.0 L1 c1 at=0@0", "3 got 1.1 L1 c1 at=0@0").replace("got 1.1 L2", "got 1.0 L2");
    fails("nonmonotonic-send", &rules(), &log(["1@0", "0@0", "2@0"], &swapped));
    // In different partitions there is no order, and none between publishers.
    passes(
        &rules(),
        &log(
            ["1@0", "0@1", "2@0"],
            "
        3 got 1.1 L1 c1 at=0@1
        4 ack L1
        5 got 1.0 L2 c1 at=1@0
        6 ack L2
        7 got 1.2 L3 c1 at=2@0
        8 ack L3",
        ),
    );
    passes(&rules(), &log(["1@0", "0@0", "2@0"], &swapped).replace("1.1", "2.0"));
}

#[test]
fn receipts_and_deliveries_agree() {
    fails("position-mismatch", &rules(), &log(IN_ORDER, &READ.replace("at=2@0", "at=2@1")));
    // The place that the delivery has is another message's.
    fails(
        "inconsistent-offsets nonmonotonic-poll position-mismatch",
        &rules(),
        &log(IN_ORDER, &READ.replace("at=1@0", "at=0@0")),
    );
    fails(
        "inconsistent-offsets position-mismatch",
        &rules(),
        &log(IN_ORDER, &READ.replace("5 got 1.1 L2 c1 at=1@0", "5 cut c1\n5 got 1.1 L2 c1 at=0@0")),
    );
}

#[test]
fn one_position_two_messages() {
    // Both receipts name the same place.
    fails(
        "inconsistent-offsets nonmonotonic-send",
        &rules(),
        &log(
            ["0@0", "1@0", "1@0"],
            "
        3 got 1.0 L1 c1 at=0@0
        4 ack L1
        5 got 1.1 L2 c1 at=1@0
        6 ack L2
        7 left 1.2 q",
        ),
    );
    // Two readers are given two messages at one place.
    fails(
        "inconsistent-offsets",
        &rules(),
        "
        0 sub c1 q
        0 sub c2 q
        1 pub 1.0
        1 pub 1.1
        2 ok 1.0
        2 ok 1.1
        3 got 1.0 L1 c1 at=0@0
        4 ack L1
        5 got 1.1 L2 c2 at=0@0
        6 ack L2
        9 end q",
    );
}

#[test]
fn a_position_is_left_out() {
    let skipped = "
        3 got 1.0 L1 c1 at=0@0
        4 ack L1
        7 got 1.2 L3 c1 at=2@0
        8 ack L3
        9 left 1.1 q";
    fails("poll-skip", &rules(), &log(IN_ORDER, skipped));
    // Not across assignments, nor after a lost connection.
    passes(&rules(), &log(IN_ORDER, &skipped.replace("7 got", "5 taken c1 0\n6 given c1 0\n7 got")));
    passes(&rules(), &log(IN_ORDER, &skipped.replace("7 got", "6 cut c1\n7 got")));
    fails("poll-skip", &rules(), &log(IN_ORDER, &skipped.replace("7 got", "5 taken c1 1\n6 given c1 1\n7 got")));
    // It had been delivered before.
    passes(
        &rules(),
        &log(
            IN_ORDER,
            "
        0 sub c2 q
        3 got 1.1 L2 c2 at=1@0
        4 ack L2
        5 got 1.0 L1 c1 at=0@0
        6 ack L1
        7 got 1.2 L3 c1 at=2@0
        8 ack L3",
        ),
    );
    // Another partition's is not skipped.
    passes(&rules(), &log(["0@0", "1@1", "2@0"], skipped));
}

#[test]
fn a_reader_goes_back() {
    let back = "
        3 got 1.0 L1 c1 at=0@0
        4 ack L1
        5 got 1.2 L3 c1 at=2@0
        6 ack L3
        7 got 1.1 L2 c1 at=1@0
        8 ack L2";
    fails("nonmonotonic-poll poll-skip", &rules(), &log(IN_ORDER, back));
    passes(&rules(), &log(IN_ORDER, &back.replace("7 got", "6.5 cut c1\n7 got").replace("5 got", "4.5 cut c1\n5 got")));
    passes(
        &rules(),
        &log(IN_ORDER, &back.replace("7 got", "6.5 given c1 0\n7 got").replace("5 got", "4.5 given c1 0\n5 got")),
    );
    // What was given back is read again.
    passes(
        &rules(),
        &log(
            IN_ORDER,
            "
        3 got 1.0 L1 c1 at=0@0
        4 retry L1
        5 got 1.0 L2 c1 at=0@0 n=2
        6 ack L2
        7 got 1.1 L3 c1 at=1@0
        8 ack L3
        9 got 1.2 L4 c1 at=2@0
        10 ack L4",
        ),
    );
}
