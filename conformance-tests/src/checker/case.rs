//! What the steps share: the index, the promises, and what explains a further delivery.

use std::time::Duration;

use super::Promises;
use super::index::{Causes, Index, Lease, Sent, Story};
use crate::history::{Answer, End, Nanos};

/// One history and what it is held to.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) index: Index<'a>,
    pub(super) promises: &'a Promises,
    /// [`Promises::notice`].
    pub(super) notice: Nanos,
}

/// A duration in nanoseconds; what does not fit is as good as for ever.
pub(super) fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

impl<'a> Case<'a> {
    pub(super) fn new(index: Index<'a>, promises: &'a Promises) -> Self {
        Case { index, promises, notice: nanos(promises.notice) }
    }

    /// Whether something that can cause this was wrong then.
    pub(super) fn fault(&self, causes: Causes, from: Nanos, to: Nanos) -> bool {
        self.index.faults.any(causes, from, to, self.notice)
    }

    /// Whether the outcome of a publish may truly have been in doubt.
    pub(super) fn doubtful(&self, sent: &Sent<'_>, causes: Causes) -> bool {
        let publisher = sent.publish.id.publisher;
        let until = sent.until().saturating_add(self.notice);
        sent.resent.is_some()
            || self.fault(causes, sent.at, sent.until())
            || self.index.faults.publisher_hurt_between(publisher, sent.at.saturating_sub(self.notice), until)
    }

    /// Whether there may be more than one copy of a message: published again, or in doubt on the way.
    pub(super) fn copies(&self, sent: &Sent<'_>) -> bool {
        sent.submitted > 1 || self.doubtful(sent, Causes::Copy)
    }

    /// Whether a lease may have ended by itself between these moments: lost, its consumer gone, a fault.
    pub(super) fn taken(&self, lease: &Lease<'_>, from: Nanos, to: Nanos) -> bool {
        lease.lost.is_some_and(|lost| lost <= to.saturating_add(self.notice))
            || self.parted(lease, from, to)
            || self.fault(Causes::Redelivery, from, to)
    }

    /// Whether the consumer of a lease lost its connection, or its life, between these moments.
    pub(super) fn parted(&self, lease: &Lease<'_>, from: Nanos, to: Nanos) -> bool {
        let consumer = self.index.consumers.get(&lease.delivery.consumer);
        consumer.is_some_and(|consumer| consumer.gone_between(from, to.saturating_add(self.notice)))
    }

    /// Whether a lease may have ended between these moments without a word to its holder.
    pub(super) fn vanished(&self, lease: &Lease<'_>, from: Nanos, to: Nanos) -> bool {
        self.parted(lease, from, to) || self.fault(Causes::SilentLoss, from, to)
    }

    /// Whether a delivery of the same copy at `by` has its cause in how this lease ended.
    pub(super) fn freed(&self, lease: &Lease<'_>, by: Nanos) -> bool {
        let Some(settled) = lease.settled_by(by) else { return self.taken(lease, lease.at, by) };
        if settled.late.is_some() || !matches!(settled.answer, Some(Answer::Recorded | Answer::Done)) {
            return true;
        }
        match settled.end {
            End::Retry { .. } | End::Release | End::Drop => true,
            End::Ack | End::DeadLetter(_) => self.taken(lease, settled.at, by),
        }
    }

    /// All events of a message at one source: how it was published and what became of it.
    pub(super) fn tale(&self, story: &Story) -> Vec<usize> {
        let mut events = self.index.sent[story.sent].events.clone();
        events.extend(&story.events);
        events.extend(self.index.leases_of(story).flat_map(|lease| &lease.events));
        events
    }

    /// The events of how a message was published, and of some of its leases.
    pub(super) fn excerpt<'l>(&self, sent: usize, leases: impl IntoIterator<Item = &'l Lease<'l>>) -> Vec<usize> {
        let mut events = self.index.sent[sent].events.clone();
        events.extend(leases.into_iter().flat_map(|lease| &lease.events));
        events
    }
}
