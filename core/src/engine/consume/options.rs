//! What can be set on a consumer, and what it reports.

use std::fmt;
use std::time::Duration;

use crate::engine::Reconnect;
use crate::{Capability, DeliveryGuarantee, Error, MessageId, Retry};

/// How a consumer behaves; the durable facts are the channel's.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// The most deliveries that are outstanding at once, in messages; 256 by default.
    pub prefetch: usize,
    /// On ordered channels: how many messages may wait behind blocked keys beyond `prefetch`, so that other keys flow;
    /// 1,000 by default.
    pub max_parked: usize,
    /// What the subscription guarantees; at least once by default.
    pub guarantee: DeliveryGuarantee,
    /// How often, and how far apart, a message may fail.
    pub retry: Retry,
    /// Capabilities whose volatile form is good enough.
    pub allow_volatile: Vec<Capability>,
    /// How fast one message may be released again and again.
    pub release_pace: ReleasePace,
    /// How a lost connection is made anew, those that store copies and dead letters included.
    pub reconnect: Reconnect,
    /// Settlements are flushed at the latest this long after they were recorded; 2 ms by default.
    pub flush_every: Duration,
    /// The longest one read may wait at the server; 5 s by default. Bounds how long stopping takes.
    pub longest_read: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        ConsumerOptions {
            prefetch: 256,
            max_parked: 1_000,
            guarantee: DeliveryGuarantee::AtLeastOnce,
            retry: Retry::DEFAULT,
            allow_volatile: Vec::new(),
            release_pace: ReleasePace::default(),
            reconnect: Reconnect::default(),
            flush_every: Duration::from_millis(2),
            longest_read: Duration::from_secs(5),
        }
    }
}

/// How long a released message waits before it can be delivered again: `first`, doubling up to `cap` with each further
/// release of the same message, so that nothing spins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasePace {
    /// The first wait; 100 ms by default.
    pub first: Duration,
    /// The longest wait; 5 s by default.
    pub cap: Duration,
}

impl Default for ReleasePace {
    fn default() -> Self {
        ReleasePace { first: Duration::from_millis(100), cap: Duration::from_secs(5) }
    }
}

/// What flushing found: recorded settlements that did not become final as recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct FlushReport {
    /// Came too late: the lease was lost.
    pub stale: u64,
    /// It is not known whether they happened.
    pub unknown: u64,
}

impl FlushReport {
    pub(super) fn add(&mut self, other: &FlushReport) {
        self.stale += other.stale;
        self.unknown += other.unknown;
    }
}

/// How a drain ended.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct DrainReport {
    /// Prefetched or waiting for a retry, given back without having been handled again.
    pub released: u64,
    /// Still being handled, or unsettled, at the deadline: they will be delivered again.
    pub abandoned: Vec<MessageId>,
    /// Settlements found since draining began not to be final as recorded: their messages may be delivered again.
    pub late: FlushReport,
    /// What went wrong while closing.
    pub error: Option<Error>,
}

impl DrainReport {
    /// Whether everything was settled in time, for good.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.abandoned.is_empty() && self.late == FlushReport::default() && self.error.is_none()
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "released={} abandoned={}", self.released, self.abandoned.len())?;
        if self.late != FlushReport::default() {
            write!(f, " stale={} unknown={}", self.late.stale, self.late.unknown)?;
        }
        if let Some(error) = &self.error {
            write!(f, " error={error}")?;
        }
        Ok(())
    }
}
