//! A message as it was published.

use crate::history::{Name, Nanos, Outcome, Position, Publish};

/// One message, all its submissions taken together.
#[derive(Debug)]
pub(in crate::checker) struct Sent<'a> {
    pub(in crate::checker) publish: &'a Publish,
    /// When it was first about to be published.
    pub(in crate::checker) at: Nanos,
    /// When its last submission ended; `None` where one never did.
    pub(in crate::checker) done: Option<Nanos>,
    pub(in crate::checker) process: u32,
    /// How often it was submitted by the application, and how many of these ended.
    pub(in crate::checker) submitted: u32,
    pub(in crate::checker) ended: u32,
    /// The outcome: the best of its submissions, since one that is stored is stored.
    pub(in crate::checker) fate: Fate,
    pub(in crate::checker) broker_id: Option<&'a Name>,
    pub(in crate::checker) position: Option<Position>,
    /// When the library told that it sends it again after an unknown outcome.
    pub(in crate::checker) resent: Option<Nanos>,
    /// Its events.
    pub(in crate::checker) events: Vec<usize>,
}

/// What became of a publish, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::checker) enum Fate {
    Failed,
    /// It has no end, or the end is unknown.
    Unknown,
    Confirmed,
}

impl<'a> Sent<'a> {
    pub(super) fn new(publish: &'a Publish, at: Nanos, process: u32) -> Self {
        Sent {
            publish,
            at,
            done: None,
            process,
            submitted: 0,
            ended: 0,
            fate: Fate::Failed,
            broker_id: None,
            position: None,
            resent: None,
            events: Vec::new(),
        }
    }

    pub(super) fn ends(&mut self, at: Nanos, outcome: &'a Outcome) {
        self.ended += 1;
        self.done = Some(at);
        let fate = match outcome {
            Outcome::Ok { broker_id, position, .. } => {
                self.broker_id = broker_id.as_ref();
                self.position = *position;
                Fate::Confirmed
            }
            Outcome::Fail => Fate::Failed,
            Outcome::Unknown => Fate::Unknown,
        };
        self.fate = self.fate.max(fate);
    }

    /// A submission without an end may be stored.
    pub(super) fn close(&mut self) {
        if self.ended < self.submitted {
            self.fate = self.fate.max(Fate::Unknown);
            self.done = None;
        }
    }

    /// Until when it could be stored for the first time.
    pub(in crate::checker) fn until(&self) -> Nanos {
        self.done.unwrap_or(Nanos::MAX)
    }

    /// Whether its place among others of its key says anything: it was not held back, nor preferred.
    pub(in crate::checker) fn is_plain(&self) -> bool {
        self.publish.due.is_none() && self.publish.priority.is_none()
    }
}
