//! A delivery and how it ended.

use crate::history::{Answer, Delivery, End, Nanos};

/// One delivery.
#[derive(Debug)]
pub(in crate::checker) struct Lease<'a> {
    pub(in crate::checker) delivery: &'a Delivery,
    pub(in crate::checker) at: Nanos,
    /// The message, where it is one that was published.
    pub(in crate::checker) sent: Option<usize>,
    pub(in crate::checker) source: usize,
    pub(in crate::checker) settled: Option<Settlement>,
    /// When its handler was told that it is lost.
    pub(in crate::checker) lost: Option<Nanos>,
    /// Its events.
    pub(in crate::checker) events: Vec<usize>,
}

/// How a delivery was settled.
#[derive(Clone, Copy, Debug)]
pub(in crate::checker) struct Settlement {
    pub(in crate::checker) at: Nanos,
    pub(in crate::checker) end: End,
    /// `None` when the answer is missing.
    pub(in crate::checker) answer: Option<Answer>,
    pub(in crate::checker) answered: Nanos,
    /// The event of the call: from there on it may have been recorded, whenever that was written down.
    pub(in crate::checker) call_event: usize,
    /// The event of the answer: times may be equal, places in the record are not.
    pub(in crate::checker) answer_event: usize,
    /// What the answer turned out to be, where it was taken back.
    pub(in crate::checker) late: Option<Answer>,
    /// Since when it is known to be final.
    pub(in crate::checker) final_at: Option<Nanos>,
}

impl Settlement {
    /// Whether it was accepted, and that was not taken back.
    pub(in crate::checker) fn stands(&self) -> bool {
        matches!(self.answer, Some(Answer::Recorded | Answer::Done)) && self.late.is_none()
    }

    /// Whether it may have happened.
    pub(in crate::checker) fn may_stand(&self) -> bool {
        !matches!(self.answer, Some(Answer::Stale | Answer::Refused)) && self.late != Some(Answer::Stale)
    }
}

impl Lease<'_> {
    /// When its handler knew that it was over: settled, or told that it is lost.
    pub(in crate::checker) fn known_over(&self) -> Nanos {
        let settled = self.settled.map_or(Nanos::MAX, |settled| settled.at);
        settled.min(self.lost.unwrap_or(Nanos::MAX))
    }

    /// How it was settled, if that had begun by then.
    pub(in crate::checker) fn settled_by(&self, by: Nanos) -> Option<&Settlement> {
        self.settled.as_ref().filter(|settled| settled.at <= by)
    }

    /// Whether the broker handed the other one out later, as far as it counts: clients may hand them on in another order.
    pub(in crate::checker) fn counted_before(&self, other: &Lease<'_>) -> Option<bool> {
        self.delivery.at_most.zip(other.delivery.at_most).map(|(this, other)| this < other)
    }
}
