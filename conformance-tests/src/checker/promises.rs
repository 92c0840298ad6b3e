//! What the history is held to.

use std::time::Duration;

use pontoon_core::{Capabilities, Capability, Channel, DeadLetterPolicy, Order, Retry};

use crate::history::Name;

/// What the profile, the channel and the handlers promise together. The steps of the checker ask here what applies.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Promises {
    /// The channel's order.
    pub order: Order,
    /// The failure that dead-letters a message; `None` where handlers differ, or where nothing is said.
    pub max_attempts: Option<u32>,
    /// The most unsuccessful deliveries of one message.
    pub delivery_ceiling: Option<u32>,
    /// How well attempts are known.
    pub attempts: Attempts,
    /// Whether a late settlement is always noticed.
    pub stale_detection: bool,
    /// Whether the broker confirms acknowledgements. Where it does not, the loss of a connection shortly after a flush may
    /// undo what was flushed (C4.3).
    pub acks_confirmed: bool,
    /// Whether a dead letter is stored before its settlement, in a step of its own. A lease whose loss nobody could know
    /// of yet can make one then, which a swap in one step cannot (C8.1).
    pub copies_first: bool,
    /// Whether confirmed messages and final settlements survive a crash of the broker.
    pub durable: bool,
    /// The channel that dead letters go to; `None` where they are dropped with an event.
    pub dead_letters: Option<Name>,
    /// How much earlier than due a delivery may be, for clocks that are read in two places.
    pub early_by: Duration,
    /// How much later than due a first delivery may be; `None` where that is not to be judged.
    pub late_by: Option<Duration>,
    /// How long after the end of its TTL a message may reach its handler: it may wait in the client.
    pub expired_by: Duration,
    /// How long nothing may happen while a message is due, a consumer is there and nothing is wrong; `None` where that is
    /// not to be judged.
    pub stall_after: Option<Duration>,
    /// How long after it happened a loss may be noticed, and how long after its end a fault may still show.
    pub notice: Duration,
    /// The least share of publishes that must be confirmed for the run to mean anything, from 0 to 1.
    pub confirmed_share: f64,
}

/// How well the attempts of a message are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempts {
    /// Nothing counts but one client's memory: the lower bound may fall when a consumer is lost.
    Volatile,
    /// The lower bound never falls, and is never above the truth.
    Range,
    /// The lower bound is the truth where nothing goes wrong: 1 + the failures.
    Exact,
}

impl Default for Promises {
    /// What every profile promises: at least once, no order, nothing of time.
    fn default() -> Self {
        Promises {
            order: Order::Unordered,
            max_attempts: None,
            delivery_ceiling: None,
            attempts: Attempts::Volatile,
            stale_detection: false,
            acks_confirmed: true,
            copies_first: false,
            durable: false,
            dead_letters: None,
            early_by: Duration::ZERO,
            late_by: None,
            expired_by: Duration::from_secs(1),
            stall_after: None,
            notice: Duration::from_secs(1),
            confirmed_share: 0.0,
        }
    }
}

impl Promises {
    /// What this profile promises of this channel, to handlers with this policy.
    #[must_use]
    pub fn of(channel: &Channel, profile: &Capabilities, retry: &Retry) -> Self {
        Promises {
            order: channel.order,
            max_attempts: Some(retry.max_attempts()),
            delivery_ceiling: Some(channel.delivery_ceiling),
            attempts: match profile.has(Capability::AttemptCount) {
                // Failures that a consumer counts while it holds a blocked key are gone with it.
                true if matches!(channel.order, Order::Block { .. }) => Attempts::Volatile,
                true if profile.behaviour.counts_failures => Attempts::Exact,
                true => Attempts::Range,
                false => Attempts::Volatile,
            },
            stale_detection: profile.has(Capability::StaleDetection),
            acks_confirmed: profile.has(Capability::AckConfirmed),
            copies_first: !profile.has(Capability::AtomicReplace),
            durable: profile.has(Capability::SurvivesProcessCrash),
            dead_letters: match &channel.dead_letter {
                DeadLetterPolicy::To(name) => Some(name.as_str().into()),
                _ => None,
            },
            ..Promises::default()
        }
    }
}
