//! A message: what travels, whatever carries it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::{DeadLetterInfo, Error, ErrorKind, Headers, Key, MessageId, Result, Text};

/// The longest TTL or delay a message may ask for: 100 years. Beyond it arithmetic on clocks could overflow.
pub const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// The longest key, type name or other short text of a message, in bytes.
pub const MAX_TEXT: usize = 1024;

/// A message. Cloning shares body, headers and the rarely used parts.
#[derive(Clone, Debug)]
pub struct Message {
    /// Identity; made by the publisher when unset.
    pub id: MessageId,
    /// The type name that chooses a handler where several types share a channel; empty when there is none.
    pub type_name: Text,
    /// The ordering key.
    pub key: Option<Key>,
    /// The body: the user's bytes, untouched.
    pub body: Bytes,
    /// The media type of the body, such as `application/json`; empty when unknown.
    pub content_type: Text,
    /// The user's headers.
    pub headers: Headers,
    /// When it was published: milliseconds since 1970 by the publisher's wall clock; 0 when unknown.
    pub timestamp_ms: u64,
    /// What few messages carry.
    rare: Option<Arc<Rare>>,
}

/// When a message may first be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// This long after it was stored.
    For(Duration),
    /// Not before this instant of the wall clock.
    Until(SystemTime),
}

#[derive(Clone, Debug, Default)]
struct Rare {
    correlation: Option<Text>,
    causation: Option<Text>,
    reply_to: Option<Text>,
    ttl: Option<Duration>,
    delay: Option<Delay>,
    priority: Option<u8>,
    history: History,
}

/// What the engine knows about earlier lives of a message; copies carry it, users cannot forge it.
///
/// Transports write it apart from the user's headers, under [`RESERVED_PREFIX`](crate::RESERVED_PREFIX).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Failures known to be the handler's, of earlier copies.
    pub failures: u32,
    /// Deliveries that brokers counted for earlier copies; `None` where one of them was not counted.
    pub deliveries: Option<u32>,
    /// When it first failed, milliseconds since 1970; 0 when it did not, or nobody kept it.
    pub first_failure_ms: u64,
    /// On a topic: the one subscription this copy is for, since the others have the message already.
    pub only_for: Option<Text>,
    /// Sent again after an unknown outcome: another copy may exist.
    pub maybe_duplicate: bool,
    /// How often it was redriven from a dead-letter channel.
    pub hops: u8,
    /// Why and from where it was dead-lettered.
    pub dead_letter: Option<Arc<DeadLetterInfo>>,
}

static NO_RARE: Rare = Rare {
    correlation: None,
    causation: None,
    reply_to: None,
    ttl: None,
    delay: None,
    priority: None,
    history: History {
        failures: 0,
        deliveries: None,
        first_failure_ms: 0,
        only_for: None,
        maybe_duplicate: false,
        hops: 0,
        dead_letter: None,
    },
};

/// Whether there are control characters. Every message is asked, and nearly all texts are plain ASCII: a look at all
/// bytes at once, without decoding characters, is enough for those.
fn has_control(text: &str) -> bool {
    let plain = text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte));
    !plain && text.chars().any(char::is_control)
}

impl Message {
    /// A message with this body and nothing else.
    #[must_use]
    #[inline]
    pub fn new(body: impl Into<Bytes>) -> Self {
        Message {
            id: MessageId::UNSET,
            type_name: Text::EMPTY,
            key: None,
            body: body.into(),
            content_type: Text::EMPTY,
            headers: Headers::new(),
            timestamp_ms: 0,
            rare: None,
        }
    }

    /// Whether it has nothing of what few messages carry.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.rare.is_none()
    }

    #[inline]
    fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NO_RARE)
    }

    fn rare_mut(&mut self) -> &mut Rare {
        Arc::make_mut(self.rare.get_or_insert_with(Default::default))
    }

    /// Gives the message an identity of the application's own.
    #[must_use]
    #[inline]
    pub fn with_id(mut self, id: impl Into<MessageId>) -> Self {
        self.id = id.into();
        self
    }

    /// Names the type of the body.
    #[must_use]
    pub fn with_type(mut self, name: impl Into<Text>) -> Self {
        self.type_name = name.into();
        self
    }

    /// Gives the message its ordering key.
    #[must_use]
    #[inline]
    pub fn with_key(mut self, key: impl Into<Key>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Appends a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Text>, value: impl Into<crate::HeaderValue>) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Names the media type of the body.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<Text>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Ties the message to a conversation.
    #[must_use]
    pub fn with_correlation(mut self, correlation: impl Into<Text>) -> Self {
        self.rare_mut().correlation = Some(correlation.into());
        self
    }

    /// Names the message that caused this one.
    #[must_use]
    pub fn with_causation(mut self, causation: impl Into<Text>) -> Self {
        self.rare_mut().causation = Some(causation.into());
        self
    }

    /// Names the channel that replies should go to.
    #[must_use]
    pub fn with_reply_to(mut self, channel: impl Into<Text>) -> Self {
        self.rare_mut().reply_to = Some(channel.into());
        self
    }

    /// Lets the message expire when it was not delivered within this time of being stored.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.rare_mut().ttl = Some(ttl);
        self
    }

    /// Holds the message back.
    #[must_use]
    pub fn with_delay(mut self, delay: Delay) -> Self {
        self.rare_mut().delay = Some(delay);
        self
    }

    /// Removes the delay, as on a copy that was already held back.
    #[must_use]
    pub fn without_delay(mut self) -> Self {
        if self.rare().delay.is_some() {
            self.rare_mut().delay = None;
        }
        self
    }

    /// Removes the TTL, as on a copy whose deadline travels otherwise.
    #[must_use]
    pub fn without_ttl(mut self) -> Self {
        if self.rare().ttl.is_some() {
            self.rare_mut().ttl = None;
        }
        self
    }

    /// Gives the message a priority: higher goes first, 0 to 255; none counts as 0.
    #[must_use]
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.rare_mut().priority = Some(priority);
        self
    }

    /// Replaces what is known about earlier lives; for the engine and for transports that read it back.
    #[must_use]
    pub fn with_history(mut self, history: History) -> Self {
        if self.rare.is_some() || history != History::default() {
            self.rare_mut().history = history;
        }
        self
    }

    /// Marks the message as possibly sent before.
    pub fn mark_maybe_duplicate(&mut self) {
        self.rare_mut().history.maybe_duplicate = true;
    }

    /// The conversation.
    #[must_use]
    pub fn correlation(&self) -> Option<&Text> {
        self.rare().correlation.as_ref()
    }

    /// The message that caused this one.
    #[must_use]
    pub fn causation(&self) -> Option<&Text> {
        self.rare().causation.as_ref()
    }

    /// The channel that replies should go to.
    #[must_use]
    pub fn reply_to(&self) -> Option<&Text> {
        self.rare().reply_to.as_ref()
    }

    /// How long after being stored it expires.
    #[must_use]
    #[inline]
    pub fn ttl(&self) -> Option<Duration> {
        self.rare().ttl
    }

    /// How long it is held back.
    #[must_use]
    #[inline]
    pub fn delay(&self) -> Option<Delay> {
        self.rare().delay
    }

    /// The priority; none counts as 0.
    #[must_use]
    #[inline]
    pub fn priority(&self) -> Option<u8> {
        self.rare().priority
    }

    /// What is known about earlier lives.
    #[must_use]
    #[inline]
    pub fn history(&self) -> &History {
        &self.rare().history
    }

    /// The bytes that count against bounds: body, key and headers.
    #[must_use]
    #[inline]
    pub fn weight(&self) -> usize {
        self.body.len() + self.key.as_ref().map_or(0, |key| key.as_bytes().len()) + self.headers.byte_len()
    }

    /// Checks everything that no broker needs to see to refuse it.
    ///
    /// # Errors
    /// A typed, permanent error naming the rule: header rules, texts over [`MAX_TEXT`], control characters in the type
    /// name, a TTL of zero, or a TTL or delay above [`MAX_DURATION`].
    #[inline]
    pub fn validate(&self) -> Result<()> {
        self.headers.validate()?;
        self.id.validate()?;
        let refuse = |rule: String| Error::new(ErrorKind::InvalidMessage, "publish", rule);
        if self.type_name.len() > MAX_TEXT || self.content_type.len() > MAX_TEXT {
            return Err(refuse(format!("type name and content type may have at most {MAX_TEXT} bytes")));
        }
        if has_control(&self.type_name) || has_control(&self.content_type) {
            return Err(refuse("type name and content type may not hold control characters".into()));
        }
        if let Some(key) = &self.key
            && key.as_bytes().len() > MAX_TEXT
        {
            return Err(refuse(format!("a key may have at most {MAX_TEXT} bytes")));
        }
        let Some(rare) = &self.rare else { return Ok(()) };
        for text in [&rare.correlation, &rare.causation, &rare.reply_to].into_iter().flatten() {
            if text.len() > MAX_TEXT || has_control(text) {
                return Err(refuse(format!(
                    "correlation, causation and reply-to may have at most {MAX_TEXT} bytes and no control characters"
                )));
            }
        }
        if rare.ttl == Some(Duration::ZERO) {
            return Err(refuse("a ttl of zero would expire before it is stored".into()));
        }
        if rare.ttl.is_some_and(|ttl| ttl > MAX_DURATION)
            || matches!(rare.delay, Some(Delay::For(delay)) if delay > MAX_DURATION)
        {
            return Err(refuse("a ttl or delay may be at most 100 years".into()));
        }
        Ok(())
    }
}
