//! What is under way, counted where it happens: a fault that strikes into a lull proves nothing.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Counters that everybody aboard keeps.
#[derive(Debug, Default)]
pub(super) struct Stakes {
    publishes: AtomicI64,
    leases: AtomicI64,
    confirmed: AtomicU64,
    handled: AtomicU64,
    surge: AtomicBool,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Publishes without an outcome.
    pub(super) publishes: i64,
    /// Deliveries that are not settled.
    pub(super) leases: i64,
    pub(super) confirmed: u64,
    pub(super) handled: u64,
}

impl Standing {
    pub(super) fn is_all_at_stake(&self) -> bool {
        self.publishes > 0 && self.leases > 0
    }

    pub(super) fn is_at_stake(&self) -> bool {
        self.publishes > 0 || self.leases > 0
    }
}

impl Stakes {
    pub(super) fn standing(&self) -> Standing {
        Standing {
            publishes: self.publishes.load(Ordering::SeqCst),
            leases: self.leases.load(Ordering::SeqCst),
            confirmed: self.confirmed.load(Ordering::SeqCst),
            handled: self.handled.load(Ordering::SeqCst),
        }
    }

    /// Lets publishers go as fast as they can, or at their rate again. Around a blow they must not be between two batches:
    /// a broker that answers in a millisecond would have nothing in doubt.
    pub(super) fn surge(&self, on: bool) {
        self.surge.store(on, Ordering::SeqCst);
    }

    pub(super) fn surges(&self) -> bool {
        self.surge.load(Ordering::SeqCst)
    }

    pub(super) fn published(&self, messages: usize) {
        self.publishes.fetch_add(messages as i64, Ordering::SeqCst);
    }

    pub(super) fn ended(&self, messages: usize, confirmed: usize) {
        self.publishes.fetch_sub(messages as i64, Ordering::SeqCst);
        self.confirmed.fetch_add(confirmed as u64, Ordering::SeqCst);
    }

    pub(super) fn delivered(&self) {
        self.leases.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn settled(&self, handled: bool) {
        self.leases.fetch_sub(1, Ordering::SeqCst);
        self.handled.fetch_add(u64::from(handled), Ordering::SeqCst);
    }
}
