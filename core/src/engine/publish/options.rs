//! What a publisher can be told.

use std::time::Duration;

use crate::Capability;
use crate::engine::Reconnect;

/// Bounds and policy of one publisher.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// The most messages accepted and unresolved at once; 1,024 by default, at least 1. Beyond it publishing waits.
    pub max_messages: usize,
    /// The most bytes (body, key and headers) accepted and unresolved at once; 16 MiB by default. A single message
    /// above it passes when it is alone.
    pub max_bytes: usize,
    /// How long one message may take from its first poll to its outcome, waiting for room and resending included;
    /// 30 s by default.
    pub deliver_within: Duration,
    /// Whether a message that was not stored, or of which it is unknown, is sent again until its deadline; `true` by
    /// default. Profiles whose client resends by itself are left alone.
    pub resend: bool,
    /// How long to wait between attempts to reconnect.
    pub reconnect: Reconnect,
    /// Capabilities whose volatile form suffices for messages that ask for them, such as a delay that does not survive a
    /// restart of the broker; none by default.
    pub allow_volatile: Vec<Capability>,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        PublisherOptions {
            max_messages: 1024,
            max_bytes: 16 << 20,
            deliver_within: Duration::from_secs(30),
            resend: true,
            reconnect: Reconnect::default(),
            allow_volatile: Vec::new(),
        }
    }
}
