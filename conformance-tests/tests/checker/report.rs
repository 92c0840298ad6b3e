//! What a verdict says: counts, the smallest witnesses, their faults, in words.

use pontoon_conformance::checker::{Verdict, judge};

use super::notation::history;
use super::{Fact, fails, rules};

#[test]
fn the_smallest_witness_comes_first_and_all_are_counted() {
    let mut text = "0 sub c1 q\n".to_owned();
    for n in 0..9 {
        text += &format!("1 pub 1.{n}\n2 ok 1.{n}\n");
        // The later, the more happened to it before it was lost.
        for try_ in 0..n {
            text += &format!("{} got 1.{n} L{n}{try_} c1\n{} release L{n}{try_}\n", 3 + 2 * try_, 4 + 2 * try_);
        }
    }
    let verdict = fails("lost-confirmed", &rules(), &(text + "90 end q"));
    assert!(verdict.starts_with("failed: lost-confirmed ×9\n"), "{verdict}");
    let shown: Vec<&str> = verdict.lines().filter(|line| line.starts_with("lost-confirmed: ")).collect();
    assert_eq!(shown.len(), 3, "{verdict}");
    for (n, line) in shown.iter().enumerate() {
        assert!(line.starts_with(&format!("lost-confirmed: 1.{n} was")), "{verdict}");
    }
}

#[test]
fn a_witness_gives_its_events() {
    let verdict = judge(&history("0 sub c1 q\n1 pub 1.0\n2 ok 1.0\n90 end q"), &rules());
    let Verdict::Failed(failure) = verdict else { panic!("{verdict}") };
    let times: Vec<u64> = failure.anomalies[0].witness.events().iter().map(|event| event.at / 1_000_000).collect();
    assert_eq!(times, [1, 2]);
}

#[test]
fn a_witness_is_a_timeline_with_the_faults_around() {
    let verdict = fails(
        "acked-redelivered",
        &rules().stale(),
        "
        0 sub c1 q
        0 sub c2 q
        1 fault slow
        1.5 heal slow
        2 pub 1.0 key=a
        3 ok 1.0 id=7
        3 pub 1.1
        4 ok 1.1
        5 got 1.0 L1 c1 n=1..1 id=7
        6 ack L1
        7 flush c1
        8 fault cut
        9 heal cut
        10 got 1.0 L2 c2 n=1..2 id=7
        11 ack L2
        12 got 1.1 L3 c2
        13 ack L3
        14 fault full
        20 end q",
    );
    let timeline: Vec<&str> = verdict.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
    assert_eq!(
        timeline,
        [
            "0.001500 s  [0] -- fault ends: slow",
            "0.002000 s  [0] publish 1.0 (m1.0) to q, key a",
            "0.003000 s  [0] publish of 1.0 ends: confirmed as 7",
            "0.005000 s  [0] lease 1: q delivers m1.0 (1.0) to consumer 1, attempt 1..1, key a, broker's 7",
            "0.006000 s  [0] lease 1: ack",
            "0.006000 s  [0] lease 1: recorded",
            "0.008000 s  [0] -- fault begins: cut",
            "0.009000 s  [0] -- fault ends: cut",
            "0.010000 s  [0] lease 2: q delivers m1.0 (1.0) to consumer 2, attempt 1..2, key a, broker's 7",
            "0.011000 s  [0] lease 2: ack",
            "0.011000 s  [0] lease 2: recorded",
        ],
        "{verdict}"
    );
}
