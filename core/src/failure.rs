//! Why a message failed, and what a dead letter says about it.

use std::fmt;

use crate::{ChannelName, Text};

/// The longest error text a dead letter carries, in bytes; longer ones are cut at a character.
pub const MAX_ERROR_TEXT: usize = 1024;

/// Why a message was dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReasonKind {
    /// The handler rejected it.
    Rejected,
    /// It failed as often as the handler's retry policy allows.
    MaxAttempts,
    /// It was delivered and lost or failed as often as the channel allows.
    DeliveryCeiling,
    /// Its TTL ended before it was delivered.
    Expired,
    /// Its body or envelope cannot be read.
    Undecodable,
    /// No handler takes its type.
    NoHandler,
    /// It blocked its key longer, or more keys were blocked, than the channel allows.
    OrderSpill,
}

impl ReasonKind {
    /// All kinds.
    pub const ALL: [ReasonKind; 7] = [
        ReasonKind::Rejected,
        ReasonKind::MaxAttempts,
        ReasonKind::DeliveryCeiling,
        ReasonKind::Expired,
        ReasonKind::Undecodable,
        ReasonKind::NoHandler,
        ReasonKind::OrderSpill,
    ];

    /// The name on the wire and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ReasonKind::Rejected => "rejected",
            ReasonKind::MaxAttempts => "max-attempts",
            ReasonKind::DeliveryCeiling => "delivery-ceiling",
            ReasonKind::Expired => "expired",
            ReasonKind::Undecodable => "undecodable",
            ReasonKind::NoHandler => "no-handler",
            ReasonKind::OrderSpill => "order-spill",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for ReasonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a dead letter carries beside the message itself. Unknown fields are `None`: a broker's own dead letters are
/// read through the same view.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeadLetterInfo {
    /// Why.
    pub reason: Option<ReasonKind>,
    /// The error text or the handler's words, at most [`MAX_ERROR_TEXT`] bytes.
    pub error: Option<Text>,
    /// The channel it was read from.
    pub channel: Option<Text>,
    /// The subscription it was read through, for a topic.
    pub subscription: Option<Text>,
    /// Attempts the handler made: at least, and at most where something counted.
    pub attempts: Option<Attempt>,
    /// When it first failed, milliseconds since 1970.
    pub first_failure_ms: Option<u64>,
    /// When it last failed, milliseconds since 1970.
    pub last_failure_ms: Option<u64>,
}

impl DeadLetterInfo {
    /// Nothing known.
    #[must_use]
    pub const fn unknown() -> Self {
        DeadLetterInfo {
            reason: None,
            error: None,
            channel: None,
            subscription: None,
            attempts: None,
            first_failure_ms: None,
            last_failure_ms: None,
        }
    }

    /// The original channel, when its name follows our rule.
    #[must_use]
    pub fn channel_name(&self) -> Option<ChannelName> {
        ChannelName::new(self.channel.as_deref()?).ok()
    }
}

/// Cuts an error text to [`MAX_ERROR_TEXT`] bytes, at a character.
#[must_use]
pub fn bounded_error_text(text: &str) -> Text {
    let mut end = text.len().min(MAX_ERROR_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// Which attempt a delivery is, as a range: brokers count deliveries, only the engine knows failures.
///
/// `at_least` is 1 + the failures known to be the handler's; `at_most` is what the broker counted, `None` where nothing
/// counted. A policy's limit is compared with the lower bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 + the failures known to be the handler's.
    pub at_least: u32,
    /// Deliveries the broker counted, this one included.
    pub at_most: Option<u32>,
}

impl Attempt {
    /// The first attempt, for certain.
    pub const FIRST: Attempt = Attempt { at_least: 1, at_most: Some(1) };

    /// Whether this is, for all that is known, the first attempt.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.at_least == 1 && self.at_most.is_none_or(|most| most <= 1)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at_most {
            Some(most) if most == self.at_least => write!(f, "{most}"),
            Some(most) => write!(f, "{}..{most}", self.at_least),
            None => write!(f, "{}..", self.at_least),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_texts_are_cut_at_a_character() {
        let text = "é".repeat(1000);
        let cut = bounded_error_text(&text);
        assert_eq!(cut.len(), MAX_ERROR_TEXT);
        assert!(text.starts_with(cut.as_str()));
        assert_eq!(bounded_error_text("a€").as_str(), "a€");
    }

    #[test]
    fn reason_names_round_trip() {
        for kind in ReasonKind::ALL {
            assert_eq!(ReasonKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(ReasonKind::parse("other"), None);
    }

    #[test]
    fn attempts_read_as_ranges() {
        assert_eq!(Attempt { at_least: 2, at_most: Some(2) }.to_string(), "2");
        assert_eq!(Attempt { at_least: 2, at_most: Some(4) }.to_string(), "2..4");
        assert_eq!(Attempt { at_least: 2, at_most: None }.to_string(), "2..");
        assert!(Attempt { at_least: 1, at_most: None }.is_first());
        assert!(!Attempt { at_least: 1, at_most: Some(2) }.is_first());
    }
}
