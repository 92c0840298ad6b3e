//! Consumers, and when they were hurt.

use crate::history::Nanos;

/// One consumer.
#[derive(Debug, Default)]
pub(in crate::checker) struct Consumer {
    pub(in crate::checker) source: Option<usize>,
    pub(in crate::checker) process: u32,
    pub(in crate::checker) from: Nanos,
    pub(in crate::checker) until: Option<Nanos>,
    pub(in crate::checker) prefetch: Option<u64>,
    /// When its connection was lost or its process killed, ascending.
    pub(in crate::checker) hurt: Vec<Nanos>,
    /// Flushes: when each began and ended, and whether everything was final.
    pub(in crate::checker) flushes: Vec<Flush>,
    /// When partitions were given (`true`) and taken (`false`), in the order of their times.
    pub(in crate::checker) assigned: Vec<(Nanos, u32, bool)>,
    /// Its leases, in the order of their times.
    pub(in crate::checker) leases: Vec<usize>,
}

/// One flush.
#[derive(Clone, Copy, Debug)]
pub(in crate::checker) struct Flush {
    /// Its event: times may be equal, places in the record are not.
    pub(in crate::checker) began: usize,
    pub(in crate::checker) ended: Option<Nanos>,
    /// The event of its end.
    pub(in crate::checker) ended_event: usize,
    pub(in crate::checker) clean: bool,
}

impl Consumer {
    /// Whether it was hurt, or closed, between these moments.
    pub(in crate::checker) fn gone_between(&self, from: Nanos, to: Nanos) -> bool {
        let next = self.hurt.partition_point(|at| *at < from);
        self.hurt.get(next).is_some_and(|at| *at <= to) || self.until.is_some_and(|at| (from..=to).contains(&at))
    }

    pub(super) fn flush_began(&mut self, event: usize) {
        self.flushes.push(Flush { began: event, ended: None, ended_event: usize::MAX, clean: false });
    }

    pub(super) fn flush_ended(&mut self, at: Nanos, event: usize, clean: bool) {
        if let Some(flush) = self.flushes.iter_mut().rev().find(|flush| flush.ended.is_none()) {
            (flush.ended, flush.ended_event, flush.clean) = (Some(at), event, clean);
        }
    }
}
