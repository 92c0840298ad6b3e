//! Runs that nobody disturbs.

use std::collections::BTreeSet;

use super::accounts::{self, Journal};
use super::process::{TempFile, run};

#[test]
fn a_plain_run_loses_nothing() {
    let ended = run(&[]);
    assert_eq!(ended.status, Some(0), "{}", ended.told());
    let figures = ended.figures();
    assert_eq!(figures.get("published"), 2000);
    assert_eq!(figures.sum(&["handled", "dead_lettered"]), 2000);
    assert_eq!(figures.sum(&["duplicates", "out_of_order", "lost"]), 0);
    assert!(!figures.has("left"), "only an interrupted run has a rest");
    assert!(ended.stderr.contains("published 2000"), "progress is told: {}", ended.stderr);
}

#[test]
fn without_failures_only_late_flights_are_dead_letters() {
    let ended = run(&["--fail-rate", "0", "--poison", "0", "--workers", "1"]);
    assert_eq!(ended.status, Some(0), "{}", ended.told());
    let last = "published=2000 handled=1973 dead_lettered=27 retried=0 duplicates=0 out_of_order=0 lost=0";
    assert_eq!(ended.stdout.lines().last(), Some(last));
    let listed = accounts::dead_letters(&ended.stdout);
    assert!(listed.iter().all(|(_, reason)| reason == "rejected"));
    assert_eq!(listed.into_iter().map(|(seq, _)| seq).collect::<BTreeSet<_>>(), accounts::too_late());
}

#[test]
fn ten_seeds_with_failures_and_poison_agree_with_an_independent_computation() {
    let late = accounts::too_late();
    assert_eq!(late.len(), 27);
    for seed in 1..=10 {
        let file = TempFile::new(&format!("seed-{seed}.jsonl"));
        let seed = seed.to_string();
        let ended = run(&["--fail-rate", "0.3", "--poison", "7", "--seed", &seed, "--journal", file.as_str()]);
        let told = format!("seed {seed}: {}", ended.told());
        assert_eq!(ended.status, Some(0), "{told}");
        let (figures, journal) = (ended.figures(), Journal::read(file.as_str()));

        let poison = journal.spent();
        assert_eq!(poison.len(), 7, "{told}");
        let dead: BTreeSet<u64> = late.union(&poison).copied().collect();
        assert_eq!(figures.get("dead_lettered"), dead.len(), "{told}");
        assert_eq!(figures.get("handled"), 2000 - dead.len(), "{told}");
        assert_eq!(figures.get("handled"), journal.seqs("handled").len(), "{told}");
        assert_eq!(figures.get("published"), 2000, "{told}");
        assert_eq!(figures.sum(&["duplicates", "out_of_order", "lost"]), 0, "{told}");
        assert_eq!(journal.out_of_order(), 0, "{told}");
        assert_eq!(figures.get("retried"), journal.of("failed").len() - 7, "{told}");
        let failing = journal.seqs("failed").len();
        assert!((600..=607).contains(&failing), "{failing} flights failed; {told}");
        assert!(journal.workers().len() > 1, "several workers take part; {told}");

        assert_eq!(accounts::table(&ended.stdout), accounts::as_table(&journal.totals()), "{told}");
        let listed = accounts::dead_letters(&ended.stdout);
        assert_eq!(listed.len(), dead.len(), "each once; {told}");
        for (seq, reason) in listed {
            // Poison fails before its delay is looked at.
            let expected = if poison.contains(&seq) { "max-attempts" } else { "rejected" };
            assert_eq!(reason, expected, "flight {seq}; {told}");
            assert!(dead.contains(&seq), "flight {seq}; {told}");
        }
    }
}
