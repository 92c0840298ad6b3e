//! The rules of the state machine, one test each.

use super::*;
use crate::{ErrorKind, Key};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn config(order: Order) -> Config {
    Config {
        order,
        delivery_ceiling: 100,
        dead_letter: true,
        retry: Retry::fixed(MS(100)).jitter(0.0).attempts(3),
        retry_by: RetryBy::Broker,
        at_most_once: false,
        prefetch: 10,
        max_parked: 5,
        pace: ReleasePace::default(),
        give_back: true,
        replace: false,
        lease: Some(MS(1000)),
        extend: true,
        wants: Wants { delivered: true, settled: true, retried: true, rare: true },
        wall_start_ms: 1_000_000,
        channel: "q".into(),
        subscription: Some("s".into()),
    }
}

struct Rig {
    m: Machine,
    now: Moment,
    log: Vec<String>,
    position: u64,
}

impl Rig {
    fn new(config: Config) -> Self {
        Rig { m: Machine::new(config, 7), now: Moment::ZERO, log: Vec::new(), position: 0 }
    }

    fn incoming(&mut self, key: &str) -> Incoming {
        self.position += 1;
        let token = Token { position: self.position, source: 0, generation: 1 };
        let mut message = Message::new("body").with_id(format!("m{}", self.position).as_str()).with_header("h", "v");
        if !key.is_empty() {
            message.key = Some(Key::from(key));
        }
        let mut incoming = Incoming::new(token, message);
        incoming.deliveries = Some(1);
        incoming
    }

    fn arrive(&mut self, key: &str) -> u64 {
        let incoming = self.incoming(key);
        self.m.accept(incoming, self.now);
        self.apply();
        self.position
    }

    /// Answers every record as recorded and writes it down.
    fn apply(&mut self) {
        self.answer(Settled::Recorded);
    }

    fn answer(&mut self, answer: Settled) {
        while !self.m.records.is_empty() {
            for record in std::mem::take(&mut self.m.records) {
                let op = match &record.op {
                    Op::Ack => "ack".into(),
                    Op::Release => "release".into(),
                    Op::Retry { after, failures } => format!("retry{}x{failures}", after.as_millis()),
                    Op::Extend { by } => format!("extend{}", by.as_millis()),
                    Op::Replace { dead_letter, .. } => format!("replace-{dead_letter}"),
                };
                self.log.push(format!("{op}:{}", record.token.position));
                self.m.answered(record, answer);
            }
        }
    }

    fn flush(&mut self, mut late: Vec<Late>) {
        self.m.flush_begins();
        self.m.flush_ended(&mut late, self.now);
        self.apply();
    }

    fn next(&mut self) -> Option<Handover> {
        self.m.pop_ready()
    }

    /// The ids that are handed out now.
    fn take(&mut self) -> Vec<Handover> {
        std::iter::from_fn(|| self.m.pop_ready()).collect()
    }

    fn settle(&mut self, handover: Handover, verdict: Verdict) -> Settled {
        self.m.set_now(self.now);
        let answer = self.m.settle(handover.slot, verdict, handover.message);
        self.apply();
        answer
    }

    fn at(&mut self, ms: u64) {
        self.now = Moment::ZERO + MS(ms);
        self.m.on_time(self.now);
        self.apply();
    }

    fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    fn successor(&mut self) -> Successor {
        assert_eq!(self.m.successors.len(), 1, "one successor is to be stored");
        self.m.successors.remove(0)
    }

    fn stored(&mut self, successor: &Successor, ok: bool) {
        let outcome = if ok { Ok(()) } else { Err(Error::new(ErrorKind::Full, "store", "full")) };
        self.m.successor_done(successor.slot, outcome, self.now);
        self.apply();
    }

    fn notes(&mut self) -> Vec<String> {
        let name = |n: Note| {
            let text = format!("{n:?}");
            text.split([' ', '{']).next().unwrap_or_default().to_owned()
        };
        self.m.notes.drain(..).map(name).collect()
    }
}

fn ids(handovers: &[Handover]) -> Vec<String> {
    handovers.iter().map(|h| h.message.id.to_string()).collect()
}

fn retry() -> Verdict {
    Verdict::Retry { after: None, error: "broken".into() }
}

fn reject() -> Verdict {
    Verdict::DeadLetter { reason: ReasonKind::Rejected, error: "bad".into() }
}

fn late(position: u64, kind: LateKind) -> Late {
    Late { token: Token { position, source: 0, generation: 1 }, kind }
}

#[test]
fn deliveries_are_handed_out_once_and_acked_once() {
    let mut rig = Rig::new(config(Order::Unordered));
    rig.arrive("");
    rig.arrive("");
    assert_eq!(rig.m.demand(), 8);
    let mut taken = rig.take();
    assert_eq!(ids(&taken), ["m1", "m2"]);
    assert_eq!(taken[0].attempt, Attempt::FIRST);
    let second = taken.remove(1);
    let slot = second.slot;
    assert_eq!(rig.settle(second, Verdict::Ack), Settled::Recorded);
    assert_eq!(rig.log(), ["ack:2"]);
    assert_eq!(rig.m.demand(), 9);
    assert_eq!(rig.m.settle(slot, Verdict::Ack, Message::new("")), Settled::Stale, "that turn is over");
    assert!(rig.log().is_empty());
    assert_eq!(rig.notes(), ["Delivered", "Delivered", "Settled"]);
}

#[test]
fn a_key_has_one_delivery_at_a_time_and_others_flow() {
    let mut rig = Rig::new(config(Order::BLOCK));
    for key in ["a", "a", "b", "a"] {
        rig.arrive(key);
    }
    let mut first = rig.take();
    assert_eq!(ids(&first), ["m1", "m3"]);
    let _ = rig.settle(first.remove(0), Verdict::Ack);
    let mut second = rig.take();
    assert_eq!(ids(&second), ["m2"]);
    let _ = rig.settle(second.remove(0), Verdict::Ack);
    assert_eq!(ids(&rig.take()), ["m4"]);
}

#[test]
fn a_blocked_key_waits_with_its_lease_kept_and_is_tried_again() {
    let mut rig = Rig::new(config(Order::BLOCK));
    rig.arrive("a");
    rig.arrive("a");
    rig.arrive("b");
    let mut taken = rig.take();
    let _ = rig.settle(taken.remove(0), Verdict::Retry { after: Some(MS(1800)), error: "x".into() });
    assert!(rig.log().is_empty(), "nothing is settled: {:?}", rig.log);
    assert_eq!(rig.m.demand(), 8, "the one behind the blocked head does not use up the prefetch");
    rig.at(600);
    assert_eq!(rig.log(), ["extend1000:1", "extend1000:2", "extend1000:3"]);
    rig.at(1100);
    rig.at(1599);
    rig.at(1799);
    assert!(rig.take().is_empty(), "the key waits");
    rig.at(1800);
    let again = rig.take();
    assert_eq!(ids(&again), ["m1"]);
    assert_eq!(again[0].attempt, Attempt { at_least: 2, at_most: Some(2) });
    let _ = rig.settle(again.into_iter().next().unwrap(), Verdict::Ack);
    assert_eq!(ids(&rig.take()), ["m2"]);
}

#[test]
fn the_source_is_settled_only_after_its_dead_letter_is_confirmed() {
    let mut rig = Rig::new(config(Order::BLOCK));
    rig.arrive("a");
    rig.arrive("a");
    for attempt in 1..=2 {
        let delivery = rig.next().unwrap();
        assert_eq!(delivery.attempt.at_least, attempt);
        let _ = rig.settle(delivery, retry());
        rig.at(100 * u64::from(attempt));
    }
    let last = rig.next().unwrap();
    let _ = rig.settle(last, retry());
    let copy = rig.successor();
    assert!(copy.dead_letter);
    rig.stored(&copy, false);
    assert!(rig.log().is_empty(), "a refused dead letter settles nothing");
    assert!(rig.next().is_none(), "and the key waits for it");
    rig.at(299);
    assert!(rig.m.successors.is_empty());
    rig.at(300);
    let copy = rig.successor();
    let info = copy.message.history().dead_letter.clone().unwrap();
    assert_eq!(info.reason, Some(ReasonKind::MaxAttempts));
    assert_eq!(info.error.as_deref(), Some("broken"));
    assert_eq!((info.channel.as_deref(), info.subscription.as_deref()), (Some("q"), Some("s")));
    assert_eq!(info.attempts, Some(Attempt { at_least: 3, at_most: Some(3) }));
    assert_eq!((info.first_failure_ms, info.last_failure_ms), (Some(1_000_000), Some(1_000_200)));
    assert_eq!(copy.message.id.to_string(), "m1");
    assert_eq!(copy.message.key, Some(Key::from("a")));
    assert_eq!(copy.message.headers.len(), 1);
    rig.stored(&copy, true);
    assert_eq!(rig.log(), ["ack:1"]);
    assert_eq!(ids(&rig.take()), ["m2"]);
    let notes = rig.notes();
    assert!(notes.contains(&"SuccessorFailed".to_owned()) && notes.contains(&"DeadLettered".to_owned()), "{notes:?}");
}

#[test]
fn successors_back_off_to_a_cap() {
    let mut rig = Rig::new(config(Order::Unordered));
    rig.arrive("");
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, reject());
    let mut waits = Vec::new();
    for _ in 0..9 {
        let copy = rig.successor();
        rig.stored(&copy, false);
        let before = rig.now;
        let mut passes = 0;
        let due = loop {
            // Leases are extended in between.
            let due = rig.m.next_deadline();
            passes += 1;
            assert!(passes < 1000 && due != Moment::NEVER, "the successor is not tried again");
            rig.now = due;
            rig.m.on_time(due);
            rig.apply();
            if !rig.m.successors.is_empty() {
                break due;
            }
        };
        waits.push(due.since(before).as_millis());
    }
    assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
}

#[test]
fn failed_messages_return_as_the_profile_can() {
    for (by, order) in [(RetryBy::Broker, Order::Unordered), (RetryBy::Copy, Order::FallBehind)] {
        let mut rig = Rig::new(Config { retry_by: by, ..config(order) });
        rig.arrive("a");
        rig.arrive("a");
        let delivery = rig.next().unwrap();
        let _ = rig.settle(delivery, retry());
        if by == RetryBy::Broker {
            assert_eq!(rig.log(), ["retry100x1:1"]);
            assert!(rig.m.successors.is_empty());
        } else {
            assert!(rig.log().is_empty(), "the copy comes first");
            let copy = rig.successor();
            assert!(!copy.dead_letter);
            assert_eq!(copy.message.delay(), Some(crate::Delay::For(MS(100))));
            assert_eq!((copy.message.history().failures, copy.message.history().deliveries), (1, Some(1)));
            rig.stored(&copy, true);
            assert_eq!(rig.log(), ["ack:1"]);
        }
        assert_eq!(ids(&rig.take()), ["m2"]);
    }
    let mut rig = Rig::new(Config { retry_by: RetryBy::Holding, ..config(Order::Unordered) });
    rig.arrive("");
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, retry());
    assert!(rig.log().is_empty());
    rig.at(100);
    assert_eq!(rig.next().unwrap().attempt.at_least, 2);
}

#[test]
fn counts_of_copies_and_of_the_broker_add_up() {
    let mut rig = Rig::new(config(Order::Unordered));
    let mut incoming = rig.incoming("");
    incoming.message =
        incoming.message.with_history(crate::History { failures: 1, deliveries: Some(4), ..Default::default() });
    incoming.deliveries = Some(2);
    rig.m.accept(incoming, rig.now);
    let delivery = rig.next().unwrap();
    assert_eq!(delivery.attempt, Attempt { at_least: 2, at_most: Some(6) });
    let _ = rig.settle(delivery, Verdict::Ack);
    let mut incoming = rig.incoming("");
    incoming.failures = 2;
    incoming.deliveries = None;
    rig.m.accept(incoming, rig.now);
    let delivery = rig.next().unwrap();
    assert_eq!(delivery.attempt, Attempt { at_least: 3, at_most: None });
    let _ = rig.settle(delivery, retry());
    assert!(rig.successor().dead_letter, "the third failure is the last");
}

#[test]
fn releases_are_paced_and_go_back_or_stay() {
    let mut rig = Rig::new(config(Order::Unordered));
    rig.arrive("");
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, Verdict::Release);
    assert!(rig.log().is_empty());
    rig.at(99);
    assert!(rig.log().is_empty());
    rig.at(100);
    assert_eq!(rig.log(), ["release:1"]);
    assert_eq!(rig.m.demand(), 10);

    let mut rig = Rig::new(config(Order::BLOCK));
    rig.arrive("a");
    rig.arrive("a");
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, Verdict::Release);
    rig.at(99);
    assert!(rig.next().is_none());
    rig.at(100);
    let again = rig.next().unwrap();
    assert_eq!((again.message.id.to_string(), again.attempt), ("m1".into(), Attempt::FIRST), "a release is no failure");
    let _ = rig.settle(again, Verdict::Release);
    rig.at(299);
    assert!(rig.next().is_none(), "the second wait is 200 ms");
    rig.at(300);
    assert!(rig.next().is_some());
    assert!(rig.log().is_empty());
}

#[test]
fn the_ceiling_counts_deliveries() {
    let mut rig = Rig::new(Config { delivery_ceiling: 5, ..config(Order::Unordered) });
    for (deliveries, ready) in [(5, true), (6, false)] {
        let mut incoming = rig.incoming("");
        incoming.deliveries = Some(deliveries);
        rig.m.accept(incoming, rig.now);
        assert_eq!(rig.next().is_some(), ready, "{deliveries}");
    }
    let copy = rig.successor();
    assert_eq!(copy.message.history().dead_letter.as_ref().unwrap().reason, Some(ReasonKind::DeliveryCeiling));
}

#[test]
fn unreadable_and_expired_messages_are_dead_lettered_in_their_turn() {
    let mut rig = Rig::new(config(Order::BLOCK));
    rig.arrive("a");
    let mut bad = rig.incoming("a");
    bad.undecodable = Some(Error::new(ErrorKind::Codec, "receive", "no header"));
    rig.m.accept(bad, rig.now);
    let mut old = rig.incoming("b");
    old.expired = true;
    rig.m.accept(old, rig.now);
    let expired = rig.successor();
    assert_eq!(expired.message.history().dead_letter.as_ref().unwrap().reason, Some(ReasonKind::Expired));
    let first = rig.next().unwrap();
    assert!(rig.next().is_none());
    let _ = rig.settle(first, Verdict::Ack);
    let info = rig.successor().message.history().dead_letter.clone().unwrap();
    assert_eq!(info.reason, Some(ReasonKind::Undecodable));
    assert!(info.error.clone().unwrap().contains("no header"));
    assert!(rig.next().is_none());
}

#[test]
fn without_a_dead_letter_channel_a_message_is_dropped_with_an_event() {
    let mut rig = Rig::new(Config { dead_letter: false, ..config(Order::Unordered) });
    rig.arrive("");
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, reject());
    assert_eq!(rig.log(), ["ack:1"]);
    assert!(rig.notes().contains(&"Dropped".to_owned()));
}

#[test]
fn a_long_lane_of_unreadable_messages_does_not_use_the_stack() {
    let mut rig = Rig::new(Config { dead_letter: false, ..config(Order::BLOCK) });
    rig.arrive("a");
    for _ in 0..100_000 {
        let mut bad = rig.incoming("a");
        bad.undecodable = Some(Error::new(ErrorKind::Codec, "receive", "x"));
        rig.m.accept(bad, rig.now);
    }
    let first = rig.next().unwrap();
    let _ = rig.settle(first, Verdict::Ack);
    assert_eq!(rig.log().len(), 100_001);
}

#[test]
fn too_many_blocked_keys_spill() {
    let order = Order::Block { max_blocked_keys: 1, longest_wait: MS(10_000), spill: Spill::DeadLetter };
    let mut rig = Rig::new(config(order));
    rig.arrive("a");
    rig.arrive("b");
    let mut taken = rig.take();
    let _ = rig.settle(taken.remove(0), retry());
    assert!(rig.m.successors.is_empty());
    let _ = rig.settle(taken.remove(0), retry());
    let spilled = rig.successor();
    assert_eq!(spilled.message.history().dead_letter.as_ref().unwrap().reason, Some(ReasonKind::OrderSpill));
    assert!(rig.notes().contains(&"OrderSpilled".to_owned()));
}

#[test]
fn a_key_blocked_too_long_spills_after_a_last_try() {
    let order = Order::Block { max_blocked_keys: 9, longest_wait: MS(250), spill: Spill::FallBehind };
    let mut rig = Rig::new(Config { retry: Retry::fixed(MS(100)).jitter(0.0).attempts(9), ..config(order) });
    rig.arrive("a");
    rig.arrive("a");
    for at in [100, 200, 250] {
        let delivery = rig.next().unwrap();
        let _ = rig.settle(delivery, retry());
        assert!(rig.m.successors.is_empty());
        rig.at(at);
    }
    let last = rig.next().unwrap();
    assert_eq!(last.attempt.at_least, 4);
    let _ = rig.settle(last, retry());
    let copy = rig.successor();
    assert!(!copy.dead_letter);
    assert_eq!(copy.message.delay(), None);
    assert_eq!(copy.message.history().failures, 4);
    rig.stored(&copy, true);
    assert_eq!(ids(&rig.take()), ["m2"]);
}

#[test]
fn after_the_connection_is_lost_nothing_old_settles_anything() {
    let mut rig = Rig::new(config(Order::BLOCK));
    for key in ["a", "a", "b", "c"] {
        rig.arrive(key);
    }
    let mut taken = rig.take();
    let _ = rig.settle(taken.remove(2), reject());
    let copy = rig.successor();
    rig.m.generation_lost();
    assert!(rig.m.take_lost());
    assert!(taken.iter().all(|t| rig.m.is_lost(t.slot)));
    assert_eq!(rig.m.demand(), 10);
    rig.stored(&copy, true);
    for (delivery, verdict) in taken.into_iter().zip([Verdict::Ack, reject()]) {
        assert_eq!(rig.settle(delivery, verdict), Settled::Stale);
    }
    assert!(rig.log().is_empty());
    assert!(rig.m.successors.is_empty(), "a late reject makes no copy");
    rig.arrive("a");
    assert_eq!(rig.take().len(), 1, "the key is free for its next lease");
    assert_eq!(rig.m.running(), 1);
}

#[test]
fn a_revoked_source_gives_up_what_is_unstarted_then_the_rest() {
    let mut rig = Rig::new(config(Order::BLOCK));
    for key in ["a", "a", "b"] {
        rig.arrive(key);
    }
    let other = Incoming::new(Token { position: 99, source: 5, generation: 1 }, Message::new("x"));
    rig.m.accept(other, rig.now);
    let first = rig.next().unwrap();
    rig.m.revoking(0, 1);
    rig.apply();
    let mut log = rig.log();
    log.sort();
    assert_eq!(log, ["release:2", "release:3"]);
    assert!(!rig.m.is_lost(first.slot));
    rig.m.revoked(0, 1);
    assert!(rig.m.is_lost(first.slot));
    assert_eq!(rig.settle(first, Verdict::Ack), Settled::Stale);
    assert_eq!(rig.take().len(), 1, "the other source goes on");
}

#[test]
fn those_behind_a_lost_lease_are_given_back_unseen() {
    let mut rig = Rig::new(config(Order::BLOCK));
    for key in ["a", "a", "b", "a"] {
        rig.arrive(key);
    }
    let taken = rig.take();
    assert_eq!(ids(&taken), ["m1", "m3"]);
    rig.m.lease_lost(Token { position: 1, source: 0, generation: 1 });
    rig.apply();
    assert_eq!(rig.log(), ["release:4", "release:2"]);
    assert!(rig.next().is_none());
    assert_eq!(rig.m.demand(), 9);
    rig.arrive("a");
    assert_eq!(ids(&rig.take()), ["m5"], "its redelivery, in the model of this test");
}

#[test]
fn leases_are_extended_at_half_and_a_refused_extension_is_a_loss() {
    let mut rig = Rig::new(config(Order::Unordered));
    rig.arrive("");
    let delivery = rig.next().unwrap();
    assert_eq!(rig.m.next_deadline(), Moment::ZERO + MS(500));
    rig.at(500);
    assert_eq!(rig.log(), ["extend1000:1"]);
    assert_eq!(rig.m.next_deadline(), Moment::ZERO + MS(1000));
    rig.now = Moment::ZERO + MS(1000);
    rig.m.on_time(rig.now);
    rig.answer(Settled::Stale);
    assert!(rig.m.is_lost(delivery.slot));
    assert!(rig.m.take_lost());
    assert!(rig.notes().contains(&"LeaseLost".to_owned()));

    let mut rig = Rig::new(Config { extend: false, ..config(Order::Unordered) });
    rig.arrive("");
    let delivery = rig.next().unwrap();
    assert_eq!(rig.m.next_deadline(), Moment::ZERO + MS(1000));
    rig.at(999);
    assert!(!rig.m.is_lost(delivery.slot));
    rig.at(1000);
    assert!(rig.m.is_lost(delivery.slot), "a lease that cannot be extended ends by the clock");
}

#[test]
fn a_user_may_extend_further() {
    let mut rig = Rig::new(config(Order::Unordered));
    rig.arrive("");
    let delivery = rig.next().unwrap();
    assert_eq!(rig.m.extend(delivery.slot, MS(5000), rig.now), Settled::Recorded);
    rig.apply();
    assert_eq!(rig.log(), ["extend5000:1"]);
    rig.at(500);
    assert!(rig.log().is_empty(), "long enough already");
    let _ = rig.settle(delivery, Verdict::Ack);
}

#[test]
fn a_failed_settlement_is_recorded_again_and_a_late_one_is_noted() {
    let mut rig = Rig::new(config(Order::Unordered));
    for _ in 0..3 {
        rig.arrive("");
    }
    for delivery in rig.take() {
        let _ = rig.settle(delivery, Verdict::Ack);
    }
    rig.m.watch(2);
    rig.log();
    let error = || Error::new(ErrorKind::Timeout, "delete", "no answer");
    rig.flush(vec![late(1, LateKind::Failed(error())), late(2, LateKind::Stale)]);
    assert!(!rig.m.is_final(1));
    assert_eq!(rig.m.take_late(), FlushReport { stale: 1, unknown: 0 });
    assert!(matches!(rig.m.unwatch(2), Some(LateKind::Stale)));
    rig.at(99);
    assert!(rig.log().is_empty());
    rig.at(100);
    assert_eq!(rig.log(), ["ack:1"]);
    rig.flush(Vec::new());
    assert!(rig.m.is_final(3));
}

#[test]
fn a_flush_covers_only_what_was_recorded_before_it() {
    let mut rig = Rig::new(config(Order::Unordered));
    rig.arrive("");
    rig.arrive("");
    let mut taken = rig.take();
    let _ = rig.settle(taken.remove(0), Verdict::Ack);
    rig.m.flush_begins();
    let _ = rig.settle(taken.remove(0), Verdict::Ack);
    rig.m.flush_ended(&mut Vec::new(), rig.now);
    assert_eq!(rig.m.unflushed(), 1);
    assert!(rig.m.is_final(1) && !rig.m.is_final(2));
}

#[test]
fn what_is_late_counts_at_the_flush_that_covers_it() {
    let mut rig = Rig::new(config(Order::Unordered));
    rig.arrive("");
    rig.arrive("");
    let mut taken = rig.take();
    let _ = rig.settle(taken.remove(0), Verdict::Ack);
    rig.m.flush_begins();
    let _ = rig.settle(taken.remove(0), Verdict::Ack);
    rig.m.watch(2);
    let mut told = vec![late(2, LateKind::Stale), late(9, LateKind::Stale)];
    rig.m.flush_ended(&mut told, rig.now);
    assert_eq!(rig.m.take_late(), FlushReport::default());
    rig.m.flush_begins();
    rig.m.flush_ended(&mut told, rig.now);
    assert!(rig.m.is_final(2) && told.is_empty(), "nobody knows of a ninth");
    assert_eq!(rig.m.take_late(), FlushReport { stale: 1, unknown: 0 });
    assert!(matches!(rig.m.unwatch(2), Some(LateKind::Stale)), "it was not confirmed");
}

#[test]
fn of_a_lease_that_was_prolonged_and_settled_the_settlement_is_late() {
    for covered in [true, false] {
        let mut rig = Rig::new(config(Order::Unordered));
        rig.arrive("");
        let delivery = rig.next().unwrap();
        let _ = rig.m.extend(delivery.slot, MS(500), rig.now);
        rig.apply();
        if !covered {
            rig.m.flush_begins();
        }
        let _ = rig.settle(delivery, Verdict::Ack);
        let number = rig.m.last_number();
        if covered {
            rig.m.flush_begins();
        }
        assert_eq!(rig.log(), ["extend1000:1", "ack:1"]);
        let mut told = vec![late(1, LateKind::Failed(Error::new(ErrorKind::Timeout, "delete", "no answer")))];
        rig.m.flush_ended(&mut told, rig.now);
        rig.m.flush_begins();
        rig.m.flush_ended(&mut told, rig.now);
        assert!(!rig.m.is_final(number), "it is recorded again, covered {covered}");
        rig.at(100);
        assert_eq!(rig.log(), ["ack:1"]);
    }
}

#[test]
fn at_most_once_hands_out_only_what_is_settled_for_certain() {
    let at_most_once = Config { at_most_once: true, dead_letter: false, ..config(Order::Unordered) };
    let mut rig = Rig::new(at_most_once);
    rig.arrive("");
    rig.arrive("");
    assert_eq!(rig.log(), ["ack:1", "ack:2"]);
    assert!(rig.next().is_none(), "not final yet");
    rig.flush(vec![late(2, LateKind::Unknown(Error::new(ErrorKind::Timeout, "x", "y")))]);
    let taken = rig.take();
    assert_eq!(ids(&taken), ["m1"], "the other may not run");
    assert!(rig.notes().contains(&"Dropped".to_owned()));
    for delivery in taken {
        let _ = rig.settle(delivery, retry());
    }
    assert!(rig.log().is_empty() && rig.m.successors.is_empty());
    assert!(rig.notes().contains(&"Dropped".to_owned()));
    assert_eq!(rig.m.demand(), 10);
}

#[test]
fn at_most_once_draining_still_hands_out_what_is_settled() {
    let mut rig = Rig::new(Config { at_most_once: true, dead_letter: false, ..config(Order::Unordered) });
    rig.arrive("");
    rig.arrive("");
    rig.flush(Vec::new());
    rig.log();
    rig.m.begin_drain(rig.now);
    rig.apply();
    assert!(rig.log().is_empty(), "nothing that is settled can be given back");
    assert!(rig.m.hands_out_while_draining());
    for delivery in rig.take() {
        let _ = rig.settle(delivery, Verdict::Ack);
    }
    assert!(rig.m.is_drained() && !rig.m.hands_out_while_draining());
}

#[test]
fn a_lost_connection_settles_nothing_so_nothing_of_it_is_unknown() {
    let mut rig = Rig::new(config(Order::BLOCK));
    for _ in 0..3 {
        rig.arrive("a");
    }
    rig.m.generation_lost();
    assert!(rig.m.records.is_empty());
    assert_eq!(rig.m.take_late(), FlushReport::default());
}

#[test]
fn a_replacement_is_done_when_it_is_final() {
    let mut rig = Rig::new(Config { replace: true, ..config(Order::BLOCK) });
    rig.arrive("a");
    rig.arrive("a");
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, reject());
    assert_eq!(rig.log(), ["replace-true:1"]);
    assert!(rig.m.successors.is_empty());
    rig.flush(vec![late(1, LateKind::Failed(Error::new(ErrorKind::Full, "x", "y")))]);
    assert!(rig.next().is_none(), "the key waits");
    rig.at(100);
    assert_eq!(rig.log(), ["replace-true:1"]);
    rig.flush(Vec::new());
    assert_eq!(ids(&rig.take()), ["m2"]);
    assert!(rig.notes().contains(&"DeadLettered".to_owned()));
}

#[test]
fn draining_gives_back_what_is_unstarted_and_waits_for_the_rest() {
    let mut rig = Rig::new(config(Order::BLOCK));
    for key in ["a", "a", "b", "c"] {
        rig.arrive(key);
    }
    let (a, b) = (rig.next().unwrap(), rig.next().unwrap());
    let _ = rig.settle(b, Verdict::Retry { after: Some(MS(400)), error: "x".into() });
    rig.now = Moment::ZERO + MS(100);
    rig.m.begin_drain(rig.now);
    rig.m.begin_drain(rig.now);
    rig.apply();
    let mut log = rig.log();
    log.sort();
    assert_eq!(log, ["release:2", "release:4", "retry300x1:3"], "the broker is told of the failure it does not know");
    assert_eq!(rig.m.released_by_drain(), 3);
    assert_eq!(rig.m.demand(), 0);
    rig.arrive("z");
    assert_eq!(rig.log(), ["release:5"], "what a read in flight brings goes back");
    assert!(rig.next().is_none());
    let _ = rig.settle(a, retry());
    assert_eq!(rig.log(), ["retry100x1:1"], "the broker waits, not we");
    assert!(!rig.m.is_drained(), "not final yet");
    rig.flush(Vec::new());
    assert!(rig.m.is_drained());
    assert!(rig.m.abandon().is_empty());
}

#[test]
fn a_drain_tells_the_broker_every_failure_it_does_not_know() {
    let mut rig = Rig::new(Config { retry: Retry::fixed(MS(100)).jitter(0.0).attempts(9), ..config(Order::BLOCK) });
    rig.arrive("a");
    for at in [100, 200, 300] {
        let delivery = rig.next().unwrap();
        let _ = rig.settle(delivery, retry());
        rig.at(at - 1);
        if at < 300 {
            rig.at(at);
        }
    }
    rig.m.begin_drain(rig.now);
    rig.apply();
    assert_eq!(rig.log(), ["retry1x3:1"]);
}

#[test]
fn what_has_no_key_blocks_none_and_is_not_spilled() {
    let order = Order::Block { max_blocked_keys: 1, longest_wait: MS(50), spill: Spill::DeadLetter };
    let mut rig = Rig::new(config(order));
    rig.arrive("");
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, retry());
    assert_eq!(rig.log(), ["retry100x1:1"]);
    assert!(rig.m.successors.is_empty());
}

#[test]
fn a_copy_on_a_topic_is_for_its_subscription_and_keeps_what_is_known() {
    let mut rig = Rig::new(Config { retry_by: RetryBy::Copy, ..config(Order::Unordered) });
    let mut incoming = rig.incoming("");
    incoming.message = incoming.message.with_history(crate::History {
        failures: 1,
        deliveries: Some(1),
        first_failure_ms: 77,
        maybe_duplicate: true,
        ..Default::default()
    });
    rig.m.accept(incoming, rig.now);
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, retry());
    let copy = rig.successor();
    let history = copy.message.history();
    assert_eq!(history.only_for.as_deref(), Some("s"));
    assert_eq!((history.first_failure_ms, history.maybe_duplicate, history.failures), (77, true, 2));
}

#[test]
fn a_first_failure_that_nobody_dated_is_unknown() {
    let mut rig = Rig::new(config(Order::Unordered));
    let mut incoming = rig.incoming("");
    incoming.failures = 1;
    rig.m.accept(incoming, rig.now);
    let delivery = rig.next().unwrap();
    let _ = rig.settle(delivery, reject());
    let info = rig.successor().message.history().dead_letter.clone().unwrap();
    assert_eq!((info.first_failure_ms, info.last_failure_ms), (None, Some(1_000_000)));
}

#[test]
fn what_is_left_at_the_deadline_is_named() {
    let mut rig = Rig::new(config(Order::BLOCK));
    rig.arrive("a");
    rig.arrive("b");
    let mut taken = rig.take();
    let _ = rig.settle(taken.remove(1), reject());
    rig.m.begin_drain(rig.now);
    assert!(!rig.m.is_drained());
    let mut left: Vec<String> = rig.m.abandon().iter().map(ToString::to_string).collect();
    left.sort();
    assert_eq!(left, ["m1", "m2"]);
    assert_eq!(rig.settle(taken.remove(0), Verdict::Ack), Settled::Stale);
}
