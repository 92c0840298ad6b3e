//! Message identity: time-ordered, unique, and stable over every copy.

use std::fmt;

use uuid::Uuid;

use crate::{Error, ErrorKind, Result, Text};

/// The identity of a message. It stays the same over resend, redelivery, retry, dead-lettering and redrive.
///
/// Unless the application gives one, the publisher makes a UUID of version 7 (RFC 9562): time-ordered, 74 random
/// bits. Any other text is kept as given.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Unset,
    Uuid(Uuid),
    Given(Text),
}

impl MessageId {
    /// Not given yet: the publisher makes one.
    pub const UNSET: MessageId = MessageId(Repr::Unset);

    /// Whether the publisher still has to make one.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        matches!(self.0, Repr::Unset)
    }

    /// Checks an id that the application gave.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] when it is longer than [`MAX_TEXT`](crate::MAX_TEXT) bytes or holds control characters.
    pub fn validate(&self) -> Result<()> {
        match &self.0 {
            Repr::Given(text) if text.len() > crate::MAX_TEXT || text.chars().any(char::is_control) => {
                let rule = format!("a message id may have at most {} bytes and no control characters", crate::MAX_TEXT);
                Err(Error::new(ErrorKind::InvalidMessage, "publish", rule))
            }
            _ => Ok(()),
        }
    }

    /// The 128 bits of a UUID; `None` for any other id.
    #[must_use]
    pub fn as_u128(&self) -> Option<u128> {
        match &self.0 {
            Repr::Uuid(uuid) => Some(uuid.as_u128()),
            Repr::Unset | Repr::Given(_) => None,
        }
    }

    /// The id as it travels, without allocating: a UUID is spelled into `room`. Empty while it is unset.
    #[must_use]
    pub fn as_text<'a>(&'a self, room: &'a mut [u8; 36]) -> &'a str {
        match &self.0 {
            Repr::Unset => "",
            Repr::Uuid(uuid) => uuid.hyphenated().encode_lower(room),
            Repr::Given(text) => text,
        }
    }

    /// An id from its 128 bits.
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        MessageId(Repr::Uuid(Uuid::from_u128(bits)))
    }
}

impl From<&str> for MessageId {
    fn from(text: &str) -> Self {
        // Only the canonical spelling may be stored as bits, or the id would come back spelled differently.
        match Uuid::try_parse(text) {
            Ok(uuid) if is_canonical(text) => MessageId(Repr::Uuid(uuid)),
            _ if text.is_empty() => MessageId::UNSET,
            _ => MessageId(Repr::Given(text.into())),
        }
    }
}

impl From<String> for MessageId {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

fn is_canonical(text: &str) -> bool {
    text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase())
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Unset => f.write_str("(unset)"),
            Repr::Uuid(uuid) => fmt::Display::fmt(uuid, f),
            Repr::Given(text) => fmt::Display::fmt(text, f),
        }
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes message ids: UUID version 7 from the wall clock and an injected source of randomness.
///
/// Ids of one generator ascend, also within a millisecond and when the wall clock steps back.
#[derive(Debug)]
pub struct IdGenerator {
    random: fastrand::Rng,
    last_millis: u64,
    counter: u16,
}

impl IdGenerator {
    /// A generator with this seed; equal seeds and clocks give equal ids, for tests.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        IdGenerator { random: fastrand::Rng::with_seed(seed), last_millis: 0, counter: 0 }
    }

    /// The next id, given the wall clock in milliseconds since 1970.
    pub fn next(&mut self, millis: u64) -> MessageId {
        if millis > self.last_millis {
            self.last_millis = millis;
            // Half the counter's range is left for the ids of this millisecond.
            self.counter = self.random.u16(0..0x800);
        } else if self.counter < 0xfff {
            self.counter += 1;
        } else {
            self.last_millis += 1;
            self.counter = 0;
        }
        let high = (self.last_millis & 0xffff_ffff_ffff) << 16 | 0x7000 | u64::from(self.counter);
        let low = self.random.u64(..) >> 2 | 0x8000_0000_0000_0000;
        MessageId::from_u128(u128::from(high) << 64 | u128::from(low))
    }
}

/// A seed from the operating system's randomness.
#[must_use]
pub fn os_seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_and_are_version_7() {
        let mut ids = IdGenerator::seeded(7);
        let mut last = MessageId::UNSET;
        for n in 0..20_000u64 {
            let id = ids.next(1_000 + n / 9_000 - u64::from(n == 15_000) * 500);
            assert!(id > last, "{id} after {last}");
            let text = id.to_string();
            assert_eq!(text.as_bytes()[14], b'7');
            assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
            last = id;
        }
    }

    #[test]
    fn foreign_ids_come_back_as_spelled() {
        for text in ["a", "018F0000-0000-7000-8000-000000000000", "018f0000-0000-7000-8000-000000000000", "{x}"] {
            assert_eq!(MessageId::from(text).to_string(), text);
        }
        assert!(MessageId::from("").is_unset());
    }

    #[test]
    fn given_ids_are_short_and_printable() {
        assert!(MessageId::from("order-7").validate().is_ok());
        assert!(MessageId::from("a".repeat(crate::MAX_TEXT)).validate().is_ok());
        for bad in ["a".repeat(crate::MAX_TEXT + 1), "a\r\nb".into(), "a\0".into()] {
            assert_eq!(MessageId::from(bad).validate().unwrap_err().kind(), ErrorKind::InvalidMessage);
        }
    }
}
