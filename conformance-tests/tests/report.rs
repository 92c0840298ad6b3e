//! A run in which promises are broken, in every form of the report.
//!
//! `PONTOON_CONFORMANCE_SAMPLE=FOLDER` keeps the page and the XML, to look at.

mod common;

use std::sync::Arc;

use pontoon_conformance::harness::Harness;
use pontoon_conformance::report::{Declared, Entry, Report, Verdict, html, junit, terminal};
use pontoon_conformance::run::{Plan, run};
use pontoon_conformance::{checks, mutants};
use pontoon_core::Capabilities;

/// Checks that fail, each by its own mutant, and two that do not.
const BROKEN: [&str; 4] = ["ORD-KEY", "ACK-STALE", "DLQ-OUTAGE", "PUB-REJECT"];
const WELL: [&str; 2] = ["ACK-FINAL", "BAD-PANIC"];

fn sample() -> Report {
    let harness: Arc<dyn Harness> = Arc::new(common::Memory);
    let profiles = harness.profiles();
    let profile = &profiles[0];
    let mut entries: Vec<Entry> = Vec::new();
    for check in checks::all() {
        let plan = Plan::of(1);
        if BROKEN.contains(&check.name) {
            let mutant = mutants::of(check.name).expect("it has a mutant");
            entries.push(run(&harness, profile, check, &plan.with((mutant.make)())));
        } else if WELL.contains(&check.name) || check.name.starts_with("RPC") {
            entries.push(run(&harness, profile, check, &plan));
        }
    }
    let declared = Declared::of(&Capabilities::new(profile.name.as_str()));
    Report::new("memory", vec![profile.name.clone()], 1, entries).declaring([(profile.name.clone(), declared)].into())
}

/// The value of every attribute that a browser would fetch from.
fn fetched(page: &str) -> Vec<&str> {
    ["src=\"", "href=\"", "url(", "@import", "<script", "<link", "<iframe", "<img"]
        .iter()
        .flat_map(|mark| page.match_indices(mark).map(|(at, _)| &page[at..(at + 60).min(page.len())]))
        .collect()
}

#[test]
fn a_failing_run_is_told_in_every_form() {
    let report = sample();
    assert_eq!(report.totals.failed, BROKEN.len(), "{}", terminal(&report));
    assert_eq!(report.totals.passed, WELL.len());
    assert_eq!(report.evidence.len(), BROKEN.len());

    // As JSON and back, nothing is lost; the checks have the documented fields and no others.
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let fields: Vec<&String> = json["checks"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["millis", "name", "profile", "promise", "reason", "verdict"]);

    let page = html(&report);
    assert_eq!(fetched(&page), Vec::<&str>::new(), "nothing is fetched from elsewhere");
    assert!(page.contains("Content-Security-Policy"));
    let pictures = page.matches("<figure>").count();
    assert_eq!(pictures, BROKEN.len());
    for name in BROKEN {
        let check = checks::all().into_iter().find(|check| check.name == name).unwrap();
        assert!(page.contains(name) && page.contains(check.failure), "{name}");
        let shown = report.evidence.iter().find(|shown| shown.check == name).unwrap();
        assert!(!shown.events.is_empty(), "{name}");
    }
    // What the checker found is marked, in the picture and in the list.
    let proven = report.evidence.iter().filter(|shown| shown.events.iter().any(|event| event.witness)).count();
    assert!(proven >= 2, "{proven}");
    assert!(page.matches("class=\"proof\" cx=").count() >= proven);

    let xml = junit(&report).unwrap();
    let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    let counts = read.test_suites.iter().map(|suite| (suite.tests, suite.failures, suite.errors, suite.skipped));
    let waiting = report.totals.waiting;
    assert!(waiting > 0);
    assert_eq!(counts.collect::<Vec<_>>(), [(BROKEN.len() + WELL.len() + waiting, BROKEN.len(), 0, waiting)]);

    let table = terminal(&report);
    assert_eq!(table.lines().last().unwrap(), report.totals.to_string());
    assert!(BROKEN.iter().all(|name| table.contains(&format!("failed {name} on memory-queue: "))), "{table}");

    if let Some(folder) = std::env::var_os("PONTOON_CONFORMANCE_SAMPLE").map(std::path::PathBuf::from) {
        std::fs::write(folder.join("report.html"), page).unwrap();
        std::fs::write(folder.join("report.xml"), xml).unwrap();
        std::fs::write(folder.join("report.json"), text).unwrap();
    }
}

#[test]
fn hostile_text_stays_text() {
    let mut report = sample();
    let evil = "<script>alert(1)</script>\u{1}&\"'";
    report.transport = evil.to_owned();
    for entry in &mut report.checks {
        entry.reason = format!("{evil}\n{evil}");
        entry.promise = evil.to_owned();
    }
    for shown in &mut report.evidence {
        (shown.text, shown.failure, shown.repeat) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
        for event in &mut shown.events {
            event.event.what = pontoon_conformance::history::What::Note { text: evil.to_owned() };
        }
    }
    assert!(!html(&report).contains("<script"));
    let xml = junit(&report).unwrap();
    quick_junit::Report::deserialize_from_str(&xml).unwrap();
}

#[test]
fn reports_of_several_transports_are_one() {
    let one = sample();
    let mut other = sample();
    other.transport = "other".into();
    other.profiles = vec!["other-queue".into()];
    for entry in &mut other.checks {
        entry.profile = "other-queue".into();
        entry.verdict = Verdict::Passed;
    }
    for shown in &mut other.evidence {
        shown.profile = "other-queue".into();
    }
    other.declares = other.declares.into_values().map(|declared| ("other-queue".to_owned(), declared)).collect();
    let both = one.clone().with(other.clone());
    assert_eq!(both.transport, "memory+other");
    assert_eq!(both.totals.checks, one.totals.checks + other.totals.checks);
    assert_eq!(both.evidence.len(), one.evidence.len() + other.evidence.len());
    assert_eq!(both.declares.len(), 2);
    assert!(!both.is_well());
}
