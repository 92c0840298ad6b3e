//! Mutants of dead letters. They let the engine publish dead letters, where it would otherwise swap in one step, so that
//! the copy can be touched.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pontoon_core::driver::{Disposition, Incoming, Late, LateKind, Token};
use pontoon_core::engine::ConsumerOptions;
use pontoon_core::{
    Capabilities, Capability, Channel, DeadLetterInfo, Error, ErrorKind, Event, History, Level, Message, MessageId,
    PublishOutcome, ReasonKind, Receipt, Rejection, Source,
};

use super::{Deed, Defect, Fate, Seat, has_key, locked};

mutants! {
    "DLQ-LIMIT" OffByOne: "one attempt more is allowed" by ["missed-dlq"];
    "DLQ-ONCE" Twice: "dead letters are stored twice" by ["dlq-duplicate"];
    "DLQ-META" Anonymous: "dead letters do not say how often they were tried" by ["dlq-metadata"];
    "DLQ-REASON" SameReason: "every dead letter is rejected" by ["dlq-metadata"];
    "DLQ-OUTAGE" SettlesBefore: "a message is settled before its dead letter is confirmed" by ["dlq-lost"];
    "DLQ-CRASH" SettlesAndHolds: "a message is settled while its dead letter is still on the way" by ["dlq-lost"];
    "DLQ-BLOCK" HeadOfLine: "one message at a time is fetched, and waits out its backoff" by ["head-of-line"];
    "DLQ-REDRIVE" KeepsCount: "a redriven message keeps its failures" by ["redrive-keeps-count"];
    "RDR-DEDUP" DedupById: "a redriven message is taken for a duplicate" by ["redrive-lost"];
    "DLQ-NONE" DropsQuietly: "a discarded message is no event" by ["silent-drop"];
    "TGT-GONE" SharedBucket: "one channel without its target holds up all others" by ["held-up"];
}

fn is_dead(channel: &Channel) -> bool {
    channel.name.as_str().ends_with(".dead")
}

fn no_swap(found: &mut Capabilities) {
    found.set(Capability::AtomicReplace, Level::Absent);
}

#[derive(Default)]
struct OffByOne;

impl Defect for OffByOne {
    fn consumer(&self, _: &mut Source, options: &mut ConsumerOptions) {
        // Not where nothing may be retried at all.
        if options.retry.max_attempts() > 1 {
            options.retry = options.retry.attempts(options.retry.max_attempts() + 1);
        }
    }
}

#[derive(Default)]
struct Twice;

impl Defect for Twice {
    fn capabilities(&self, _: &Channel, found: &mut Capabilities) {
        no_swap(found);
    }
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        let struck = is_dead(channel) && has_key(&message, "once");
        if struck { Fate::Beside(message.clone(), vec![message]) } else { Fate::Pass(message) }
    }
}

/// Changes what dead letters say.
fn retold(message: Message, change: impl FnOnce(&mut DeadLetterInfo)) -> Message {
    let history = message.history().clone();
    let Some(mut info) = history.dead_letter.as_deref().cloned() else { return message };
    change(&mut info);
    message.with_history(History { dead_letter: Some(std::sync::Arc::new(info)), ..history })
}

#[derive(Default)]
struct Anonymous;

impl Defect for Anonymous {
    fn capabilities(&self, _: &Channel, found: &mut Capabilities) {
        no_swap(found);
    }
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        let struck = has_key(&message, "meta");
        Fate::Pass(if struck { retold(message, |info| info.attempts = None) } else { message })
    }
}

#[derive(Default)]
struct SameReason;

impl Defect for SameReason {
    fn capabilities(&self, _: &Channel, found: &mut Capabilities) {
        no_swap(found);
    }
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        let struck = has_key(&message, "reason");
        let same = |info: &mut DeadLetterInfo| info.reason = info.reason.map(|_| ReasonKind::Rejected);
        Fate::Pass(if struck { retold(message, same) } else { message })
    }
}

#[derive(Default)]
struct SettlesBefore;

impl Defect for SettlesBefore {
    fn capabilities(&self, _: &Channel, found: &mut Capabilities) {
        no_swap(found);
    }
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        if is_dead(channel) {
            Fate::Told(PublishOutcome::Confirmed(Receipt::default()), Some(message))
        } else {
            Fate::Pass(message)
        }
    }
}

#[derive(Default)]
struct SettlesAndHolds(Mutex<Option<Message>>);

impl Defect for SettlesAndHolds {
    fn capabilities(&self, _: &Channel, found: &mut Capabilities) {
        no_swap(found);
    }
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        if !is_dead(channel) || !has_key(&message, "crash") {
            return Fate::Pass(message);
        }
        let before = locked(&self.0).replace(message);
        Fate::Told(PublishOutcome::Confirmed(Receipt::default()), before)
    }
    fn died(&self, _: &Channel, error: pontoon_core::Error) -> Option<pontoon_core::Error> {
        locked(&self.0).take();
        Some(error)
    }
}

#[derive(Default)]
struct HeadOfLine;

impl Defect for HeadOfLine {
    fn consumer(&self, source: &mut Source, options: &mut ConsumerOptions) {
        if source.channel.order.is_ordered() {
            options.prefetch = 1;
            options.max_parked = 0;
        }
    }
}

#[derive(Default)]
struct KeepsCount;

impl Defect for KeepsCount {
    fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
        if incoming.message.history().hops > 3 {
            incoming.failures += 3;
        }
        1
    }
}

#[derive(Default)]
struct DedupById(Mutex<HashSet<MessageId>>);

impl Defect for DedupById {
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        let redriven = message.history().hops > 0 && !is_dead(channel);
        if redriven && !locked(&self.0).insert(message.id.clone()) {
            return Fate::Told(PublishOutcome::Confirmed(Receipt::default()), None);
        }
        Fate::Pass(message)
    }
}

#[derive(Default)]
struct DropsQuietly;

impl Defect for DropsQuietly {
    fn tells(&self, event: &Event<'_>) -> bool {
        !matches!(event, Event::Dropped { .. })
    }
}

#[derive(Default)]
struct SharedBucket(AtomicBool);

impl SharedBucket {
    fn found(&self, error: &Error) {
        self.0.fetch_or(error.kind() == ErrorKind::NotFound, Ordering::SeqCst);
    }
}

impl Defect for SharedBucket {
    // The target is missed where dead letters are stored: in one step with the settlement, or as copies.
    fn late(&self, _: Seat<'_>, late: Late) -> Option<Late> {
        if let LateKind::Failed(error) = &late.kind {
            self.found(error);
        }
        Some(late)
    }
    fn outcome(&self, channel: &Channel, _: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        if let PublishOutcome::Rejected(Rejection::Refused(error)) = &outcome
            && is_dead(channel)
        {
            self.found(error);
        }
        Some(outcome)
    }
    fn died(&self, channel: &Channel, error: Error) -> Option<Error> {
        if is_dead(channel) {
            self.found(&error);
        }
        Some(error)
    }
    fn settle<'a>(&self, _: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
        match what {
            // Behind the one that waits for its target.
            Disposition::Replace { .. } if self.0.load(Ordering::SeqCst) => {
                Deed::Pretend(pontoon_core::driver::Settled::Recorded)
            }
            other => Deed::Do(other),
        }
    }
    fn arrive(&self, _: Seat<'_>, _: &mut Incoming) -> usize {
        usize::from(!self.0.load(Ordering::SeqCst))
    }
}
