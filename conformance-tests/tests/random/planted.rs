//! Defects put into the transport: random schedules find each, under its own name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pontoon_conformance::history::{Payload, PublishId};
use pontoon_conformance::mutants::{Deed, Defect, Faithful, Fate, Seat, wrap};
use pontoon_conformance::random::{SEED, schedule};
use pontoon_core::driver::{Disposition, Incoming, Settled, Ticket, Token};
use pontoon_core::{
    BrokerId, Bytes, Channel, Error, ErrorKind, Headers, Message, MessageId, PublishOutcome, Receipt, Rejection,
};

use super::COMMAND;
use super::memory::{paused, stage};

/// How many schedules a defect may hide from.
const TRIES: u64 = 60;

/// Runs schedules until one shows this anomaly.
#[track_caller]
fn finds<D: Defect>(anomaly: &str, make: impl Fn() -> D) {
    let mut found = 0;
    for seed in 0..TRIES {
        let report =
            paused(async { schedule(&stage(seed, |inner| wrap(inner, Arc::new(make()))), seed).await.unwrap() });
        if report.verdict.kinds().iter().any(|kind| kind.as_str() == anomaly) {
            found += 1;
        }
    }
    println!("{anomaly}: shown by {found} of {TRIES} schedules");
    assert!(found > 0, "{anomaly} stayed hidden");
}

/// True once in so many calls.
#[derive(Default)]
struct Once(AtomicU64);

impl Once {
    fn in_(&self, count: u64) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) % count == count - 1
    }
}

fn is_work(channel: &Channel) -> bool {
    channel.name.as_str() == "work"
}

#[test]
fn the_wrapper_itself_breaks_nothing() {
    for seed in 0..TRIES {
        let report =
            paused(async { schedule(&stage(seed, |inner| wrap(inner, Arc::new(Faithful))), seed).await.unwrap() });
        assert!(report.verdict.is_passed(), "{report}\nrepeat with: {SEED}={seed} {COMMAND}");
    }
}

#[test]
fn a_loss() {
    #[derive(Default)]
    struct Loses(Once);
    impl Defect for Loses {
        fn submit(&self, channel: &Channel, message: Message) -> Fate {
            if is_work(channel) && self.0.in_(12) {
                return Fate::Told(PublishOutcome::Confirmed(Receipt::default()), None);
            }
            Fate::Pass(message)
        }
    }
    finds("lost-confirmed", Loses::default);
}

#[test]
fn an_acknowledgement_that_does_nothing() {
    #[derive(Default)]
    struct Forgets(Once);
    impl Defect for Forgets {
        fn settle<'a>(&self, _: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
            match what {
                Disposition::Ack if self.0.in_(12) => Deed::Pretend(Settled::Recorded),
                _ => Deed::Do(what),
            }
        }
    }
    finds("acked-redelivered", Forgets::default);
}

#[test]
fn neighbours_change_places() {
    #[derive(Default)]
    struct Swaps;
    impl Defect for Swaps {
        fn batch(&self, channel: &Channel, messages: &mut [(Ticket, Message)]) {
            if is_work(channel) {
                messages.reverse();
            }
        }
    }
    finds("key-inversion", Swaps::default);
}

#[test]
fn a_message_from_nowhere() {
    #[derive(Default)]
    struct Invents(Once);
    impl Defect for Invents {
        fn submit(&self, channel: &Channel, message: Message) -> Fate {
            if is_work(channel) && self.0.in_(12) {
                // What another run left behind.
                let left = Payload { run: u64::MAX, id: PublishId { publisher: 1, counter: 1 }, key: None };
                return Fate::Beside(message, vec![left.message(50)]);
            }
            Fate::Pass(message)
        }
    }
    finds("phantom", Invents::default);
}

#[test]
fn rejected_and_stored() {
    #[derive(Default)]
    struct Lies(Once);
    impl Defect for Lies {
        fn submit(&self, channel: &Channel, message: Message) -> Fate {
            if is_work(channel) && self.0.in_(12) {
                let error = Error::new(ErrorKind::TooLarge, "publish", "not stored");
                return Fate::Told(PublishOutcome::Rejected(Rejection::Refused(error)), Some(message));
            }
            Fate::Pass(message)
        }
    }
    finds("rejected-visible", Lies::default);
}

#[test]
fn one_receipt_for_all() {
    #[derive(Default)]
    struct OneReceipt;
    impl Defect for OneReceipt {
        fn outcome(&self, channel: &Channel, _: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
            Some(match outcome {
                PublishOutcome::Confirmed(receipt) if is_work(channel) => {
                    PublishOutcome::Confirmed(Receipt { broker_id: BrokerId::Number(1), ..receipt })
                }
                other => other,
            })
        }
    }
    finds("position-mismatch", OneReceipt::default);
}

#[test]
fn a_changed_body() {
    #[derive(Default)]
    struct Damages(Once);
    impl Defect for Damages {
        fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
            if !incoming.message.body.is_empty() && self.0.in_(12) {
                let mut body = incoming.message.body.to_vec();
                body[0] ^= 1;
                incoming.message.body = Bytes::from(body);
            }
            1
        }
    }
    finds("corrupt", Damages::default);
}

#[test]
fn lost_headers() {
    #[derive(Default)]
    struct Forgets(Once);
    impl Defect for Forgets {
        fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
            if self.0.in_(12) {
                incoming.message.headers = Headers::new();
            }
            1
        }
    }
    finds("header-loss", Forgets::default);
}

#[test]
fn a_delay_that_is_ignored() {
    #[derive(Default)]
    struct Hurries;
    impl Defect for Hurries {
        fn submit(&self, _: &Channel, message: Message) -> Fate {
            Fate::Pass(message.without_delay())
        }
    }
    finds("early", Hurries::default);
}

#[test]
fn settled_before_the_dead_letter_is_stored() {
    #[derive(Default)]
    struct Settles;
    impl Defect for Settles {
        fn settle<'a>(&self, _: Seat<'_>, _: Token, what: Disposition<'a>, _: &[Token]) -> Deed<'a> {
            match what {
                Disposition::Replace { .. } => Deed::Do(Disposition::Ack),
                _ => Deed::Do(what),
            }
        }
    }
    finds("dlq-lost", Settles::default);
}

#[test]
fn failures_that_are_not_counted() {
    #[derive(Default)]
    struct Forgets;
    impl Defect for Forgets {
        fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
            incoming.failures = 0;
            1
        }
    }
    finds("attempt-regression", Forgets::default);
}

#[test]
fn failures_that_nobody_made() {
    #[derive(Default)]
    struct Counts(Once);
    impl Defect for Counts {
        fn arrive(&self, _: Seat<'_>, incoming: &mut Incoming) -> usize {
            if self.0.in_(6) {
                incoming.failures += 1;
            }
            1
        }
    }
    finds("attempt-regression", Counts::default);
    finds("premature-dlq", Counts::default);
}
