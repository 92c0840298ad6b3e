//! Tokens, arrivals, dispositions and their answers.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{BrokerId, Channel, Error, Message};

/// Names one lease of one delivery. Opaque to the engine; a plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// An offset, a delivery tag, or a slot of a table that receiver and settler share.
    pub position: u64,
    /// Which partition or shard; 0 where there is only one.
    pub source: u32,
    /// Of the connection, the assignment, or the single lease: whatever makes an old token different from a new one.
    pub generation: u32,
}

/// A message as it was received.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its lease.
    pub token: Token,
    /// The message, with the history that its headers carried.
    pub message: Message,
    /// What the broker calls it.
    pub broker_id: BrokerId,
    /// Deliveries of this copy that the broker counted, this one included; `None` where it does not count.
    pub deliveries: Option<u32>,
    /// Failures of this copy that the broker recorded as the handler's (0 where it cannot tell).
    pub failures: u32,
    /// When the message cannot be understood: why. It is dead-lettered as `undecodable` with the bytes in `message`.
    pub undecodable: Option<Error>,
    /// Its TTL ended before this hand-over, on profiles that leave dropping to the library: it is dead-lettered as
    /// `expired`.
    pub expired: bool,
}

impl Incoming {
    /// What stands where a message was.
    pub(crate) fn nothing() -> Self {
        Incoming::new(Token { position: 0, source: 0, generation: 0 }, Message::new(bytes::Bytes::new()))
    }

    /// A message of which the broker tells nothing more.
    #[must_use]
    #[inline]
    pub fn new(token: Token, message: Message) -> Self {
        Incoming {
            token,
            message,
            broker_id: BrokerId::None,
            deliveries: None,
            failures: 0,
            undecodable: None,
            expired: false,
        }
    }
}

/// What a receiver hands over, in order.
#[derive(Debug)]
pub enum Arrival {
    /// A message.
    Message(Box<Incoming>),
    /// This source will be taken away: unstarted work is given up, settling stays valid for `within`.
    Revoking {
        /// The source.
        source: u32,
        /// The generation of its tokens.
        generation: u32,
        /// How long settling stays valid.
        within: Duration,
    },
    /// This source was taken away: every token of this generation is stale.
    Revoked {
        /// The source.
        source: u32,
        /// The generation of its tokens.
        generation: u32,
    },
    /// One lease was lost, as far as the transport can tell before a settlement fails.
    LeaseLost(Token),
}

/// Where a receiver puts what arrived.
#[derive(Debug, Default)]
pub struct Inbox {
    messages: VecDeque<Incoming>,
    // Signals carry the number of messages that came before them; they are rare, messages are not.
    signals: VecDeque<(usize, Signal)>,
    taken: usize,
    pushed: usize,
}

#[derive(Debug)]
enum Signal {
    Revoking { source: u32, generation: u32, within: Duration },
    Revoked { source: u32, generation: u32 },
    LeaseLost(Token),
}

impl Inbox {
    /// An empty inbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands over a message.
    #[inline]
    pub fn message(&mut self, incoming: Incoming) {
        self.messages.push_back(incoming);
        self.pushed += 1;
    }

    /// Announces that a source will be taken away.
    pub fn revoking(&mut self, source: u32, generation: u32, within: Duration) {
        self.signals.push_back((self.pushed, Signal::Revoking { source, generation, within }));
    }

    /// Tells that a source was taken away.
    pub fn revoked(&mut self, source: u32, generation: u32) {
        self.signals.push_back((self.pushed, Signal::Revoked { source, generation }));
    }

    /// Tells that one lease was lost.
    pub fn lease_lost(&mut self, token: Token) {
        self.signals.push_back((self.pushed, Signal::LeaseLost(token)));
    }

    /// Whether nothing arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.signals.is_empty()
    }

    /// Messages waiting.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// The next message, unless a signal comes first. The engine's fast path.
    #[inline]
    pub(crate) fn pop_message(&mut self) -> Option<Incoming> {
        if self.signals.front().is_some_and(|(before, _)| *before <= self.taken) {
            return None;
        }
        let incoming = self.messages.pop_front()?;
        self.taken += 1;
        Some(incoming)
    }

    /// The next message where it lies, unless a signal comes first.
    #[inline]
    pub(crate) fn front_message(&self) -> Option<&Incoming> {
        if self.signals.is_empty() { self.messages.front() } else { None }
    }

    /// Swaps all messages for an empty list with room from last time; `false` when signals lie between them.
    #[inline]
    pub(crate) fn take_messages(&mut self, spare: &mut VecDeque<Incoming>) -> bool {
        if !self.signals.is_empty() {
            return false;
        }
        self.taken += self.messages.len();
        std::mem::swap(&mut self.messages, spare);
        true
    }

    /// The next arrival, in order.
    pub fn pop(&mut self) -> Option<Arrival> {
        if let Some(incoming) = self.pop_message() {
            return Some(Arrival::Message(Box::new(incoming)));
        }
        let (_, signal) = self.signals.pop_front()?;
        Some(match signal {
            Signal::Revoking { source, generation, within } => Arrival::Revoking { source, generation, within },
            Signal::Revoked { source, generation } => Arrival::Revoked { source, generation },
            Signal::LeaseLost(token) => Arrival::LeaseLost(token),
        })
    }
}

/// How one delivery is to be settled, natively.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Disposition<'a> {
    /// Done: never again.
    Ack,
    /// Given back: no longer outstanding here, free for anyone, at once. A later `Ack` of the same token may be
    /// accepted where the broker cannot tell.
    Release,
    /// Failed: counts, and comes back after this time. Only where *retry delay* is native. On an `Order::FallBehind`
    /// channel it goes behind what is queued now; on others it keeps its place.
    Retry {
        /// How long it waits.
        after: Duration,
        /// How many failures to count; above 1 when the engine held it and tried again in between. A broker that can
        /// count only one at a time counts one.
        failures: u32,
    },
    /// The lease is prolonged, to this time from now. Only where *lease extension* is offered.
    Extend {
        /// From now.
        by: Duration,
    },
    /// Its successor is stored and it is settled in one step. Only where *atomic replace* is offered.
    Replace {
        /// Where the successor goes.
        to: &'a Channel,
        /// The successor.
        message: &'a Message,
    },
}

/// The answer to one recorded settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// Valid as far as this client knows.
    Recorded,
    /// The lease is known to be lost; nothing was done.
    Stale,
}

/// A recorded settlement that did not become final.
#[derive(Clone, Debug)]
pub struct Late {
    /// Which.
    pub token: Token,
    /// How.
    pub kind: LateKind,
}

/// How a recorded settlement did not become final.
#[derive(Clone, Debug)]
pub enum LateKind {
    /// The lease had been lost.
    Stale,
    /// It failed and the lease still holds: the engine records it again.
    Failed(Error),
    /// It may or may not have happened.
    Unknown(Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_keep_their_place_between_messages() {
        let token = |position| Token { position, source: 0, generation: 1 };
        let mut inbox = Inbox::new();
        inbox.message(Incoming::new(token(1), Message::new("a")));
        inbox.revoking(0, 1, Duration::from_secs(1));
        inbox.message(Incoming::new(token(2), Message::new("b")));
        inbox.revoked(0, 1);
        assert_eq!(inbox.messages(), 2);
        let mut seen = String::new();
        while let Some(arrival) = inbox.pop() {
            seen.push(match arrival {
                Arrival::Message(m) => char::from(m.message.body[0]),
                Arrival::Revoking { .. } => '?',
                Arrival::Revoked { .. } => '!',
                Arrival::LeaseLost(_) => 'x',
            });
        }
        assert_eq!(seen, "a?b!");
        assert!(inbox.is_empty());
        inbox.lease_lost(token(2));
        assert!(inbox.pop_message().is_none());
        assert!(matches!(inbox.pop(), Some(Arrival::LeaseLost(_))));
    }
}
