//! Events beneath the API that belong into the history.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pontoon_core::{ErrorStatus, Event, EventHook, EventKind};

use crate::history::{Answer, End, Handle, LeaseId, Recorder, SourceName, What};

/// The hook of one publisher.
pub(crate) struct PublisherHook {
    recorder: Recorder,
    handle: Handle,
}

impl PublisherHook {
    pub(crate) fn new(recorder: Recorder, number: u32) -> Self {
        PublisherHook { recorder, handle: Handle::Publisher(number) }
    }
}

impl EventHook for PublisherHook {
    fn wants(&self, kind: EventKind) -> bool {
        matches!(kind, EventKind::PublishFailed | EventKind::Disconnected | EventKind::Reconnected)
    }

    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::PublishFailed { id, error, resend_in: Some(_), .. } => {
                let unknown = error.status() == ErrorStatus::Unknown;
                self.recorder.record(What::Resent { message: id.to_string().into(), unknown });
            }
            other => connection(&self.recorder, self.handle, other),
        }
    }
}

fn connection(recorder: &Recorder, handle: Handle, event: &Event<'_>) {
    match event {
        Event::Disconnected { .. } => recorder.record(What::Disconnected { handle }),
        Event::Reconnected { .. } => recorder.record(What::Connected { handle }),
        _ => {}
    }
}

/// The hook of one consumer. It knows which leases its consumer handed out, since the engine's events name messages.
pub(crate) struct ConsumerHook {
    recorder: Recorder,
    consumer: u32,
    leases: Mutex<Leases>,
}

/// Leases by message id, oldest first.
#[derive(Debug, Default)]
struct Leases {
    open: HashMap<String, VecDeque<LeaseId>>,
    /// Settled, or being settled, and not known to be final.
    settled: HashMap<String, Vec<Unsettled>>,
    /// Lost before they were written down: the engine tells of it as soon as it handed them over.
    lost: HashMap<String, u32>,
    /// Which attempt each lease is that is not settled.
    at_least: HashMap<LeaseId, u32>,
    count: u64,
}

/// A settlement that may still turn out late.
#[derive(Debug)]
struct Unsettled {
    lease: LeaseId,
    end: End,
    number: u64,
    at_least: u32,
    answered: bool,
    /// An event said that it, or another of its message, was late.
    doubted: bool,
}

/// A failure that this attempt counts was not late. Where it counts fewer than there were, nobody knows which.
fn counted(settled: &mut Vec<Unsettled>, at_least: u32) {
    let failed = |one: &Unsettled| matches!(one.end, End::Retry { .. }) && one.at_least < at_least;
    let failures: Vec<u32> = settled.iter().filter(|one| failed(one)).map(|one| one.at_least).collect();
    let before = failures.iter().min().copied().unwrap_or(at_least);
    if failures.len() as u64 <= u64::from(at_least - before) {
        settled.retain(|one| !failed(one));
    }
}

impl ConsumerHook {
    pub(super) fn new(recorder: Recorder, consumer: u32) -> Self {
        ConsumerHook { recorder, consumer, leases: Mutex::default() }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handed_out(&self, message: &str, lease: LeaseId, at_least: u32) {
        let mut leases = self.leases();
        leases.at_least.insert(lease, at_least);
        if let Some(settled) = leases.settled.get_mut(message) {
            counted(settled, at_least);
        }
        let lost = match leases.lost.get_mut(message) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => {
                leases.open.entry(message.to_owned()).or_default().push_back(lease);
                false
            }
        };
        drop(leases);
        if lost {
            self.recorder.record(What::LeaseLost { lease });
        }
    }

    /// The delivery is about to be settled.
    pub(super) fn settling(&self, message: &str, lease: LeaseId, end: End) {
        let mut leases = self.leases();
        if let Some(open) = leases.open.get_mut(message) {
            open.retain(|other| *other != lease);
            if open.is_empty() {
                leases.open.remove(message);
            }
        }
        leases.count += 1;
        let number = leases.count;
        let at_least = leases.at_least.remove(&lease).unwrap_or(1);
        let unsettled = Unsettled { lease, end, number, at_least, answered: false, doubted: false };
        leases.settled.entry(message.to_owned()).or_default().push(unsettled);
    }

    /// The settlement was answered; what is not merely recorded is known now.
    pub(super) fn settled(&self, message: &str, lease: LeaseId, recorded: bool) {
        let mut leases = self.leases();
        let Some(settled) = leases.settled.get_mut(message) else { return };
        if recorded {
            settled.iter_mut().filter(|other| other.lease == lease).for_each(|other| other.answered = true);
        } else {
            settled.retain(|other| other.lease != lease);
        }
    }

    /// The number of the newest settlement.
    pub(super) fn newest(&self) -> u64 {
        self.leases().count
    }

    /// Nothing that was recorded up to this number was late. Only acknowledgements are final by that: what is given back or tried
    /// again may wait in the client.
    pub(super) fn all_final(&self, upto: u64) {
        self.leases().settled.retain(|_, leases| {
            leases.retain(|settled| settled.end != End::Ack || settled.number > upto);
            !leases.is_empty()
        });
    }

    /// A settlement of this message came too late. The event does not tell which: where there are several, each may be
    /// the one, then and with the next such event, and none of them counts as known.
    fn late(&self, message: &str) {
        let mut leases = self.leases();
        let Some(candidates) = leases.settled.get_mut(message) else { return };
        let answer = if candidates.len() == 1 { Answer::Stale } else { Answer::Unknown };
        let news: Vec<LeaseId> = candidates
            .iter_mut()
            .filter_map(|settled| (!std::mem::replace(&mut settled.doubted, true)).then_some(settled.lease))
            .collect();
        if answer == Answer::Stale {
            leases.settled.remove(message);
        }
        drop(leases);
        for lease in news {
            self.recorder.record(What::Late { lease, answer });
        }
    }

    fn lost(&self, message: &str) {
        let mut leases = self.leases();
        let lease = leases.open.get_mut(message).and_then(VecDeque::pop_front);
        // One that is being settled hears it by the answer.
        let settling = leases.settled.get(message).is_some_and(|settled| settled.iter().any(|one| !one.answered));
        if lease.is_none() && !settling {
            *leases.lost.entry(message.to_owned()).or_default() += 1;
        }
        drop(leases);
        if let Some(lease) = lease {
            self.recorder.record(What::LeaseLost { lease });
        }
    }
}

impl EventHook for ConsumerHook {
    fn wants(&self, kind: EventKind) -> bool {
        // `Settled` is wanted for its side: only then the engine keeps the ids of what it acknowledged.
        !matches!(kind, EventKind::Published | EventKind::Delivered | EventKind::Retried)
    }

    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::LeaseLost { id, .. } => self.lost(&id.to_string()),
            Event::Stale { id, .. } => self.late(&id.to_string()),
            Event::DeadLettered { source, id, reason, .. } => self.recorder.record(What::DeadLettered {
                source: SourceName::from(*source),
                message: id.to_string().into(),
                reason: Some(*reason),
            }),
            Event::Dropped { source, id, reason } => self.recorder.record(What::Dropped {
                source: SourceName::from(*source),
                message: id.to_string().into(),
                reason: *reason,
            }),
            Event::OrderSpilled { source, id } => self
                .recorder
                .record(What::Spilled { source: SourceName::from(*source), message: id.to_string().into() }),
            other => connection(&self.recorder, Handle::Consumer(self.consumer), other),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pontoon_core::{Channel, MessageId, Source};

    use super::*;

    struct Rig {
        hook: ConsumerHook,
        source: Source,
    }

    impl Rig {
        fn new() -> Self {
            let source = Source::new(Channel::queue("q").unwrap(), None).unwrap();
            Rig { hook: ConsumerHook::new(Recorder::new(), 1), source }
        }

        fn lease_lost(&self) {
            self.hook.on_event(&Event::LeaseLost { source: &self.source, id: &MessageId::from("m") });
        }

        /// The leases that are written down as lost.
        fn lost(&self) -> Vec<LeaseId> {
            let history = self.hook.recorder.history();
            let lost = |event: &crate::history::Event| match event.what {
                What::LeaseLost { lease } => Some(lease),
                _ => None,
            };
            history.events().iter().filter_map(lost).collect()
        }
    }

    #[test]
    fn a_lease_lost_before_its_delivery_was_written_down_is_not_forgotten() {
        let rig = Rig::new();
        let [first, second] = [rig.hook.recorder.next_lease(), rig.hook.recorder.next_lease()];
        rig.lease_lost();
        assert_eq!(rig.lost(), []);
        rig.hook.handed_out("m", first, 1);
        assert_eq!(rig.lost(), [first]);
        rig.hook.handed_out("m", second, 1);
        assert_eq!(rig.lost(), [first], "the next delivery has a lease of its own");
        rig.lease_lost();
        assert_eq!(rig.lost(), [first, second]);
    }

    #[test]
    fn a_lease_lost_while_it_is_settled_is_not_taken_for_a_later_one() {
        let rig = Rig::new();
        let [first, second] = [rig.hook.recorder.next_lease(), rig.hook.recorder.next_lease()];
        rig.hook.handed_out("m", first, 1);
        rig.hook.settling("m", first, End::Ack);
        rig.lease_lost();
        rig.hook.settled("m", first, false);
        rig.hook.handed_out("m", second, 1);
        assert_eq!(rig.lost(), []);
    }

    #[test]
    fn a_failure_that_the_next_delivery_counts_was_not_late() {
        let late = |rig: &Rig| rig.hook.recorder.history().events().iter().any(|e| matches!(e.what, What::Late { .. }));
        for (attempt, expected) in [(1, true), (2, false)] {
            let rig = Rig::new();
            let [first, second] = [rig.hook.recorder.next_lease(), rig.hook.recorder.next_lease()];
            rig.hook.handed_out("m", first, 1);
            rig.hook.settling("m", first, End::Retry { after: None });
            rig.hook.settled("m", first, true);
            rig.hook.handed_out("m", second, attempt);
            rig.hook.on_event(&Event::Stale { source: &rig.source, id: &MessageId::from("m") });
            assert_eq!(late(&rig), expected, "attempt {attempt}");
        }
        // Two failed, and one is counted.
        let rig = Rig::new();
        for attempt in [1, 1, 2] {
            let lease = rig.hook.recorder.next_lease();
            rig.hook.handed_out("m", lease, attempt);
            if attempt == 1 {
                rig.hook.settling("m", lease, End::Retry { after: None });
                rig.hook.settled("m", lease, true);
            }
        }
        rig.hook.on_event(&Event::Stale { source: &rig.source, id: &MessageId::from("m") });
        assert!(late(&rig), "it may have been either");
    }
}
