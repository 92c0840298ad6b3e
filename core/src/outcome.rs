//! The three outcomes of publishing one message.

use std::fmt;

use crate::{Error, Text};

/// What the broker calls a stored message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BrokerId {
    /// It calls it nothing.
    #[default]
    None,
    /// A number, such as a position in a log.
    Number(u64),
    /// Two numbers, such as partition and offset, or milliseconds and sequence.
    Pair(u64, u64),
    /// A text.
    Text(Text),
}

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerId::None => f.write_str("-"),
            BrokerId::Number(n) => write!(f, "{n}"),
            BrokerId::Pair(a, b) => write!(f, "{a}-{b}"),
            BrokerId::Text(text) => fmt::Display::fmt(text, f),
        }
    }
}

/// Proof that a message is stored at the durability that the channel's profile declares.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Receipt {
    /// What the broker calls it; equal to the delivered one where the broker assigns one.
    pub broker_id: BrokerId,
    /// `Some(false)` when the broker told that no subscription of a topic took it; `None` where it does not tell.
    pub routed: Option<bool>,
}

/// Why a message was certainly not stored.
#[derive(Clone, Debug)]
pub enum Rejection {
    /// It will never be accepted as it is: invalid, too large, no such queue, no right.
    Refused(Error),
    /// It was not stored this time: full, throttled, timed out before sending. The engine sends it again.
    TryAgain(Error),
}

impl Rejection {
    /// The cause.
    #[must_use]
    pub fn error(&self) -> &Error {
        match self {
            Rejection::Refused(error) | Rejection::TryAgain(error) => error,
        }
    }

    /// The cause, by value.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self {
            Rejection::Refused(error) | Rejection::TryAgain(error) => error,
        }
    }
}

/// How publishing one message ended: exactly one of three.
#[derive(Clone, Debug)]
pub enum PublishOutcome {
    /// Stored: every subscription that existed before will see it.
    Confirmed(Receipt),
    /// Provably never visible to a consumer.
    Rejected(Rejection),
    /// It may or may not be there.
    Unknown(Error),
}

impl PublishOutcome {
    /// Whether it is stored for certain.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        matches!(self, PublishOutcome::Confirmed(_))
    }
}
