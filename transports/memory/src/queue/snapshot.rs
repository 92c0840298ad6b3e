//! What a queue holds, as a value: for tests.

use std::time::Duration;

use pontoon_core::{BrokerId, Message};

use super::slab::Place;
use super::{State, Totals};
use crate::clock::Nanos;

/// Where a stored message is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageState {
    /// Waits for a consumer, possibly behind others of its key.
    Ready,
    /// Held back, by a delay on publish or a retry, for this long from now.
    Delayed(Duration),
    /// Handed out; the lease ends in this time.
    InFlight(Duration),
}

/// One message that a queue holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredMessage {
    /// The message as it was published.
    pub message: Message,
    /// What the receipt called it.
    pub broker_id: BrokerId,
    /// Where it is in its life.
    pub state: MessageState,
    /// Deliveries counted: those that ended in a release are not.
    pub deliveries: u32,
    /// Failures counted: retries.
    pub failures: u32,
    /// Whether its TTL ended before it was handed over.
    pub expired: bool,
}

/// What a queue, or a subscription, holds at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct QueueSnapshot {
    /// Everything stored, in the order of its places.
    pub messages: Vec<StoredMessage>,
    /// What has happened since the queue was made.
    pub totals: Totals,
    /// How many consumers are attached.
    pub consumers: usize,
}

impl QueueSnapshot {
    /// The messages that wait to be delivered.
    pub fn ready(&self) -> impl Iterator<Item = &StoredMessage> {
        self.messages.iter().filter(|m| m.state == MessageState::Ready)
    }

    /// The messages that are held back.
    pub fn delayed(&self) -> impl Iterator<Item = &StoredMessage> {
        self.messages.iter().filter(|m| matches!(m.state, MessageState::Delayed(_)))
    }

    /// The messages that are handed out.
    pub fn in_flight(&self) -> impl Iterator<Item = &StoredMessage> {
        self.messages.iter().filter(|m| matches!(m.state, MessageState::InFlight(_)))
    }
}

impl State {
    pub(crate) fn snapshot(&self, now: Nanos) -> QueueSnapshot {
        let left = |until: Nanos| Duration::from_nanos(until.saturating_sub(now));
        let mut found: Vec<(u64, StoredMessage)> = self
            .slab
            .iter()
            .filter_map(|(slot, stored)| {
                let state = match stored.place {
                    Place::Ready => MessageState::Ready,
                    Place::Delayed | Place::Blocked => MessageState::Delayed(left(stored.until)),
                    Place::Out => MessageState::InFlight(left(stored.until)),
                    Place::Removed | Place::Free => return None,
                };
                let message = StoredMessage {
                    message: self.slab.message(slot).clone(),
                    broker_id: BrokerId::Number(stored.uid),
                    state,
                    deliveries: stored.deliveries,
                    failures: stored.failures,
                    expired: stored.expired || (stored.deliveries == 0 && stored.expires <= now),
                };
                Some((stored.seq, message))
            })
            .collect();
        found.sort_by_key(|(seq, _)| *seq);
        QueueSnapshot {
            messages: found.into_iter().map(|(_, message)| message).collect(),
            totals: self.totals,
            consumers: self.consumers.len(),
        }
    }
}
