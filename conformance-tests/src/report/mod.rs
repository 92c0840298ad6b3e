//! What ran, what did not apply and why, for people and for programs.

mod table;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use table::{Proof, table};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A whole run, as it is written to a file: one JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Report {
    /// A report over these, in the order of their names.
    #[must_use]
    pub fn new(transport: &str, profiles: Vec<String>, seed: u64, mut checks: Vec<Entry>) -> Self {
        checks.sort_by(|a, b| (&a.profile, &a.name).cmp(&(&b.profile, &b.name)));
        Report { transport: transport.to_owned(), profiles, seed, totals: Totals::of(&checks), checks }
    }

    /// Both reports in one.
    #[must_use]
    pub fn with(self, other: Report) -> Self {
        let transport = format!("{}+{}", self.transport, other.transport);
        let profiles = self.profiles.into_iter().chain(other.profiles).collect();
        Report::new(&transport, profiles, self.seed, self.checks.into_iter().chain(other.checks).collect())
    }
}
