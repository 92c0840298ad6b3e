//! Step 9: the events that show what is wrong, in the order of their times.

use std::fmt;

use super::index::Index;
use crate::history::Event;

/// How many faults around an anomaly are shown.
const FAULTS: usize = 12;

/// The few events that show an anomaly, with the faults around them.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    events: Vec<Event>,
}

impl Witness {
    pub(super) fn of(index: &Index<'_>, events: &[usize]) -> Self {
        let mut shown = events.to_vec();
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            let faults = &index.faults.events;
            let (from, to) = (faults.partition_point(|at| at < first), faults.partition_point(|at| at < last));
            // What began before may still go on: the one before the first event is shown too.
            shown.extend(faults[from.saturating_sub(1)..to].iter().take(FAULTS));
        }
        shown.sort_unstable();
        shown.dedup();
        Witness { events: shown.into_iter().map(|at| index.events[at].clone()).collect() }
    }

    /// These events and nothing around them.
    pub(crate) fn these(events: Vec<Event>) -> Self {
        Witness { events }
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

/// One line for each event: seconds since the run's start, the process, what happened.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            let (seconds, micros) = (event.at / 1_000_000_000, event.at % 1_000_000_000 / 1_000);
            writeln!(f, "  {seconds:>5}.{micros:06} s  [{}] {}", event.process, event.what)?;
        }
        Ok(())
    }
}
