//! What lasts: delays, slowness, slices, silence.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

/// One way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the broker.
    Request,
    /// From the broker to the client.
    Reply,
}

impl Direction {
    /// Both ways.
    pub const BOTH: [Direction; 2] = [Direction::Request, Direction::Reply];
}

/// What one direction suffers while it lasts. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impairments {
    /// Every byte arrives so much later. What is sent meanwhile travels beside it: the rate is not reduced.
    pub latency: Duration,
    /// Up to so much on top, drawn anew for each piece. Nothing overtakes.
    pub jitter: Duration,
    /// No more than so many bytes per second, of each connection.
    pub rate: Option<NonZeroU64>,
    /// Everything is passed on in slices of at most so many bytes, each a write of its own.
    pub slice: Option<NonZeroUsize>,
    /// The pause between two slices.
    pub gap: Duration,
    /// Nothing is passed on and nothing is closed; what was held up is passed on when it ends.
    pub silent: bool,
}

impl Impairments {
    /// How long after a piece of so many bytes the next one may go.
    pub(super) fn pause_after(&self, bytes: usize) -> Duration {
        let by_rate = self.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate.get())
        });
        by_rate.max(if self.slice.is_some() { self.gap } else { Duration::ZERO })
    }

    /// How much of so many bytes goes at once.
    pub(super) fn piece(&self, bytes: usize) -> usize {
        // A rate is kept by the pause after each piece, so pieces must be short for it to be even.
        let by_rate = self.rate.map_or(bytes, |rate| usize::try_from(rate.get() / 100).unwrap_or(bytes).max(1));
        bytes.min(by_rate).min(self.slice.map_or(bytes, NonZeroUsize::get))
    }
}
