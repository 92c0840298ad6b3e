//! A million events, and texts for every event.

use std::fmt::Write as _;
use std::time::Instant;

use pontoon_conformance::checker::{AnomalyKind, judge};
use pontoon_conformance::history::History;

use super::notation::history;
use super::{Fact, rules};

/// So many messages of 100 keys, published, delivered twice with a retry between, acknowledged, flushed now and then.
fn large(messages: usize) -> History {
    let mut text = "0 sub c1 q prefetch=500\n".to_owned();
    for n in 0..messages {
        let (at, key) = (n + 1, n % 100);
        writeln!(text, "{at}.0 pub 1.{n} key=k{key}\n{at}.1 ok 1.{n} id={n}").unwrap();
        writeln!(text, "{at}.2 got 1.{n} L{n}00 c1 n=1..1 id={n}\n{at}.3 retry L{n}00").unwrap();
        writeln!(text, "{at}.4 got 1.{n} L{n}01 c1 n=2..2 id={n}\n{at}.5 ack L{n}01").unwrap();
        if n % 50 == 0 {
            writeln!(text, "{at}.6 flush c1").unwrap();
        }
    }
    writeln!(text, "{} end q", messages + 5).unwrap();
    history(&text)
}

/// Time grows hardly faster than the history: a step that compares everything with everything would be hundreds of
/// times slower.
#[test]
fn a_million_events_take_seconds() {
    let promises = rules().block().max(5).stale().set(|p| p.stall_after = Some(std::time::Duration::from_secs(60)));
    let history = large(125_000);
    assert!(history.len() > 1_000_000, "{}", history.len());
    let start = Instant::now();
    let verdict = judge(&history, &promises);
    let took = start.elapsed();
    assert!(verdict.is_passed(), "{verdict}");
    println!("{} events judged in {took:?}", history.len());
    assert!(took.as_secs() < 30, "{took:?}");
}

#[test]
fn every_anomaly_has_a_name_and_a_meaning() {
    let names: std::collections::BTreeSet<&str> = AnomalyKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), AnomalyKind::ALL.len());
    for kind in AnomalyKind::ALL {
        let meaning = kind.meaning();
        assert!(meaning.ends_with(").") && meaning.contains(" (C"), "{kind}: {meaning}");
        assert_eq!(meaning.trim(), meaning);
    }
}

/// The page and the code name the same anomalies, in the same words.
#[test]
fn the_readme_lists_every_anomaly() {
    let rows: Vec<String> = AnomalyKind::ALL.iter().map(|kind| format!("| `{kind}` | {} |", kind.meaning())).collect();
    let readme = include_str!("../../README.md");
    let listed: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(listed, rows);
}
