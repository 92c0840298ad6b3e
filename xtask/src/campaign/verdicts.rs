//! What is known of each mutant, kept between campaigns while the sources stay as they are.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::brokers::place;
use crate::report::{Doing, Outcome};

/// How a mutant fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// A test failed.
    CaughtMutant,
    /// No test failed.
    MissedMutant,
    /// The tests did not end, which is noticed too.
    Timeout,
    /// It does not compile.
    Unviable,
}

/// The verdicts on one state of the sources.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Verdicts {
    /// Of the sources that were judged.
    sources: u64,
    /// By the mutant's name.
    pub(super) of: BTreeMap<String, Verdict>,
}

/// The part of cargo-mutants' `outcomes.json` that is read.
#[derive(Debug, Deserialize)]
struct Outcomes {
    outcomes: Vec<OutcomeOf>,
}

#[derive(Debug, Deserialize)]
struct OutcomeOf {
    scenario: Scenario,
    summary: serde_json::Value,
}

#[derive(Debug, Deserialize)]
enum Scenario {
    Baseline,
    Mutant { name: String },
}

impl Verdicts {
    /// What was kept, or nothing when the sources changed since.
    pub(super) fn kept(file: &Path, sources: u64) -> Self {
        let kept = std::fs::read_to_string(file).ok().and_then(|text| serde_json::from_str::<Self>(&text).ok());
        kept.filter(|kept| kept.sources == sources).unwrap_or(Self { sources, of: BTreeMap::new() })
    }

    /// Keeps them.
    pub(super) fn keep(&self, file: &Path) -> Outcome<()> {
        let text = serde_json::to_string_pretty(self).doing(|| format!("writing {}", file.display()))?;
        place::write(file, &text)
    }

    /// Adds what cargo-mutants wrote; a run that was ended early wrote a part.
    pub(super) fn add(&mut self, outcomes: &Path) {
        let Some(outcomes) = read(outcomes) else { return };
        for OutcomeOf { scenario, summary } in outcomes.outcomes {
            if let Scenario::Mutant { name } = scenario
                && let Ok(verdict) = serde_json::from_value(summary)
            {
                self.of.insert(name, verdict);
            }
        }
    }
}

fn read(file: &Path) -> Option<Outcomes> {
    serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()
}

/// A number for the content of `files`.
pub(super) fn fingerprint(root: &Path, files: &[PathBuf]) -> Outcome<u64> {
    let mut hash = DefaultHasher::new();
    for file in files {
        let path = root.join(file);
        file.hash(&mut hash);
        std::fs::read(&path).doing(|| format!("reading {}", path.display()))?.hash(&mut hash);
    }
    Ok(hash.finish())
}
