//! What `cargo xtask campaign` judges and reports.

use xtask::campaign::survivors::{self, Survivors, without_place};
use xtask::campaign::{Part, Report, flat, parse_mutants, stories};

fn part(well: bool) -> Part {
    Part { well, ..Part::new("Random schedules") }
}

#[test]
fn a_failed_part_fails_the_campaign_and_so_does_nothing_at_all() {
    let report = |parts| Report { parts, ..Report::default() };
    assert!(!Report::default().well());
    assert!(report(vec![part(true)]).well());
    assert!(!report(vec![part(true), part(false)]).well());
}

#[test]
fn the_page_names_what_was_seen_and_what_did_not_run() {
    let mut seen = part(false);
    seen.say("400 seeds: FAILED");
    seen.leave_out("schedules with 800 seeds: the time was up");
    let page = Report { parts: vec![seen], left_out: vec!["Soak".to_owned()] }.page("memory");
    for words in ["Random schedules: FAILED", "- 400 seeds: FAILED", "- Soak", "- schedules with 800 seeds"] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn memory_that_grows_is_not_flat() {
    let noise = |second: u64| second % 7 * 100;
    let steady: Vec<u64> = (0..60).map(|second| 40_000 + noise(second)).collect();
    let filling: Vec<u64> = (0..60).map(|second| 40_000 + second.min(15) * 1_000).collect();
    let leaking: Vec<u64> = (0..60).map(|second| 40_000 + second * 300).collect();
    assert!(flat(&steady));
    assert!(flat(&filling), "what is kept for reuse fills at first");
    assert!(!flat(&leaking));
    assert!(!flat(&[40_000, 40_000]), "too short to tell");
}

#[test]
fn a_survivor_needs_an_explanation_of_its_own() {
    let explained = Survivors::parse(
        "[[survivor]]\nfile = \"a.rs\"\nmutant = \"replace f with 0\"\ncount = 2\nreason = \"cannot be seen\"\n",
    )
    .unwrap();
    let twice = ["a.rs:1:2: replace f with 0", "a.rs:3:4: replace f with 0"];
    assert!(explained.unexplained(&twice).is_empty());
    let thrice = [twice[0], twice[1], "a.rs:5:6: replace f with 0"];
    assert_eq!(explained.unexplained(&thrice), ["a.rs:5:6: replace f with 0"]);
    let others = ["b.rs:1:2: replace f with 0", "a.rs:1:2: replace f with 1"];
    assert_eq!(explained.unexplained(&others), others);
}

#[test]
fn an_explanation_without_a_reason_is_refused() {
    let error = Survivors::parse("[[survivor]]\nfile = \"a.rs\"\nmutant = \"m\"\nreason = \" \"\n").unwrap_err();
    assert!(error.to_string().contains("`m` has no reason"), "{error}");
}

#[test]
fn the_committed_explanations_can_be_read_and_name_files_that_are_there() {
    let text = include_str!("../../../docs/campaign/survivors.toml");
    Survivors::parse(text).unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert!(root.join(survivors::FILE).is_file());
    for file in text.lines().filter_map(|line| line.strip_prefix("file = ")) {
        assert!(root.join(file.trim_matches('"')).is_file(), "{file} is gone: so is what it explains");
    }
}

#[test]
fn mutants_are_read_from_the_list_and_named_without_their_place() {
    let list = br#"[{"name":"a/b.rs:50:9: replace A::f -> B<C> with ()","package":"p","file":"a/b.rs"}]"#;
    let mutants = parse_mutants(list).unwrap();
    assert_eq!(without_place(&mutants[0]), ("a/b.rs", "replace A::f -> B<C> with ()"));
    assert!(parse_mutants(b"nothing").is_err());
}

#[test]
fn what_a_storm_said_of_itself_is_one_line() {
    let said = "test redis-8.0-queue::STORM ... storm over redis-8.0-queue, seed 1, 6.5s\n  faults: 3 of 3 effective\n  \
                passed\nok\n  not of it\ncrash points over p, seed 1, 3.5s\n  passed\n";
    let expected = [
        "storm over redis-8.0-queue, seed 1, 6.5s; faults: 3 of 3 effective; passed",
        "crash points over p, seed 1, 3.5s; passed",
    ];
    assert_eq!(stories(said), expected);
    assert!(stories("test p::STORM ... ok\n  nothing\n").is_empty());
}
