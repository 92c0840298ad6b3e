//! What shows a failure: the events of the messages that it is about, with the faults around them.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::history::{Event, History, LeaseId, Name, PublishId, What};

/// The most events that are kept of one failure: a page that shows more is not read.
const MOST: usize = 240;

/// What shows a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The check: `ORD-KEY`.
    pub check: String,
    /// The profile: `memory-queue`.
    pub profile: String,
    /// The anomaly, by its name.
    pub anomaly: String,
    /// What was seen, for a person.
    pub text: String,
    /// What it means for a user.
    pub failure: String,
    /// The command that repeats it.
    pub repeat: String,
    /// The events, in the order of their times.
    pub events: Vec<Shown>,
    /// Events of the run that are not shown.
    pub hidden: usize,
}

/// One event of a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The event.
    pub event: Event,
    /// Whether it is one of the few that prove the failure.
    pub witness: bool,
}

impl Evidence {
    /// Of this history, what belongs to the messages of the witness; the last events where there is no witness.
    #[must_use]
    pub fn of(history: &History, witness: &[Event], anomaly: &str, text: &str) -> Self {
        let about = Messages::of(history);
        let named: HashSet<&Name> = witness.iter().filter_map(|event| about.of_event(&event.what)).collect();
        let belongs = |event: &&Event| {
            is_surrounding(&event.what)
                || about.of_event(&event.what).is_some_and(|message| named.is_empty() || named.contains(message))
                || witness.contains(event)
        };
        let all: Vec<&Event> = history.events().iter().filter(belongs).collect();
        // Around the witness, or at the end: where it broke.
        let middle = match (witness.first(), witness.last()) {
            (Some(first), Some(last)) => {
                let at = |event: &Event| all.partition_point(|other| other.at < event.at);
                usize::midpoint(at(first), at(last))
            }
            _ => all.len(),
        };
        let from = middle.saturating_sub(MOST / 2).min(all.len().saturating_sub(MOST));
        let kept = &all[from..all.len().min(from + MOST)];
        let mut shown: Vec<Shown> =
            kept.iter().map(|event| Shown { event: (*event).clone(), witness: witness.contains(event) }).collect();
        // A witness is never cut off, however far apart its events are.
        for event in witness.iter().filter(|event| !kept.contains(event)) {
            shown.push(Shown { event: event.clone(), witness: true });
        }
        shown.sort_by_key(|shown| shown.event.at);
        let hidden = history.events().len().saturating_sub(shown.len());
        let (anomaly, text) = (anomaly.to_owned(), text.to_owned());
        let nothing = String::new;
        Evidence {
            check: nothing(),
            profile: nothing(),
            anomaly,
            text,
            failure: nothing(),
            repeat: nothing(),
            events: shown,
            hidden,
        }
    }

    /// Names the check.
    #[must_use]
    pub fn about(mut self, check: &str, profile: &str, failure: &str) -> Self {
        (self.check, self.profile, self.failure) = (check.to_owned(), profile.to_owned(), failure.to_owned());
        self
    }
}

/// Faults, connections and processes: they are part of every story.
fn is_surrounding(what: &What) -> bool {
    matches!(
        what,
        What::Fault { .. }
            | What::Heal { .. }
            | What::ProcessStarted { .. }
            | What::ProcessKilled { .. }
            | What::Connected { .. }
            | What::Disconnected { .. }
            | What::Assign { .. }
            | What::Revoke { .. }
    )
}

/// Which message an event is about, though it may name only a publish or a lease.
pub(super) struct Messages<'a> {
    by_publish: HashMap<PublishId, &'a Name>,
    by_lease: HashMap<LeaseId, &'a Name>,
}

impl<'a> Messages<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        Self::of_events(history.events().iter())
    }

    pub(super) fn of_events(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut messages = Messages { by_publish: HashMap::new(), by_lease: HashMap::new() };
        for event in events {
            match &event.what {
                What::Publish(publish) => {
                    messages.by_publish.insert(publish.id, &publish.message);
                }
                What::Deliver(delivery) => {
                    messages.by_lease.insert(delivery.lease, &delivery.message);
                }
                _ => {}
            }
        }
        messages
    }

    pub(super) fn of_event<'b>(&self, what: &'b What) -> Option<&'b Name>
    where
        'a: 'b,
    {
        match what {
            What::Publish(publish) => Some(&publish.message),
            What::Published { id, .. } => self.by_publish.get(id).copied(),
            What::Deliver(delivery) => Some(&delivery.message),
            What::Settle { lease, .. }
            | What::Settled { lease, .. }
            | What::Late { lease, .. }
            | What::LeaseLost { lease }
            | What::Extended { lease, .. } => self.by_lease.get(lease).copied(),
            What::Resent { message, .. }
            | What::DeadLettered { message, .. }
            | What::Dropped { message, .. }
            | What::Spilled { message, .. }
            | What::Redriven { message, .. }
            | What::Left { message, .. } => Some(message),
            What::DeadLetter(letter) => Some(&letter.message),
            _ => None,
        }
    }
}
