//! The judge notices what is broken beneath the library.

use super::accounts::Journal;
use super::process::{Ended, TempFile, run};

fn sabotaged(how: &str, seed: &str) -> (Ended, Journal) {
    let file = TempFile::new(&format!("{how}-{seed}.jsonl"));
    let args = ["--sabotage", how, "--seed", seed, "--fail-rate", "0.3", "--poison", "7", "--journal", file.as_str()];
    let ended = run(&args);
    assert_eq!(ended.status, Some(1), "{how} with seed {seed}: {}", ended.told());
    (ended, Journal::read(file.as_str()))
}

#[test]
fn dropped_messages_are_lost() {
    for seed in ["1", "2", "3"] {
        let (ended, journal) = sabotaged("lose", seed);
        let figures = ended.figures();
        // One in 25, from a seeded beginning.
        assert!((79..=81).contains(&figures.get("lost")), "{}", ended.told());
        assert_eq!(figures.get("published"), 2000, "the broker said it had them: {}", ended.told());
        assert_eq!(figures.get("handled"), journal.seqs("handled").len());
        assert_eq!(figures.sum(&["out_of_order", "duplicates"]), 0, "{}", ended.told());
    }
}

#[test]
fn swapped_messages_are_out_of_order() {
    for seed in ["1", "2", "3"] {
        let (ended, journal) = sabotaged("swap", seed);
        let figures = ended.figures();
        assert!(figures.get("out_of_order") > 5, "{}", ended.told());
        assert_eq!(figures.get("out_of_order"), journal.out_of_order(), "{}", ended.told());
        assert_eq!(figures.sum(&["lost", "duplicates"]), 0, "{}", ended.told());
    }
}

#[test]
fn messages_delivered_after_their_ack_are_duplicates() {
    for seed in ["1", "2", "3"] {
        let (ended, journal) = sabotaged("dup", seed);
        let figures = ended.figures();
        assert!(figures.get("duplicates") > 5, "{}", ended.told());
        let beyond = journal.of("handled").len() - journal.seqs("handled").len();
        assert_eq!(figures.get("duplicates"), beyond, "{}", ended.told());
        assert_eq!(figures.sum(&["lost", "out_of_order"]), 0, "{}", ended.told());
    }
}
