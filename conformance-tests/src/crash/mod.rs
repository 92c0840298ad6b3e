//! Processes that are killed at a named [`Point`] of their work, one after another, on one channel under load: what they
//! wrote into their files and what the survivors saw is judged as one history.
//!
//! [`crash`] starts the test program again as each of these processes. That needs a transport whose broker another process
//! can reach: `Site::address` and `Harness::join`.

mod part;
mod point;
mod run;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use pontoon_core::{Error, ErrorKind, Key, Retry};

use crate::checker::{Anomaly, AnomalyKind, Failure, Promises, Verdict, Witness};
use crate::history::{History, What};
use crate::storm::{Counts, Work};
use crate::tap::Spec;

pub use part::play_if_asked;
pub use point::Point;
pub use run::crash;

/// What a consumer of a killed process may have unsettled, in messages.
const PREFETCH: usize = 16;
/// What a publisher of a killed process has under way at once, in messages.
const BATCH: usize = 8;
/// Keys of a channel that keeps order.
const KEYS: u64 = 16;

fn retry() -> Retry {
    Retry::exponential(Duration::from_millis(5), Duration::from_millis(50)).attempts(5)
}

fn spec(work: &Work, number: u64) -> Spec {
    Spec { key: work.keyed.then(|| Key::from(number % KEYS)), len: 100, ..Spec::default() }
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, "crash processes", what)
}

/// Processes that were to die, and what came of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Crash {
    /// The profile.
    pub profile: String,
    /// What the moments were drawn from.
    pub seed: u64,
    /// The points, and how each process ended: `None` when it was killed there, else what it did instead.
    pub points: BTreeMap<Point, Option<String>>,
    /// What was counted in the history.
    pub counts: Counts,
    /// The most duplicates that these deaths explain.
    pub duplicates_allowed: u64,
    /// What happened.
    pub history: History,
    /// What it was held to.
    pub promises: Promises,
    /// What is to be said of it.
    pub verdict: Verdict,
    /// How long it took, reading to the end and judging included.
    pub took: Duration,
}

impl Crash {
    /// What the checker does not ask: whether everybody died where they were to, and whether no more came again than that
    /// explains.
    fn held_to_more(mut self) -> Self {
        if !self.verdict.is_passed() {
            return self;
        }
        let alive = self.points.iter().find_map(|(point, end)| end.as_ref().map(|end| (point, end)));
        if let Some((point, end)) = alive {
            self.verdict = Verdict::Indeterminate { reason: format!("nobody died at `{point}`: {end}") };
        } else if self.counts.duplicates > self.duplicates_allowed {
            let kind = AnomalyKind::UnexplainedDuplicate;
            let (again, allowed) = (self.counts.duplicates, self.duplicates_allowed);
            let text = format!("{again} deliveries came again; these deaths explain {allowed}");
            let died = self.history.events().iter().filter(|event| matches!(event.what, What::ProcessKilled { .. }));
            let witness = Witness::these(died.cloned().collect());
            let anomalies = vec![Anomaly { kind, text, witness }];
            self.verdict = Verdict::Failed(Failure { counts: [(kind, 1)].into(), anomalies });
        }
        self
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { published, confirmed, unknown, delivered, duplicates, .. } = self.counts;
        let died = self.points.values().filter(|end| end.is_none()).count();
        writeln!(f, "crash points over {}, seed {}, {:.1?}", self.profile, self.seed, self.took)?;
        writeln!(f, "  {died} of {} processes killed at their points", self.points.len())?;
        writeln!(f, "  published {published}: {confirmed} confirmed, {unknown} unknown")?;
        writeln!(
            f,
            "  delivered {delivered}, {duplicates} of them again (at most {} by these deaths)",
            self.duplicates_allowed
        )?;
        writeln!(f, "  {}", self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(end: Option<&str>, duplicates: u64) -> String {
        let crash = Crash {
            profile: "p".into(),
            seed: 1,
            points: [(Point::Handling, end.map(str::to_owned))].into(),
            counts: Counts { duplicates, ..Counts::default() },
            duplicates_allowed: 16,
            history: History::default(),
            promises: Promises::default(),
            verdict: Verdict::Passed,
            took: Duration::ZERO,
        };
        crash.held_to_more().verdict.to_string()
    }

    #[test]
    fn who_did_not_die_proves_nothing_and_too_many_duplicates_are_found() {
        assert_eq!(over(None, 16), "passed");
        let alive = over(Some("it ended by itself"), 0);
        assert!(alive.starts_with("indeterminate: nobody died at `handling`: it ended by itself"), "{alive}");
        let again = over(None, 17);
        assert!(again.starts_with("failed: unexplained-duplicate ×1"), "{again}");
    }
}
