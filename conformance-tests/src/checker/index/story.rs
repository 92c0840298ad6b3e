//! What happened to one message at one source.

use pontoon_core::ReasonKind;

use crate::history::Nanos;

/// One message at one source.
#[derive(Debug, Default)]
pub(in crate::checker) struct Story {
    pub(in crate::checker) source: usize,
    pub(in crate::checker) sent: usize,
    /// In the order of their times.
    pub(in crate::checker) leases: Vec<usize>,
    /// Dead letters read: their events.
    pub(in crate::checker) dead: Vec<usize>,
    /// When the library told that it stored a dead letter, and why.
    pub(in crate::checker) buried: Vec<(Nanos, Option<ReasonKind>)>,
    /// When it was told to be dropped by policy, and why.
    pub(in crate::checker) dropped: Vec<(Nanos, Option<ReasonKind>)>,
    pub(in crate::checker) redriven: Vec<Nanos>,
    pub(in crate::checker) spilled: Vec<Nanos>,
    /// Still held by the broker at the end.
    pub(in crate::checker) left: bool,
    /// Its events, but those of its leases.
    pub(in crate::checker) events: Vec<usize>,
}

impl Story {
    /// Whether it was put back between these moments.
    pub(in crate::checker) fn redriven_between(&self, from: Nanos, to: Nanos) -> bool {
        self.redriven.iter().any(|at| (from..=to).contains(at))
    }
}
