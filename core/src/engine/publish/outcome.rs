//! How publishing ended, for the caller: errors that hand the message back, and reports.

use std::fmt;

use crate::{Error, ErrorStatus, Message, Receipt};

/// How one publish ended.
pub type Outcome = std::result::Result<Receipt, PublishError>;

/// A publish that was not confirmed. Hands the message back, with the id it was sent under.
#[derive(Clone, Debug)]
pub enum PublishError {
    /// The message is not stored, for certain. The error's status tells whether trying again can help.
    Rejected {
        /// Why.
        error: Error,
        /// The message.
        message: Box<Message>,
    },
    /// The message may or may not be stored. Publishing it again may make a duplicate of the same id.
    Unknown {
        /// Why it is unknown.
        error: Error,
        /// The message.
        message: Box<Message>,
    },
}

impl PublishError {
    pub(super) fn rejected(error: Error, message: Message) -> Self {
        PublishError::Rejected { error, message: Box::new(message) }
    }

    /// The cause.
    #[must_use]
    pub fn error(&self) -> &Error {
        match self {
            PublishError::Rejected { error, .. } | PublishError::Unknown { error, .. } => error,
        }
    }

    /// The cause, by value, without the message: its status is unknown when it is unknown whether the message is stored.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self {
            PublishError::Rejected { error, .. } => error,
            PublishError::Unknown { error, .. } => error.with_status(ErrorStatus::Unknown),
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        match self {
            PublishError::Rejected { message, .. } | PublishError::Unknown { message, .. } => message,
        }
    }

    /// The message, by value.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            PublishError::Rejected { message, .. } | PublishError::Unknown { message, .. } => *message,
        }
    }

    /// Whether the message may be stored all the same.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, PublishError::Unknown { .. })
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_unknown() { "unknown whether it is stored" } else { "not stored" };
        write!(f, "message {} {what}: {}", self.message().id, self.error())
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error())
    }
}

/// For `?` in programs that give the message up: the cause, with the message's id.
impl From<PublishError> for Error {
    fn from(error: PublishError) -> Self {
        let id = error.message().id.clone();
        error.into_error().with("id", id)
    }
}

/// The outcomes of one `publish_all`, in the order of its messages.
#[derive(Clone, Debug, Default)]
#[must_use = "messages may have been rejected: look at the outcomes, or use `into_result`"]
pub struct Published {
    outcomes: Vec<Outcome>,
}

impl Published {
    pub(super) fn new(outcomes: Vec<Outcome>) -> Self {
        Published { outcomes }
    }

    /// One outcome for each message, in order.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The outcomes, by value: errors hand their messages back.
    #[must_use]
    pub fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes
    }

    /// How many were confirmed, when all were.
    ///
    /// # Errors
    /// How many ended how, and the first error.
    pub fn into_result(self) -> std::result::Result<usize, PublishAllError> {
        let total = self.outcomes.len();
        let unknown = self.outcomes.iter().filter(|o| o.as_ref().is_err_and(PublishError::is_unknown)).count();
        let failed = self.outcomes.iter().filter(|o| o.is_err()).count();
        match self.outcomes.into_iter().find_map(std::result::Result::err) {
            None => Ok(total),
            Some(first) => {
                Err(PublishAllError { confirmed: total - failed, rejected: failed - unknown, unknown, first })
            }
        }
    }
}

/// Outcomes put together, in the order of their messages.
impl FromIterator<Outcome> for Published {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        Published::new(outcomes.into_iter().collect())
    }
}

/// Not all messages of a `publish_all` were confirmed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishAllError {
    /// Stored for certain.
    pub confirmed: usize,
    /// Not stored, for certain.
    pub rejected: usize,
    /// May or may not be stored.
    pub unknown: usize,
    /// The first that was not confirmed.
    pub first: PublishError,
}

impl fmt::Display for PublishAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PublishAllError { confirmed, rejected, unknown, first } = self;
        write!(f, "{confirmed} confirmed, {rejected} rejected, {unknown} unknown; first: {first}")
    }
}

impl std::error::Error for PublishAllError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.first)
    }
}

/// For `?` in programs that give the messages up: the first cause, and how many ended how.
impl From<PublishAllError> for Error {
    fn from(error: PublishAllError) -> Self {
        let PublishAllError { confirmed, rejected, unknown, first } = error;
        let first = Error::from(first).with("confirmed", confirmed).with("rejected", rejected).with("unknown", unknown);
        if unknown > 0 { first.with_status(ErrorStatus::Unknown) } else { first }
    }
}

/// What a publisher did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherStats {
    /// Messages accepted: each has, or will have, exactly one outcome.
    pub accepted: u64,
    /// Accepted and confirmed.
    pub confirmed: u64,
    /// Accepted and certainly not stored.
    pub rejected: u64,
    /// Accepted, and unknown whether stored.
    pub unknown: u64,
    /// Times that a message was sent again.
    pub resent: u64,
    /// Outcomes that came twice, or for nothing: a defect of the transport. They were dropped.
    pub late_completions: u64,
    /// Connections opened so far.
    pub generation: u32,
}

impl PublisherStats {
    /// Accepted and not resolved yet.
    #[must_use]
    pub fn unresolved(&self) -> u64 {
        self.accepted - self.confirmed - self.rejected - self.unknown
    }
}

/// How closing a publisher ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "messages may have been abandoned"]
pub struct PublisherReport {
    /// Everything the publisher did.
    pub stats: PublisherStats,
    /// Messages that had no outcome when the time to close was over: counted in `stats` as unknown, or as rejected
    /// where they were never sent.
    pub abandoned: u64,
}

impl fmt::Display for PublisherReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PublisherStats { accepted, confirmed, rejected, unknown, .. } = self.stats;
        let abandoned = self.abandoned;
        write!(f, "{accepted} accepted: {confirmed} confirmed, {rejected} rejected, {unknown} unknown")?;
        if abandoned > 0 { write!(f, "; {abandoned} of them abandoned") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_publish_error_becomes_an_error_that_keeps_what_is_unknown() {
        let full = Error::new(ErrorKind::Full, "publish", "no room");
        let message = Box::new(Message::new("body").with_id("m"));
        let rejected = PublishError::Rejected { error: full.clone(), message: message.clone() };
        let unknown = PublishError::Unknown { error: full, message };
        let error = Error::from(rejected.clone());
        assert_eq!(
            (error.kind(), error.status(), error.context("id")),
            (ErrorKind::Full, ErrorStatus::Temporary, Some("m"))
        );
        assert_eq!(Error::from(unknown.clone()).status(), ErrorStatus::Unknown);

        let published: Published = [Ok(Receipt::default()), Err(rejected), Err(unknown)].into_iter().collect();
        let error = Error::from(published.into_result().unwrap_err());
        let count = |name| error.context(name).unwrap();
        assert_eq!([count("confirmed"), count("rejected"), count("unknown")], ["1", "1", "1"]);
        assert_eq!((error.kind(), error.status()), (ErrorKind::Full, ErrorStatus::Unknown));
    }
}
