//! What each profile can do, as a page: from what runs against real servers pinned.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::checks;
use crate::run::{Expected, Table};

/// The page of support, as Markdown: for each transport what its profiles declare, and which promises were put to the
/// test there. A profile that was never run says *not run*.
#[must_use]
pub fn support(transports: &[(String, Expected)]) -> String {
    let mut page = String::from(
        "# Support\n\n\
         Written from the outcomes that the runs of the conformance suite pin (`expected.toml` of each transport): \
         `PONTOON_CONFORMANCE_ACCEPT=1 cargo test -p pontoon-conformance --test support` writes it, and without the \
         variable the same test compares. A run that gives anything else fails.\n\n\
         Levels: *native*, the broker does it; *emulated*, the library does it durably; *volatile*, only in a client's \
         memory and only where it is allowed by name; *absent*, refused when a channel that needs it is opened.\n\n\
         | Profile | Promises kept | Not applicable | Waiting for a feature |\n|---|---|---|---|\n",
    );
    for (_, expected) in transports {
        for profile in profiles(expected) {
            let Some(outcomes) = expected.checks().get(profile) else {
                let _ = writeln!(page, "| {profile} | *not run* | | |");
                continue;
            };
            let count = |begin: &str| outcomes.values().filter(|outcome| outcome.starts_with(begin)).count();
            let (kept, not, waiting) = (count("passed"), count("not applicable"), count("waiting"));
            let _ = writeln!(page, "| {profile} | {kept} | {not} | {waiting} |");
        }
    }
    for (transport, expected) in transports {
        let _ = writeln!(page, "\n## {transport}");
        declared(&mut page, expected);
        promises(&mut page, expected);
    }
    page
}

fn profiles(expected: &Expected) -> BTreeSet<&str> {
    expected.declares().keys().chain(expected.checks().keys()).map(String::as_str).collect()
}

fn head(page: &mut String, first: &str, expected: &Expected) {
    let names: Vec<&str> = profiles(expected).into_iter().collect();
    let _ = writeln!(page, "\n| {first} | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
}

/// A table of levels and limits.
fn declared(page: &mut String, expected: &Expected) {
    head(page, "Declares", expected);
    let names: BTreeSet<&String> = expected.declares().values().flat_map(|lines| lines.keys()).collect();
    for name in names {
        let _ = writeln!(page, "| {name} | {} |", cells(expected, expected.declares(), name, |value| value.to_owned()));
    }
}

/// A table of promises.
fn promises(page: &mut String, expected: &Expected) {
    head(page, "Promise", expected);
    for check in checks::all() {
        let outcome = |outcome: &str| match outcome.split_once(": ") {
            None if outcome == "passed" => "kept".to_owned(),
            Some(("not applicable", why)) => format!("– ({why})"),
            Some(("waiting", what)) => format!("waiting: {what}"),
            _ => format!("**{outcome}**"),
        };
        let cells = cells(expected, expected.checks(), check.name, outcome);
        let _ = writeln!(page, "| {}: {} | {cells} |", check.name, check.promise);
    }
}

fn cells(expected: &Expected, table: &Table, name: &str, word: impl Fn(&str) -> String) -> String {
    let cell = |profile: &str| match table.get(profile) {
        None => "*not run*".to_owned(),
        Some(lines) => lines.get(name).map_or("–".to_owned(), |value| word(value)),
    };
    profiles(expected).into_iter().map(cell).collect::<Vec<_>>().join(" | ")
}
