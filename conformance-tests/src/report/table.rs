//! The table of all checks, from the code.

use std::fmt::Write;

use crate::checks::{self, Runs};
use crate::mutants;

/// The table promise → check → mutant → what it runs on, as Markdown. `TABLE.md` holds it, and a test compares.
#[must_use]
pub fn table() -> String {
    let mut page = String::from(
        "# Checks, promises, mutants\n\n\
         Written from the code: `PONTOON_CONFORMANCE_ACCEPT=1 cargo test -p pontoon-conformance --test mutants` writes \
         it anew.\n\n\
         A check runs on every profile that declares what it needs. Its mutant is a correct transport that breaks this \
         promise; the check must notice, by the anomaly named here.\n\n\
         | Check | Rules | Promise | Needs | Mutant | Anomaly |\n|---|---|---|---|---|---|\n",
    );
    for check in checks::all() {
        let needs: Vec<String> = check.needs.iter().map(ToString::to_string).collect();
        let (mutant, anomaly) = match (mutants::of(check.name), &check.runs) {
            (Some(mutant), _) => (mutant.breaks.to_owned(), format!("`{}`", mutant.anomalies.join("` or `"))),
            (None, Runs::Waiting(feature)) => (format!("waiting: {feature}"), String::new()),
            (None, Runs::Now(_)) => ("none yet".to_owned(), String::new()),
        };
        let (name, rules, promise) = (check.name, check.rules.join(", "), check.promise);
        let _ = writeln!(page, "| {name} | {rules} | {promise} | {} | {mutant} | {anomaly} |", needs.join(", "));
    }
    page.push_str("\n## What a failure means\n\n");
    for check in checks::all() {
        let _ = writeln!(page, "- **{}**: {}", check.name, check.failure);
    }
    page
}
