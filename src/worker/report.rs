//! What a worker did.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pontoon_core::engine::DrainReport;
use pontoon_core::{Error, Event, EventHook, EventKind, MessageId};

/// What a worker did from its start to the end of its drain.
///
/// `handled`, `retried`, `dead_lettered` and `dropped` count ends of attempts, not messages: a message that failed twice
/// and was then handled counts as retried twice and handled once.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "messages may have been abandoned"]
pub struct WorkerReport {
    /// Handled and acknowledged.
    pub handled: u64,
    /// Failed, to be tried again.
    pub retried: u64,
    /// In the dead-letter channel, confirmed.
    pub dead_lettered: u64,
    /// Dropped, where the channel says so instead of a dead-letter channel.
    pub dropped: u64,
    /// Given back: released by handlers, or fetched and not started when the worker stopped.
    pub released: u64,
    /// Settled too late, after the lease was lost: they come again.
    pub stale: u64,
    /// Settled, and not known to be final when the worker stopped: they may come again.
    pub unknown: u64,
    /// Attempts that panicked; they are among the failures.
    pub panicked: u64,
    /// Attempts that took longer than their handler's timeout; they are among the failures.
    pub timed_out: u64,
    /// Still being handled at the deadline: they will be delivered again.
    pub abandoned: Vec<MessageId>,
    /// What went wrong while closing.
    pub errors: Vec<Error>,
}

impl WorkerReport {
    /// Whether everything that was begun was settled, and every subscription closed well.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.abandoned.is_empty() && self.unknown == 0 && self.errors.is_empty()
    }

    pub(crate) fn add(&mut self, drained: DrainReport) {
        self.released += drained.released;
        self.stale += drained.late.stale;
        self.unknown += drained.late.unknown;
        self.abandoned.extend(drained.abandoned);
        self.errors.extend(drained.error);
    }
}

impl fmt::Display for WorkerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorkerReport { handled, retried, dead_lettered, released, .. } = self;
        write!(f, "handled={handled} retried={retried} dead_lettered={dead_lettered} released={released}")?;
        write!(f, " abandoned={}", self.abandoned.len())?;
        let rare = [
            ("dropped", self.dropped),
            ("stale", self.stale),
            ("unknown", self.unknown),
            ("panicked", self.panicked),
            ("timed_out", self.timed_out),
        ];
        for (name, count) in rare.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, " {name}={count}")?;
        }
        for error in &self.errors {
            write!(f, " error={:?}", error.to_string())?;
        }
        Ok(())
    }
}

/// Counts what one worker's subscriptions do.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    handled: AtomicU64,
    retried: AtomicU64,
    dead_lettered: AtomicU64,
    dropped: AtomicU64,
    released: AtomicU64,
    stale: AtomicU64,
    panicked: AtomicU64,
    timed_out: AtomicU64,
}

macro_rules! count {
    ($($name:ident)*) => {
        impl Counters {
            $(pub(crate) fn $name(&self) {
                self.$name.fetch_add(1, Ordering::Relaxed);
            })*

            pub(crate) fn report(&self) -> WorkerReport {
                WorkerReport { $($name: self.$name.load(Ordering::Relaxed),)* ..WorkerReport::default() }
            }
        }
    };
}
count!(handled retried dead_lettered dropped released stale panicked timed_out);

/// Counts events of one worker, and passes them on to the broker's hook.
pub(crate) struct Counting {
    pub(crate) counters: Arc<Counters>,
    pub(crate) inner: Arc<dyn EventHook>,
}

impl EventHook for Counting {
    fn wants(&self, kind: EventKind) -> bool {
        matches!(kind, EventKind::Retried | EventKind::DeadLettered | EventKind::Dropped) || self.inner.wants(kind)
    }

    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Retried { .. } => self.counters.retried(),
            Event::DeadLettered { .. } => self.counters.dead_lettered(),
            Event::Dropped { .. } => self.counters.dropped(),
            _ => {}
        }
        if self.inner.wants(event.kind()) {
            self.inner.on_event(event);
        }
    }
}
