//! Mutants that no test notices, and why that is right: `docs/campaign/survivors.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::report::{Doing, Outcome};

/// Where they are explained, from the root of the checkout.
pub const FILE: &str = "docs/campaign/survivors.toml";

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survivors {
    /// What is explained.
    #[serde(default)]
    survivor: Vec<Survivor>,
}

/// One explanation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    /// The source file, from the root of the checkout.
    file: String,
    /// The mutant as cargo-mutants calls it, without its place.
    mutant: String,
    /// How many mutants of the file have this name and survive.
    #[serde(default = "one")]
    count: usize,
    /// Why no test can notice it, or why none has to.
    reason: String,
}

fn one() -> usize {
    1
}

/// A survivor's file and name without its place: what an explanation is for.
#[must_use]
pub fn without_place(name: &str) -> (&str, &str) {
    // core/src/engine/backoff.rs:50:9: replace Backoff::connected with ()
    let (place, mutant) = name.split_once(": ").unwrap_or((name, ""));
    (place.split(':').next().unwrap_or(place), mutant)
}

impl Survivors {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it does not have the form of such a file, or a reason is empty.
    pub fn parse(text: &str) -> Outcome<Self> {
        let survivors: Self = toml::from_str(text).doing(|| format!("reading {FILE}"))?;
        match survivors.survivor.iter().find(|survivor| survivor.reason.trim().is_empty()) {
            Some(survivor) => Err(format!("`{}` has no reason", survivor.mutant)).doing(|| format!("reading {FILE}")),
            None => Ok(survivors),
        }
    }

    /// Of those that survived, the ones that nothing explains: beyond its count an explanation is none.
    #[must_use]
    pub fn unexplained<'a>(&self, survived: &[&'a str]) -> Vec<&'a str> {
        let mut left: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for survivor in &self.survivor {
            *left.entry((&survivor.file, &survivor.mutant)).or_default() += survivor.count;
        }
        let mut unexplained = Vec::new();
        for name in survived {
            match left.get_mut(&without_place(name)) {
                Some(count) if *count > 0 => *count -= 1,
                _ => unexplained.push(*name),
            }
        }
        unexplained
    }
}
