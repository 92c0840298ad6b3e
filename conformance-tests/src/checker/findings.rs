//! What the steps found.

use std::collections::BTreeMap;

use super::index::Index;
use super::{Anomaly, AnomalyKind, Failure, Witness};

/// How many anomalies of one kind are shown.
const SHOWN: usize = 3;

/// Counts everything, and keeps of each kind what takes the fewest events to show.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<AnomalyKind, (u64, Vec<Finding>)>,
}

#[derive(Debug)]
struct Finding {
    text: String,
    events: Vec<usize>,
}

impl Findings {
    /// Found: the text is made, and the events gathered, only if it is among the smallest.
    pub(super) fn add(&mut self, kind: AnomalyKind, mut events: Vec<usize>, text: impl FnOnce() -> String) {
        let (count, kept) = self.found.entry(kind).or_default();
        *count += 1;
        events.sort_unstable();
        events.dedup();
        let place = kept.partition_point(|other| other.events.len() <= events.len());
        if (..SHOWN).contains(&place) {
            kept.insert(place, Finding { text: text(), events });
            kept.truncate(SHOWN);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_failure(self, index: &Index<'_>) -> Failure {
        let mut failure = Failure::default();
        for (kind, (count, kept)) in self.found {
            failure.counts.insert(kind, count);
            for Finding { text, events } in kept {
                failure.anomalies.push(Anomaly { kind, text, witness: Witness::of(index, &events) });
            }
        }
        failure
    }
}
