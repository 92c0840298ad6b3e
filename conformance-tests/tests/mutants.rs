//! Every check that runs is killed by its mutant, by the anomaly it names, and passes without it; no mutant dies to more
//! than a few checks; and the table in `TABLE.md` says so.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pontoon_conformance::checks::{self, Check};
use pontoon_conformance::harness::{Harness, Profile};
use pontoon_conformance::mutants::{self, Mutant};
use pontoon_conformance::report::{Entry, Proof, Verdict, explain, table};
use pontoon_conformance::run::{Expected, Plan, run};

const SEED: u64 = 1;
/// The most checks that may notice one mutant: they share its cause.
const FEW: usize = 6;
/// How long a check may take with a mutant that makes something spin.
const PATIENCE: Duration = Duration::from_secs(30);

fn memory() -> (Arc<dyn Harness>, Vec<Profile>) {
    let harness: Arc<dyn Harness> = Arc::new(common::Memory);
    let profiles = harness.profiles();
    (harness, profiles)
}

fn against(mutant: &Mutant, check: Check, profile: &Profile, harness: &Arc<dyn Harness>) -> Entry {
    let plan = Plan { longest: PATIENCE, ..Plan::of(SEED).with((mutant.make)()) };
    run(harness, profile, check, &plan)
}

fn ran(entry: &Entry) -> bool {
    !matches!(entry.verdict, Verdict::NotApplicable | Verdict::Waiting)
}

#[test]
fn every_check_that_runs_is_killed_by_its_mutant() {
    let (harness, profiles) = memory();
    let mut survivors = Vec::new();
    for check in checks::all() {
        for profile in &profiles {
            let plain = run(&harness, profile, check, &Plan::of(SEED));
            if !ran(&plain) {
                continue;
            }
            if plain.verdict != Verdict::Passed {
                survivors.push(format!("{} on {}: red without a mutant: {}", check.name, profile.name, plain.reason));
            }
            let Some(mutant) = mutants::of(check.name) else {
                survivors.push(format!("{} has no mutant", check.name));
                continue;
            };
            let entry = against(&mutant, check, profile, &harness);
            if !mutant.killed(&entry) {
                survivors.push(format!(
                    "{} on {}: {}: expected {:?}, found {}: {}",
                    check.name, profile.name, mutant.breaks, mutant.anomalies, entry.verdict, entry.reason
                ));
            }
        }
    }
    assert!(survivors.is_empty(), "{} survive:\n{}", survivors.len(), survivors.join("\n"));
}

/// The checks that notice a mutant, on the first profile where each applies.
fn noticed(mutant: &Mutant, profiles: &[Profile], harness: &Arc<dyn Harness>) -> Vec<Entry> {
    let mut noticed = Vec::new();
    for check in checks::all() {
        let mut entries = profiles.iter().map(|profile| against(mutant, check, profile, harness)).filter(ran);
        noticed.extend(entries.next().filter(|entry| entry.verdict != Verdict::Passed));
    }
    noticed
}

/// Every mutant against every check, on as many threads as there are processors.
fn everything_noticed() -> BTreeMap<&'static str, Vec<Entry>> {
    let all = mutants::all();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let found = std::sync::Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (harness, profiles) = memory();
                while let Some(mutant) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let entries = noticed(mutant, &profiles, &harness);
                    found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(mutant.check, entries);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The profiles on which a check is pinned to pass; the suites see to it that it does.
fn passes_on(check: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in ["memory.expected.toml", "memory_server.expected.toml"] {
        let path = format!("{}/tests/{file}", env!("CARGO_MANIFEST_DIR"));
        let expected = Expected::read(path).expect("the pinned outcomes can be read");
        let passes = |lines: &BTreeMap<String, String>| lines.get(check).is_some_and(|outcome| outcome == "passed");
        found.extend(expected.checks().iter().filter(|(_, lines)| passes(lines)).map(|(profile, _)| profile.clone()));
    }
    found
}

#[test]
fn a_mutant_dies_to_few_checks_and_the_table_says_which() {
    let found = everything_noticed();
    let mut broad = Vec::new();
    let mut proofs: BTreeMap<&str, Proof> = BTreeMap::new();
    for (check, entries) in &found {
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        if names.len() > FEW {
            broad.push(format!("the mutant of {check} is noticed by {}: {names:?}", names.len()));
        }
        proofs.entry(check).or_default().also = names.into_iter().filter(|name| name != check).collect();
    }
    assert!(broad.is_empty(), "{}", broad.join("\n"));
    for check in checks::all() {
        proofs.entry(check.name).or_default().profiles = passes_on(check.name);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/TABLE.md");
    let page = table(&proofs);
    if std::env::var_os("PONTOON_CONFORMANCE_ACCEPT").is_some() {
        std::fs::write(path, &page).expect("TABLE.md can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == page,
        "TABLE.md is not what the code says: PONTOON_CONFORMANCE_ACCEPT=1 cargo test -p pontoon-conformance --test \
         mutants writes it anew"
    );
}

#[test]
fn a_single_defect_fails_with_its_promise() {
    let (harness, profiles) = memory();
    for (check, defect) in [
        ("DLQ-OUTAGE", "settles before the dead-letter copy is confirmed"),
        ("ORD-RETRY", "reorders a key on retry"),
        ("ACK-ISOLATE", "acknowledges past a hole"),
        ("ATT-FIRST", "counts attempts from zero"),
        ("PUB-REJECT", "reports a timeout as rejected"),
    ] {
        let mutant = mutants::of(check).expect("it has a mutant");
        let check = checks::named(check).expect("it exists");
        for profile in &profiles {
            let entry = against(&mutant, check, profile, &harness);
            let text = explain(&entry, check.failure, "…");
            assert!(mutant.killed(&entry), "a transport that {defect} is not noticed on {}: {text}", profile.name);
            assert!(text.contains(check.promise) && text.contains(check.name), "{text}");
            println!("{defect}:\n{text}\n");
        }
    }
}
