//! What went wrong on purpose, when, and what that can cause.

use std::collections::BTreeMap;

use crate::history::{FaultKind, Nanos};

/// Faults as stretches of time, and publishers that were hurt.
#[derive(Debug, Default)]
pub(in crate::checker) struct Faults {
    stretches: BTreeMap<FaultKind, Vec<Stretch>>,
    /// When publishers lost their connection or their process was killed, ascending.
    publishers: BTreeMap<u32, Vec<Nanos>>,
    /// Events of faults, for witnesses.
    pub(in crate::checker) events: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: Nanos,
    to: Nanos,
}

/// What a fault can bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checker) enum Causes {
    /// A publish whose outcome is unknown.
    Unknown,
    /// A second copy of what was published.
    Copy,
    /// A delivery that comes again.
    Redelivery,
    /// A lease that ends before its holder can know.
    SilentLoss,
    /// A lease that ends while its connection stands.
    Expiry,
    /// A second dead letter.
    SecondDeadLetter,
    /// Nothing happens for a while.
    Silence,
}

impl Causes {
    fn of(self, kind: FaultKind) -> bool {
        use FaultKind as F;
        let link = matches!(kind, F::Cut | F::HalfOpen | F::Slow | F::BrokerKilled | F::BrokerPaused | F::ReplicaLost);
        match self {
            Causes::Unknown => link || matches!(kind, F::LostConfirm | F::PublisherStopped | F::Full),
            Causes::Copy => link || matches!(kind, F::LostConfirm | F::Duplicate | F::PublisherStopped | F::Full),
            Causes::Redelivery => {
                link || matches!(kind, F::ExpiredLease | F::FailedSettle | F::ConsumerStopped | F::Rebalance | F::Clock)
            }
            Causes::SilentLoss => {
                link || matches!(kind, F::ExpiredLease | F::ConsumerStopped | F::Rebalance | F::Clock)
            }
            Causes::Expiry => matches!(
                kind,
                F::ExpiredLease | F::ConsumerStopped | F::BrokerPaused | F::HalfOpen | F::Slow | F::Clock
            ),
            Causes::SecondDeadLetter => link || matches!(kind, F::LostConfirm | F::Duplicate | F::ConsumerStopped),
            // Whatever goes wrong may slow things down.
            Causes::Silence => true,
        }
    }
}

impl Faults {
    pub(super) fn begin(&mut self, kind: FaultKind, at: Nanos) {
        let stretches = self.stretches.entry(kind).or_default();
        // Begun twice, it ends once.
        if stretches.last().is_none_or(|last| last.to != Nanos::MAX) {
            stretches.push(Stretch { from: at, to: Nanos::MAX });
        }
    }

    pub(super) fn end(&mut self, kind: FaultKind, at: Nanos) {
        if let Some(last) = self.stretches.entry(kind).or_default().last_mut()
            && last.to == Nanos::MAX
        {
            last.to = at;
        }
    }

    pub(super) fn publisher_hurt(&mut self, publisher: u32, at: Nanos) {
        self.publishers.entry(publisher).or_default().push(at);
    }

    /// Whether something that can cause this was wrong between these moments, or had been until `notice` before.
    pub(in crate::checker) fn any(&self, causes: Causes, from: Nanos, to: Nanos, notice: Nanos) -> bool {
        self.stretches.iter().any(|(kind, stretches)| {
            let from = from.saturating_sub(notice);
            let next = stretches.partition_point(|stretch| stretch.to < from);
            causes.of(*kind) && stretches.get(next).is_some_and(|stretch| stretch.from <= to)
        })
    }

    /// Whether this kind was at work at any time.
    pub(in crate::checker) fn happened(&self, kind: FaultKind) -> bool {
        self.stretches.contains_key(&kind)
    }

    /// Whether this publisher was hurt between these moments.
    pub(in crate::checker) fn publisher_hurt_between(&self, publisher: u32, from: Nanos, to: Nanos) -> bool {
        self.publishers.get(&publisher).is_some_and(|hurt| {
            let next = hurt.partition_point(|at| *at < from);
            hurt.get(next).is_some_and(|at| *at <= to)
        })
    }

    /// Whether there is a stretch longer than this between these moments in which nothing is wrong, nor was until
    /// `notice` before.
    pub(in crate::checker) fn calm(&self, from: Nanos, to: Nanos, longer: Nanos, notice: Nanos) -> bool {
        // What was over before changes nothing below.
        let mut wrong: Vec<Stretch> = self.stretches.values().flatten().filter(|s| s.from < to).copied().collect();
        wrong.sort_unstable_by_key(|stretch| stretch.from);
        let mut since = from;
        for stretch in wrong {
            if stretch.from > since.saturating_add(longer) {
                return true;
            }
            since = since.max(stretch.to.saturating_add(notice));
        }
        to > since.saturating_add(longer)
    }
}
