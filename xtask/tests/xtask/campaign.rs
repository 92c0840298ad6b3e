//! The report of `cargo xtask campaign`.

use xtask::campaign::{Mutants, Report};

#[test]
fn a_missed_mutant_or_a_failed_schedule_fails_the_campaign_and_so_does_nothing_at_all() {
    assert!(!Report::default().well());
    let held = || Report { passes: vec![(2_000, true)], ..Report::default() };
    assert!(held().well());
    assert!(!Report { passes: vec![(2_000, true), (4_000, false)], ..Report::default() }.well());
    let shard = |missed| vec![(3, Mutants { caught: 9, missed, ..Mutants::default() })];
    assert!(Report { shards: shard(0), ..held() }.well());
    assert!(!Report { shards: shard(1), ..held() }.well());
}

#[test]
fn the_page_names_what_was_missed_and_what_did_not_run() {
    let report = Report {
        passes: vec![(2_000, true), (4_000, false)],
        shards: vec![(3, Mutants { caught: 9, missed: 1, timeout: 2, unviable: 4 })],
        left_out: vec!["mutants: 60 of 64 shards, the time was up".to_owned()],
        missed: "backoff.rs:7: replace wait with 0\n".to_owned(),
    };
    let page = report.page("memory");
    for part in [
        "- 2000 seeds: held",
        "- 4000 seeds: FAILED",
        "| 3 of 64 | 9 | 1 | 2 | 4 |",
        "backoff.rs:7: replace wait with 0",
        "- mutants: 60 of 64 shards, the time was up",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}
