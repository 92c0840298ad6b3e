//! Mutants of batches, limits and shutting down.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pontoon_core::driver::{Late, LateKind};
use pontoon_core::engine::{ConsumerOptions, Delivery, PublisherOptions};
use pontoon_core::{
    BrokerId, Channel, Error, ErrorKind, Message, MessageId, PublishOutcome, Receipt, Rejection, Result, Source,
};

use super::{Defect, Fate, Seat, has_key, locked};

mutants! {
    "BAT-EACH" AllOk: "an entry that is too large is confirmed with its batch" by ["batch-outcome"];
    "BAT-SPLIT" DropsTheRest: "of a batch of more than 2,500 messages the rest is dropped" by ["lost-confirmed"];
    "BAT-ACK" IgnoresFailed: "acks that failed are forgotten" by ["acked-redelivered"];
    "BAT-TAKE" KeepsTheLast: "the last of a full batch is acknowledged, and not handed over" by ["lost-confirmed"];
    "CON-LIMIT" TwiceThePrefetch: "twice the prefetch is fetched" by ["prefetch-exceeded"];
    "CON-STALL" FetchesAll: "a large prefetch is taken for none" by ["prefetch-exceeded"];
    "CON-BLOCK" BuffersAll: "what the broker has no room for is confirmed and kept" by ["unbounded", "confirmed-unstored"];
    "CON-MATCH" FirstInFirstOut: "each outcome has the receipt of the one before" by ["receipt-mismatch"];
    "SHD-DRAIN" Aborts: "a drain waits for nobody" by ["not-drained"];
    "SHD-DEADLINE" Hangs: "a drain waits for stuck handlers" by ["late-drain"];
    "SHD-FLUSH" Discards: "outcomes are dropped now and then" by ["needless-unknown"];
    "SHD-AGAIN" ClosesOnce: "closing again fails" by ["close-again"];
}

#[derive(Default)]
struct AllOk;

impl Defect for AllOk {
    fn outcome(&self, _: &Channel, _: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        Some(match outcome {
            PublishOutcome::Rejected(Rejection::Refused(error)) if error.kind() == ErrorKind::TooLarge => {
                PublishOutcome::Confirmed(Receipt::default())
            }
            other => other,
        })
    }
}

#[derive(Default)]
struct DropsTheRest(AtomicU64);

impl Defect for DropsTheRest {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        // No other check publishes so much on two channels with keys.
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        if message.key.is_some() && (2_600..2_920).contains(&number) {
            return Fate::Told(PublishOutcome::Confirmed(Receipt::default()), None);
        }
        Fate::Pass(message)
    }
}

#[derive(Default)]
struct IgnoresFailed;

impl Defect for IgnoresFailed {
    fn late(&self, _: Seat<'_>, late: Late) -> Option<Late> {
        if matches!(late.kind, LateKind::Failed(_)) { None } else { Some(late) }
    }
}

#[derive(Default)]
struct KeepsTheLast;

impl Defect for KeepsTheLast {
    fn taken_together(&self, batch: &mut Vec<Delivery>) {
        if batch.len() >= 3
            && let Some(last) = batch.pop()
        {
            let _ = last.ack();
        }
    }
}

#[derive(Default)]
struct TwiceThePrefetch;

impl Defect for TwiceThePrefetch {
    fn consumer(&self, _: &mut Source, options: &mut ConsumerOptions) {
        if options.prefetch == 7 {
            options.prefetch *= 2;
        }
    }
}

#[derive(Default)]
struct FetchesAll;

impl Defect for FetchesAll {
    fn consumer(&self, _: &mut Source, options: &mut ConsumerOptions) {
        if options.prefetch >= 16 {
            options.prefetch = 100_000;
        }
    }
}

#[derive(Default)]
struct BuffersAll;

impl Defect for BuffersAll {
    fn publisher(&self, _: &mut Channel, options: &mut PublisherOptions) {
        options.max_messages = usize::MAX >> 8;
    }
}

#[derive(Default)]
struct FirstInFirstOut(Mutex<BrokerId>, Mutex<HashSet<MessageId>>);

impl Defect for FirstInFirstOut {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        if has_key(&message, "match") {
            locked(&self.1).insert(message.id.clone());
        }
        Fate::Pass(message)
    }
    fn outcome(&self, _: &Channel, id: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        Some(match outcome {
            PublishOutcome::Confirmed(mut receipt) if locked(&self.1).contains(id) => {
                receipt.broker_id = std::mem::replace(&mut *locked(&self.0), receipt.broker_id);
                PublishOutcome::Confirmed(receipt)
            }
            other => other,
        })
    }
}

#[derive(Default)]
struct Aborts;

impl Defect for Aborts {
    fn drain(&self, _: Duration) -> Duration {
        Duration::ZERO
    }
}

#[derive(Default)]
struct Hangs;

impl Defect for Hangs {
    fn drain(&self, within: Duration) -> Duration {
        within * 4
    }
}

#[derive(Default)]
struct Discards(AtomicU64, Mutex<HashSet<MessageId>>);

impl Defect for Discards {
    fn submit(&self, _: &Channel, message: Message) -> Fate {
        if has_key(&message, "flush") && self.0.fetch_add(1, Ordering::Relaxed) % 290 == 280 {
            locked(&self.1).insert(message.id.clone());
        }
        Fate::Pass(message)
    }
    fn outcome(&self, _: &Channel, id: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        (!locked(&self.1).contains(id)).then_some(outcome)
    }
}

#[derive(Default)]
struct ClosesOnce;

impl Defect for ClosesOnce {
    fn closed(&self, times: u64, end: Result<()>) -> Result<()> {
        if times > 1 { Err(Error::new(ErrorKind::Internal, "close", "it was closed before")) } else { end }
    }
}
