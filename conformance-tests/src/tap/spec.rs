//! What to publish.

use std::time::Duration;

use pontoon_core::{Delay, HeaderValue, Key, Message};

use super::Run;
use crate::history::{Payload, PublishId};

/// One message to be published: everything but who publishes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// Its key.
    pub key: Option<Key>,
    /// The length of its body, in bytes.
    pub len: usize,
    /// Its headers.
    pub headers: Vec<(String, HeaderValue)>,
    /// How long it is held back.
    pub delay: Option<Duration>,
    /// When it expires.
    pub ttl: Option<Duration>,
    /// Its priority.
    pub priority: Option<u8>,
}

impl Spec {
    /// A message with this key.
    #[must_use]
    pub fn keyed(key: impl Into<Key>) -> Self {
        Spec { key: Some(key.into()), ..Spec::default() }
    }

    /// The message, as this publisher's next.
    pub(super) fn message(&self, run: &Run, id: PublishId) -> Message {
        let payload = Payload { run: run.number(), id, key: self.key.clone() };
        let mut message = payload.message(self.len);
        for (name, value) in &self.headers {
            message = message.with_header(name.as_str(), value.clone());
        }
        if let Some(delay) = self.delay {
            message = message.with_delay(Delay::For(delay));
        }
        if let Some(ttl) = self.ttl {
            message = message.with_ttl(ttl);
        }
        if let Some(priority) = self.priority {
            message = message.with_priority(priority);
        }
        message
    }
}
