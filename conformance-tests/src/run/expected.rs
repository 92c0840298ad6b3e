//! What is expected of each check on each profile: pinned, so that any drift is seen.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::report::{Declared, Entry};

/// Lines by their names, by profile.
pub type Table = BTreeMap<String, BTreeMap<String, String>>;

/// The pinned outcomes: a table for each profile, a line for each check; and what each profile declares.
#[derive(Clone, Debug)]
pub struct Expected {
    path: PathBuf,
    pinned: Pinned,
}

/// What is in the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Pinned {
    /// The outcomes.
    #[serde(flatten)]
    checks: Table,
    /// Levels and limits.
    #[serde(default)]
    declares: Table,
}

/// The file cannot be used.
#[derive(Debug)]
pub struct ExpectedError(String);

impl fmt::Display for ExpectedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ExpectedError {}

impl Expected {
    /// Reads the file. One that is not there pins nothing: see [`Expected::is_empty`].
    ///
    /// # Errors
    /// When the file cannot be read, or is not a table of tables of texts.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, ExpectedError> {
        let path = path.into();
        let wrong = |error: &dyn fmt::Display| ExpectedError(format!("{}: {error}", path.display()));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(wrong(&error)),
        };
        let pinned = toml::from_str(&text).map_err(|error| wrong(&error))?;
        Ok(Expected { path, pinned })
    }

    /// Whether nothing is pinned, as while a transport is being written: outcomes are shown as they are then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pinned.checks.is_empty()
    }

    /// What to do when nothing is pinned.
    #[must_use]
    pub fn nothing_pinned(&self) -> String {
        format!(
            "nothing is pinned in {} yet. When the other outcomes are right, run all checks once with \
             PONTOON_CONFORMANCE_ACCEPT=1, which writes it",
            self.path.display()
        )
    }

    /// The outcome of each check, by profile.
    #[must_use]
    pub fn checks(&self) -> &Table {
        &self.pinned.checks
    }

    /// What each profile declares: levels and limits.
    #[must_use]
    pub fn declares(&self) -> &Table {
        &self.pinned.declares
    }

    /// How what a profile declares differs from what is pinned, with what to do; `None` when it does not.
    #[must_use]
    pub fn declares_otherwise(&self, profile: &str, declared: &Declared) -> Option<String> {
        let found = lines_of(declared);
        let pinned = self.pinned.declares.get(profile).cloned().unwrap_or_default();
        let names: std::collections::BTreeSet<&String> = found.keys().chain(pinned.keys()).collect();
        let nothing = "nothing".to_owned();
        let differing: Vec<String> = names
            .into_iter()
            .filter(|name| found.get(*name) != pinned.get(*name))
            .map(|name| {
                let of = |lines: &BTreeMap<String, String>| lines.get(name).unwrap_or(&nothing).clone();
                format!("{name}: pinned `{}`, declared `{}`", of(&pinned), of(&found))
            })
            .collect();
        let path = self.path.display();
        (!differing.is_empty()).then(|| {
            format!(
                "{profile} does not declare what is pinned: {}. If that is right, change the lines under \
                 `[declares.{profile}]` in {path} (PONTOON_CONFORMANCE_ACCEPT=1 writes them), and say why in the commit.",
                differing.join("; ")
            )
        })
    }

    /// Why an outcome is not the pinned one, with what to do; `None` when it is.
    #[must_use]
    pub fn drift(&self, entry: &Entry) -> Option<String> {
        let found = entry.outcome();
        let pinned = self.pinned.checks.get(&entry.profile).and_then(|profile| profile.get(&entry.name));
        let (path, name, profile) = (self.path.display(), &entry.name, &entry.profile);
        match pinned {
            Some(pinned) if *pinned == found => None,
            Some(pinned) => Some(format!(
                "{name} on {profile}: expected `{pinned}`, found `{found}`. If the new outcome is right, change the line \
                 `{name}` under `[{profile}]` in {path}, and say why in the commit; otherwise mend the transport."
            )),
            None => Some(format!(
                "{name} on {profile} is not pinned, found `{found}`. Add `{name} = \"{found}\"` under `[{profile}]` in \
                 {path}."
            )),
        }
    }

    /// Lines that no check answers to, when these are all there are.
    #[must_use]
    pub fn unanswered(&self, checks: &[(String, String)]) -> Vec<String> {
        let lines =
            self.pinned.checks.iter().flat_map(|(profile, lines)| lines.keys().map(move |name| (profile, name)));
        lines
            .filter(|(profile, name)| !checks.iter().any(|(p, n)| p == *profile && n == *name))
            .map(|(profile, name)| format!("{}: no check answers to `{name}` under `[{profile}]`", self.path.display()))
            .collect()
    }

    /// Writes these outcomes as the expected ones.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn accept(path: &Path, entries: &[Entry], declared: &BTreeMap<String, Declared>) -> Result<(), ExpectedError> {
        let mut pinned = Pinned::default();
        for (profile, declared) in declared {
            pinned.declares.insert(profile.clone(), lines_of(declared));
        }
        for entry in entries {
            pinned.checks.entry(entry.profile.clone()).or_default().insert(entry.name.clone(), entry.outcome());
        }
        let wrong = |error: &dyn fmt::Display| ExpectedError(format!("{}: {error}", path.display()));
        let text = toml::to_string(&pinned).map_err(|error| wrong(&error))?;
        let head = "# What each check must give on each profile, and what each profile declares. Anything else fails the run.\n\n";
        std::fs::write(path, format!("{head}{text}")).map_err(|error| wrong(&error))
    }
}

fn lines_of(declared: &Declared) -> BTreeMap<String, String> {
    declared.levels.iter().chain(&declared.limits).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn entry(name: &str, verdict: Verdict, reason: &str) -> Entry {
        let (name, profile, reason) = (name.to_owned(), "p".to_owned(), reason.to_owned());
        Entry { name, profile, promise: String::new(), verdict, reason, millis: 1, evidence: None }
    }

    #[test]
    fn every_drift_says_what_to_do() {
        let text = "[p]\nA = \"passed\"\nB = \"not applicable: priority is absent\"\nGONE = \"passed\"\n";
        let expected = Expected { path: "expected.toml".into(), pinned: toml::from_str(text).unwrap() };
        assert_eq!(expected.drift(&entry("A", Verdict::Passed, "")), None);
        assert_eq!(expected.drift(&entry("B", Verdict::NotApplicable, "priority is absent")), None);
        let drifted = [
            entry("A", Verdict::Failed, "key-inversion: 2 before 1"),
            entry("A", Verdict::Indeterminate, "no drain"),
            entry("A", Verdict::NotApplicable, "priority is absent"),
            entry("B", Verdict::NotApplicable, "lease is absent"),
            entry("B", Verdict::Passed, ""),
            entry("C", Verdict::Passed, ""),
        ];
        for entry in drifted {
            let words = expected.drift(&entry).unwrap();
            assert!(words.contains("expected.toml") && words.contains("[p]"), "{words}");
        }
        let known = vec![("p".to_owned(), "A".to_owned()), ("p".to_owned(), "B".to_owned())];
        assert_eq!(expected.unanswered(&known), ["expected.toml: no check answers to `GONE` under `[p]`"]);
    }

    #[test]
    fn what_is_accepted_is_expected_from_then_on() {
        let path = std::env::temp_dir().join(format!("pontoon-expected-{}.toml", std::process::id()));
        let entries = [entry("A", Verdict::Passed, ""), entry("B", Verdict::Waiting, "inbox")];
        let mut declared = Declared::of(&pontoon_core::Capabilities::new("p"));
        Expected::accept(&path, &entries, &[("p".to_owned(), declared.clone())].into()).unwrap();
        let expected = Expected::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(expected.declares_otherwise("p", &declared), None);
        declared.levels.insert("priority".into(), "native".into());
        declared.limits.insert("priorities".into(), "10".into());
        let words = expected.declares_otherwise("p", &declared).unwrap();
        assert!(words.contains("priorities: pinned `nothing`, declared `10`"), "{words}");
        assert!(words.contains("priority: pinned `absent`, declared `native`"), "{words}");
        assert!(entries.iter().all(|entry| expected.drift(entry).is_none()));
        assert!(Expected::read(std::env::temp_dir()).is_err());
    }
}
