//! What a storm showed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use crate::checker::{Anomaly, AnomalyKind, Failure, Promises, Verdict, Witness};
use crate::harness::Profile;
use crate::history::{End, FaultKind, History, LeaseId, Name, Nanos, Outcome, SourceName, What};

/// One fault, as it struck.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Strike {
    /// What it was: `kill`, `cut`, `reply lost`.
    pub name: &'static str,
    /// Its kind in the history.
    pub kind: FaultKind,
    /// When, in the time of the history.
    pub at: Nanos,
    /// Publishes that had no outcome then.
    pub publishes: i64,
    /// Deliveries that were not settled then.
    pub leases: i64,
    /// How long until publishers and consumers had gone on; `None` when they had not within the bound.
    pub resumed: Option<Duration>,
}

impl Strike {
    /// Whether something was at stake.
    #[must_use]
    pub fn is_effective(&self) -> bool {
        self.publishes > 0 || self.leases > 0
    }
}

/// What was counted in the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Messages issued.
    pub published: u64,
    /// Confirmed.
    pub confirmed: u64,
    /// Rejected: certainly not stored.
    pub rejected: u64,
    /// Neither, in the end.
    pub unknown: u64,
    /// Sent again by the library after an outcome in doubt.
    pub resent: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Deliveries beyond the first that no handler asked for.
    pub duplicates: u64,
    /// Dead letters read.
    pub dead_letters: u64,
}

pub(super) struct Limits {
    /// Faults that were effective, and how many must be.
    pub(super) effective: (usize, usize),
    /// Duplicates that one fault may cause.
    pub(super) window: u64,
}

/// A storm that is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Storm {
    /// The profile.
    pub profile: String,
    /// What its schedule was drawn from.
    pub seed: u64,
    /// The faults, in order.
    pub strikes: Vec<Strike>,
    /// What was counted.
    pub counts: Counts,
    /// The most duplicates that the faults explain.
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

impl Storm {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        profile: &Profile,
        seed: u64,
        strikes: Vec<Strike>,
        history: History,
        promises: Promises,
        verdict: Verdict,
        limits: Limits,
        took: Duration,
    ) -> Self {
        let counts = count(&history);
        let duplicates_allowed = strikes.len() as u64 * limits.window;
        let verdict = match verdict {
            Verdict::Passed => broken(&strikes, &counts, &history, duplicates_allowed)
                .or_else(|| doubt(&strikes, &counts, &limits))
                .unwrap_or(Verdict::Passed),
            found => found,
        };
        let profile = profile.name.clone();
        Storm { profile, seed, strikes, counts, duplicates_allowed, history, promises, verdict, took }
    }
}

/// What the checker does not ask: whether everybody went on, and whether no more came again than the faults explain.
fn broken(strikes: &[Strike], counts: &Counts, history: &History, allowed: u64) -> Option<Verdict> {
    let stuck = strikes.iter().find(|strike| strike.resumed.is_none());
    let (kind, text, from) = if let Some(strike) = stuck {
        (AnomalyKind::Stall, format!("after the {} nobody went on", strike.name), strike.at)
    } else if counts.duplicates > allowed {
        let text = format!("{} deliveries came again; the faults explain {allowed}", counts.duplicates);
        (AnomalyKind::UnexplainedDuplicate, text, Nanos::MAX)
    } else {
        return None;
    };
    let surrounding = history.events().iter().filter(|event| {
        event.at >= from
            && matches!(event.what, What::Fault { .. } | What::Connected { .. } | What::Disconnected { .. })
    });
    let witness = Witness::these(surrounding.take(12).cloned().collect());
    let anomalies = vec![Anomaly { kind, text, witness }];
    Some(Verdict::Failed(Failure { counts: [(kind, 1)].into(), anomalies }))
}

/// Why a storm in which no promise was broken proves nothing all the same.
fn doubt(strikes: &[Strike], counts: &Counts, limits: &Limits) -> Option<Verdict> {
    let (effective, needed) = limits.effective;
    let reason = if strikes.is_empty() {
        "no fault could be made".to_owned()
    } else if effective < needed {
        format!("only {effective} faults struck while something was at stake, of {needed} that must")
    } else if needed > 0 && counts.unknown + counts.resent == 0 {
        "no outcome was ever in doubt, though connections were lost".to_owned()
    } else {
        return None;
    };
    Some(Verdict::Indeterminate { reason })
}

pub(crate) fn count(history: &History) -> Counts {
    let mut counts = Counts::default();
    let mut ended: HashMap<LeaseId, End> = HashMap::new();
    let mut delivered: BTreeMap<(&SourceName, &Name), Vec<LeaseId>> = BTreeMap::new();
    for event in history.events() {
        match &event.what {
            What::Publish(_) => counts.published += 1,
            What::Published { outcome: Outcome::Ok { .. }, .. } => counts.confirmed += 1,
            What::Published { outcome: Outcome::Fail, .. } => counts.rejected += 1,
            What::Resent { unknown: true, .. } => counts.resent += 1,
            What::Deliver(delivery) => {
                counts.delivered += 1;
                delivered.entry((&delivery.source, &delivery.message)).or_default().push(delivery.lease);
            }
            What::Settle { lease, end } => {
                ended.insert(*lease, *end);
            }
            What::DeadLetter(_) => counts.dead_letters += 1,
            _ => {}
        }
    }
    counts.unknown = counts.published - counts.confirmed - counts.rejected;
    for leases in delivered.values() {
        // The last delivery is the one that counts; one before it that was to come again is not a duplicate.
        let (_, before) = leases.split_last().map_or((None, &leases[..]), |(last, before)| (Some(last), before));
        let asked = |lease: &&LeaseId| matches!(ended.get(lease), Some(End::Retry { .. } | End::Release | End::Drop));
        counts.duplicates += (before.len() - before.iter().filter(asked).count()) as u64;
    }
    counts
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { published, confirmed, rejected, unknown, resent, delivered, duplicates, dead_letters } =
            self.counts;
        let effective = self.strikes.iter().filter(|strike| strike.is_effective()).count();
        writeln!(f, "storm over {}, seed {}, {:.1?}", self.profile, self.seed, self.took)?;
        writeln!(f, "  faults: {effective} of {} effective: {}", self.strikes.len(), self.by_name())?;
        writeln!(
            f,
            "  published {published}: {confirmed} confirmed, {rejected} rejected, {unknown} unknown; {resent} sent again in doubt"
        )?;
        writeln!(
            f,
            "  delivered {delivered}, {duplicates} of them again (at most {} by these faults), {dead_letters} dead-lettered",
            self.duplicates_allowed
        )?;
        let mut resumed: Vec<Duration> = self.strikes.iter().filter_map(|strike| strike.resumed).collect();
        resumed.sort_unstable();
        if let Some(longest) = resumed.last() {
            let usual = resumed[resumed.len() / 2];
            writeln!(f, "  went on after a fault within {usual:.0?} (median), {longest:.0?} (longest)")?;
        }
        writeln!(f, "  {}", self.verdict)
    }
}

impl Storm {
    fn by_name(&self) -> String {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for strike in &self.strikes {
            *names.entry(strike.name).or_default() += 1;
        }
        names.iter().map(|(name, count)| format!("{count} × {name}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strike(publishes: i64, resumed: bool) -> Strike {
        let resumed = resumed.then_some(Duration::from_millis(5));
        Strike { name: "cut", kind: FaultKind::Cut, at: 10, publishes, leases: 0, resumed }
    }

    fn judged(strikes: Vec<Strike>, needed: usize, counts: Counts) -> String {
        let effective = (strikes.iter().filter(|strike| strike.is_effective()).count(), needed);
        let limits = Limits { effective, window: 10 };
        let verdict = broken(&strikes, &counts, &History::default(), strikes.len() as u64 * limits.window)
            .or_else(|| doubt(&strikes, &counts, &limits));
        verdict.map_or("passed".to_owned(), |verdict| verdict.to_string())
    }

    #[test]
    fn a_storm_proves_something_only_when_something_was_at_stake() {
        let counts = |resent, duplicates| Counts { resent, duplicates, ..Counts::default() };
        assert_eq!(judged(vec![strike(1, true); 3], 3, counts(1, 30)), "passed");
        let lull = judged(vec![strike(1, true), strike(0, true)], 2, counts(1, 0));
        assert!(lull.starts_with("indeterminate: only 1 faults struck"), "{lull}");
        let sure = judged(vec![strike(1, true); 3], 3, counts(0, 0));
        assert!(sure.starts_with("indeterminate: no outcome was ever in doubt"), "{sure}");
        let none = judged(vec![], 0, counts(1, 0));
        assert!(none.starts_with("indeterminate: no fault could be made"), "{none}");
        let stuck = judged(vec![strike(1, true), strike(1, false)], 2, counts(1, 0));
        assert!(stuck.starts_with("failed: stall ×1"), "{stuck}");
        let again = judged(vec![strike(1, true); 3], 3, counts(1, 31));
        assert!(again.starts_with("failed: unexplained-duplicate ×1"), "{again}");
    }
}
