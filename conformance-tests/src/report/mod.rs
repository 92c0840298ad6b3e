//! What ran, what did not apply and why, for people and for programs.

mod evidence;
mod html;
mod junit;
mod support;
mod table;
mod terminal;

use std::collections::BTreeMap;
use std::fmt;

use pontoon_core::{Capabilities, Capability};

use serde::{Deserialize, Serialize};

pub use evidence::{Evidence, Shown};
pub use html::html;
pub use junit::junit;
pub use support::support;
pub use table::{Proof, table};
pub use terminal::terminal;

/// How one check on one profile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The promise was put to the test and held.
    Passed,
    /// It was broken.
    Failed,
    /// The profile does not make this promise, or nothing here can put it to the test.
    NotApplicable,
    /// The run could not be judged. Never counts as passed.
    Indeterminate,
    /// What the promise is about is not built yet.
    Waiting,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::NotApplicable => "not applicable",
            Verdict::Indeterminate => "indeterminate",
            Verdict::Waiting => "waiting",
        })
    }
}

/// One check on one profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The check: `ORD-KEY`.
    pub name: String,
    /// The profile: `memory-queue`.
    pub profile: String,
    /// What must hold.
    pub promise: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why, unless it passed: for a failure beginning with the name of the anomaly.
    pub reason: String,
    /// How long it took, in milliseconds of the machine's clock.
    pub millis: u64,
    /// Of a failure: what shows it. In a report it stands beside the checks, in [`Report::evidence`].
    #[serde(skip)]
    pub evidence: Option<Box<Evidence>>,
}

impl Entry {
    /// Verdict and reason in one, as `expected.toml` has them. Of a failure only the anomaly counts: times and ids
    /// differ from run to run.
    #[must_use]
    pub fn outcome(&self) -> String {
        match self.verdict {
            Verdict::Passed => "passed".to_owned(),
            Verdict::NotApplicable | Verdict::Waiting => format!("{}: {}", self.verdict, self.reason),
            Verdict::Failed => format!("failed: {}", self.reason.split(':').next().unwrap_or_default()),
            Verdict::Indeterminate => "indeterminate".to_owned(),
        }
    }
}

/// A failure for a person: the promise, what was seen, what it means for a user, and how to see it again.
#[must_use]
pub fn explain(entry: &Entry, failure: &str, repeat: &str) -> String {
    let Entry { name, profile, promise, reason, .. } = entry;
    format!(
        "{name} on {profile}: {promise}: this does not hold.\n{reason}\nFor a user this means: {failure}.\nTo repeat it: \
         {repeat}"
    )
}

/// How many ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // named as the verdicts are
pub struct Totals {
    pub checks: usize,
    pub passed: usize,
    pub failed: usize,
    pub not_applicable: usize,
    pub indeterminate: usize,
    pub waiting: usize,
}

impl Totals {
    /// Counts.
    #[must_use]
    pub fn of(checks: &[Entry]) -> Self {
        let count = |verdict| checks.iter().filter(|entry| entry.verdict == verdict).count();
        Totals {
            checks: checks.len(),
            passed: count(Verdict::Passed),
            failed: count(Verdict::Failed),
            not_applicable: count(Verdict::NotApplicable),
            indeterminate: count(Verdict::Indeterminate),
            waiting: count(Verdict::Waiting),
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { checks, passed, failed, not_applicable, indeterminate, waiting } = self;
        write!(
            f,
            "{checks} checks: {passed} passed, {failed} failed, {not_applicable} not applicable, {indeterminate} \
             indeterminate, {waiting} waiting"
        )
    }
}

/// What a profile declares, in the words of the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// The level of each capability: `native`, `emulated`, `volatile`, `absent`.
    pub levels: BTreeMap<String, String>,
    /// The limits that are known.
    pub limits: BTreeMap<String, String>,
}

impl Declared {
    /// What is declared here.
    #[must_use]
    pub fn of(capabilities: &Capabilities) -> Self {
        let level = |capability: &Capability| (capability.to_string(), capabilities.level(*capability).to_string());
        let limits = &capabilities.limits;
        let limits = [
            ("largest body", limits.max_body.map(|bytes| format!("{bytes} bytes"))),
            ("longest delay", limits.max_delay.map(|time| format!("{time:?}"))),
            ("longest lease", limits.max_lease.map(|time| format!("{time:?}"))),
            ("dedupe window", limits.dedupe_window.map(|time| format!("{time:?}"))),
            ("priorities", limits.priorities.map(|count| count.to_string())),
        ];
        Declared {
            levels: Capability::ALL.iter().map(level).collect(),
            limits: limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?))).collect(),
        }
    }
}

/// A whole run, as it is written to a file: one JSON object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The transport, or several with `+` between them.
    pub transport: String,
    /// The profiles that were tested.
    pub profiles: Vec<String>,
    /// What repeats the run.
    pub seed: u64,
    /// How many ended how.
    pub totals: Totals,
    /// One for each check and profile.
    pub checks: Vec<Entry>,
    /// What each profile declares.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub declares: BTreeMap<String, Declared>,
    /// What shows the failures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

impl Report {
    /// A report over these, in the order of their names.
    #[must_use]
    pub fn new(transport: &str, profiles: Vec<String>, seed: u64, mut checks: Vec<Entry>) -> Self {
        checks.sort_by(|a, b| (&a.profile, &a.name).cmp(&(&b.profile, &b.name)));
        let evidence = checks.iter_mut().filter_map(|entry| entry.evidence.take().map(|shown| *shown)).collect();
        let (transport, totals) = (transport.to_owned(), Totals::of(&checks));
        Report { transport, profiles, seed, totals, checks, declares: BTreeMap::new(), evidence }
    }

    /// With what the profiles declare.
    #[must_use]
    pub fn declaring(mut self, declares: BTreeMap<String, Declared>) -> Self {
        self.declares.extend(declares);
        self
    }

    /// Both reports in one.
    #[must_use]
    pub fn with(self, other: Report) -> Self {
        let known = self.transport.split('+').any(|name| name == other.transport);
        let transport = if known { self.transport.clone() } else { format!("{}+{}", self.transport, other.transport) };
        let mut profiles = self.profiles;
        let new: Vec<String> = other.profiles.into_iter().filter(|profile| !profiles.contains(profile)).collect();
        profiles.extend(new);
        let checks = self.checks.into_iter().chain(other.checks).collect();
        let mut both = Report::new(&transport, profiles, self.seed, checks);
        both.declares = self.declares.into_iter().chain(other.declares).collect();
        both.evidence = self.evidence.into_iter().chain(other.evidence).collect();
        both
    }

    /// Whether nothing failed and everything could be judged.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.totals.failed + self.totals.indeterminate == 0
    }
}
