//! The table of all checks, from the code and from what the mutants did.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::checks::{self, Runs};
use crate::mutants;

/// What trying a check and its mutant showed.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// The profiles on which the check ran.
    pub profiles: Vec<String>,
    /// The other checks that notice its mutant.
    pub also: Vec<String>,
}

/// The table promise → check → mutant → profile, as Markdown. A check that is not in `proofs` ran nowhere.
#[must_use]
pub fn table(proofs: &BTreeMap<&str, Proof>) -> String {
    let mut page = String::from(
        "# Checks, promises, mutants\n\n\
         Written by `PONTOON_CONFORMANCE_ACCEPT=1 cargo test -p pontoon-conformance --test mutants`; the same test \
         compares.\n\n\
         A check runs on every profile that declares what it needs. Its mutant is a correct transport that breaks this \
         promise; the check must fail by the anomaly named here. *Also* lists the other checks that notice the mutant \
         on memory.\n\n\
         | Check | Rules | Promise | Needs | Ran on | Mutant | Anomaly | Also |\n|---|---|---|---|---|---|---|---|\n",
    );
    let list = |items: &[String]| if items.is_empty() { "–".to_owned() } else { items.join(", ") };
    for check in checks::all() {
        let proof = proofs.get(check.name).cloned().unwrap_or_default();
        let needs: Vec<String> = check.needs.iter().map(ToString::to_string).collect();
        let (mutant, anomaly) = match (mutants::of(check.name), &check.runs) {
            (Some(mutant), _) => (mutant.breaks.to_owned(), format!("`{}`", mutant.anomalies.join("` or `"))),
            (None, Runs::Waiting(feature)) => (format!("waiting: {feature}"), "–".to_owned()),
            (None, Runs::Now(_)) => ("none yet".to_owned(), "–".to_owned()),
        };
        let (name, rules, promise) = (check.name, check.rules.join(", "), check.promise);
        let (needs, ran, also) = (list(&needs), list(&proof.profiles), list(&proof.also));
        let _ = writeln!(page, "| {name} | {rules} | {promise} | {needs} | {ran} | {mutant} | {anomaly} | {also} |");
    }
    page.push_str("\n## What a failure means\n\n");
    for check in checks::all() {
        let _ = writeln!(page, "- **{}**: {}.", check.name, check.failure);
    }
    page
}
