//! The consumer's state machine: leases, lanes, retries, dead letters and draining, without I/O, tasks or clock.
//!
//! It is told what arrived, what the application decided, what became of successors and flushes, and what time it is.
//! It answers with deliveries that are ready, records for the settler, successors to store, and notes for the event
//! hook. The settlement law lives here: nothing is recorded as settled before its successor is confirmed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::lanes::{Lanes, NIL};
use super::note::{Note, Wants};
use super::pace::Pacer;
use super::slots::{Purpose, Slot, SlotRef, Slots, State, Then};
use super::successor;
use super::unflushed::{Op, Record, Unflushed};
use super::{FlushReport, ReleasePace};
use crate::driver::{Incoming, Late, LateKind, Settled, Token};
use crate::{
    Attempt, BrokerId, Error, Message, MessageId, Moment, Order, ReasonKind, Retry, Spill, Text, bounded_error_text,
};

/// How failed messages come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryBy {
    /// The broker takes them back and counts the failure.
    Broker,
    /// A copy with the count is published with a delay, then the original is settled.
    Copy,
    /// They are held here; the profile's volatile form was allowed by name, or nothing ever waits.
    Holding,
}

/// What the machine must know about its channel, profile and options.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) order: Order,
    pub(crate) delivery_ceiling: u32,
    /// `None`: dropped with an event.
    pub(crate) dead_letter: bool,
    pub(crate) retry: Retry,
    pub(crate) retry_by: RetryBy,
    pub(crate) at_most_once: bool,
    pub(crate) prefetch: usize,
    pub(crate) max_parked: usize,
    pub(crate) pace: ReleasePace,
    /// Released messages without a key go back to the broker; others are held here and handed out again.
    pub(crate) give_back: bool,
    /// Successors are stored by the settler, in one step with the settlement.
    pub(crate) replace: bool,
    pub(crate) lease: Option<Duration>,
    pub(crate) extend: bool,
    pub(crate) wants: Wants,
    /// Milliseconds since 1970 at [`Moment::ZERO`].
    pub(crate) wall_start_ms: u64,
    pub(crate) channel: Text,
    pub(crate) subscription: Option<Text>,
}

/// What the application decided.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Ack,
    Retry { after: Option<Duration>, error: Text },
    Release,
    DeadLetter { reason: ReasonKind, error: Text },
}

/// A delivery on its way to the application.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) slot: SlotRef,
    pub(crate) message: Message,
    pub(crate) attempt: Attempt,
    pub(crate) broker_id: BrokerId,
    pub(crate) generation: u32,
}

/// A successor that the shell is to store.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(crate) slot: SlotRef,
    /// To the dead-letter channel, else to the channel itself.
    pub(crate) dead_letter: bool,
    pub(crate) message: Message,
}

/// The wait after the first failure to store a successor, doubling up to [`SUCCESSOR_CAP`].
const SUCCESSOR_FIRST: Duration = Duration::from_millis(100);
const SUCCESSOR_CAP: Duration = Duration::from_secs(10);
/// The wait before a failed settlement is recorded again.
const RERECORD: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Machine {
    config: Config,
    slots: Slots,
    lanes: Lanes,
    ready: VecDeque<u32>,
    timers: BinaryHeap<Reverse<(Moment, u32, u32)>>,
    /// When the leases must be looked at.
    sweep_at: Moment,
    /// How long after it began a lease must be looked at.
    look_in: Duration,
    outstanding: usize,
    running: usize,
    unflushed: Unflushed,
    again: Vec<(Moment, Record)>,
    late: FlushReport,
    late_watched: Vec<(u64, LateKind)>,
    watched: Vec<u64>,
    pacer: Pacer,
    random: fastrand::Rng,
    now: Moment,
    draining: bool,
    lost: bool,
    to_start: VecDeque<u32>,
    starting: bool,
    released_by_drain: u64,
    /// Taken by the shell.
    pub(crate) records: Vec<Record>,
    pub(crate) successors: Vec<Successor>,
    pub(crate) notes: Vec<Note>,
}

impl Machine {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let lease = config.lease.unwrap_or_default();
        // Half a lease leaves time for one failed extension.
        let look_in = if config.extend { lease / 2 } else { lease };
        Machine {
            pacer: Pacer::new(config.pace),
            config,
            slots: Slots::default(),
            lanes: Lanes::default(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            sweep_at: Moment::NEVER,
            look_in,
            outstanding: 0,
            running: 0,
            unflushed: Unflushed::default(),
            again: Vec::new(),
            late: FlushReport::default(),
            late_watched: Vec::new(),
            watched: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            now: Moment::ZERO,
            draining: false,
            lost: false,
            to_start: VecDeque::new(),
            starting: false,
            released_by_drain: 0,
            records: Vec::new(),
            successors: Vec::new(),
            notes: Vec::new(),
        }
    }

    // ---- what arrives

    /// How many messages may be asked for now.
    pub(crate) fn demand(&self) -> usize {
        if self.draining {
            return 0;
        }
        let limit = self.config.prefetch + self.lanes.parked().min(self.config.max_parked);
        limit.saturating_sub(self.outstanding)
    }

    /// A message arrived.
    #[inline(always)]
    pub(crate) fn accept(&mut self, incoming: Incoming, now: Moment) {
        self.now = now;
        let lease_until = match self.config.lease {
            Some(lease) => {
                self.sweep_at = self.sweep_at.min(now + self.look_in);
                now + lease
            }
            None => Moment::NEVER,
        };
        self.outstanding += 1;
        let index = self.slots.insert(incoming, lease_until);
        if self.draining {
            self.give_back(index);
            return;
        }
        if self.config.order.is_ordered()
            && let Some(key) = self.slots.get(index).message.as_ref().and_then(|m| m.key.as_ref())
        {
            let (lane, head) = self.lanes.push(key, index);
            self.slots.get_mut(index).lane = lane;
            if !head {
                return;
            }
        }
        self.start(index);
    }

    /// A source will be taken away: what is unstarted is given up now.
    pub(crate) fn revoking(&mut self, source: u32, generation: u32) {
        for index in self.of_source(source, generation) {
            if matches!(self.slots.get(index).state, State::Waiting | State::Ready | State::Held { .. }) {
                self.give_back(index);
            }
        }
    }

    /// A source was taken away: what is left of it is lost.
    pub(crate) fn revoked(&mut self, source: u32, generation: u32) {
        let lost = self.of_source(source, generation);
        for index in &lost {
            // First, so that nobody in line is started only to be lost.
            let _ = self.leave(*index);
        }
        for index in lost {
            self.lose(index);
        }
    }

    /// One lease is lost.
    pub(crate) fn lease_lost(&mut self, token: Token) {
        let found = self.slots.used().find(|(_, s)| s.token == token && !s.lost).map(|(i, _)| i);
        if let Some(index) = found {
            self.lose(index);
        }
    }

    /// The connection is gone, and with it every lease.
    pub(crate) fn generation_lost(&mut self) {
        // First, so that nobody in line is started only to be lost.
        self.lanes.clear();
        self.ready.clear();
        for index in self.slots.used_indices() {
            if !self.slots.get(index).lost {
                self.lose(index);
            }
        }
        let (again, unflushed) = (std::mem::take(&mut self.again), self.unflushed.take_all());
        let records = std::mem::take(&mut self.records);
        for record in again.into_iter().map(|(_, record)| record).chain(unflushed).chain(records) {
            if !matches!(record.op, Op::Extend { .. }) {
                let error = Error::new(crate::ErrorKind::Connection, "settle", "the connection was lost");
                self.note_late(&record, LateKind::Unknown(error));
            }
        }
    }

    fn of_source(&self, source: u32, generation: u32) -> Vec<u32> {
        let of_it = |s: &Slot| s.token.source == source && s.token.generation == generation && !s.lost;
        self.slots.used().filter(|(_, s)| of_it(s)).map(|(i, _)| i).collect()
    }

    /// The lease of this delivery is over. A running one stays, so that its settlement can be told from a valid one.
    fn lose(&mut self, index: u32) {
        let state = self.slots.get(index).state;
        if state == State::Free {
            return;
        }
        // It will come again, and those behind it in its lane must come after it: they are given back unseen.
        let lane = self.slots.get(index).lane;
        if lane != NIL {
            for follower in self.lanes.behind(lane, index) {
                self.give_back(follower);
            }
        }
        if state == State::Running {
            self.outstanding -= 1;
            self.slots.get_mut(index).lost = true;
            self.lost = true;
            let id = self.id_of(index);
            self.note(Note::LeaseLost { id });
            if let Some(next) = self.leave(index) {
                self.start(next);
            }
        } else {
            self.finish(index);
        }
    }

    // ---- what may be handed out

    /// The delivery is first of its key, or has none. Whoever it lets start in its turn follows in this loop, not on
    /// the stack: a lane may be long.
    #[inline]
    fn start(&mut self, index: u32) {
        if std::mem::replace(&mut self.starting, true) {
            self.to_start.push_back(index);
            return;
        }
        self.start_one(index);
        while let Some(index) = self.to_start.pop_front() {
            self.start_one(index);
        }
        self.starting = false;
    }

    #[inline]
    fn start_one(&mut self, index: u32) {
        let slot = self.slots.get(index);
        if slot.state == State::Free {
            return;
        }
        if slot.trouble.as_ref().is_some_and(|t| t.undecodable.is_some()) {
            let text = slot.trouble.as_ref().and_then(|t| t.undecodable.as_ref()).map(ToString::to_string);
            return self.dead_letter(index, ReasonKind::Undecodable, bounded_error_text(&text.unwrap_or_default()));
        }
        if slot.expired {
            return self.dead_letter(index, ReasonKind::Expired, Text::EMPTY);
        }
        let attempt = self.attempt(index);
        let earlier = attempt.at_most.unwrap_or(attempt.at_least) - 1;
        if earlier >= self.config.delivery_ceiling {
            let text =
                format!("delivered {earlier} times before; the channel's ceiling is {}", self.config.delivery_ceiling);
            return self.dead_letter(index, ReasonKind::DeliveryCeiling, text.into());
        }
        if self.config.at_most_once && self.slots.get(index).state != State::Finalising {
            self.slots.get_mut(index).state = State::Finalising;
            let waits = self.slots.name(index);
            self.record(index, Op::Ack, Some(waits));
            return;
        }
        self.slots.get_mut(index).state = State::Ready;
        self.ready.push_back(index);
    }

    /// The next delivery for the application.
    #[inline(always)]
    pub(crate) fn pop_ready(&mut self) -> Option<Handover> {
        loop {
            let index = self.ready.pop_front()?;
            if self.slots.get(index).state != State::Ready {
                continue;
            }
            let attempt = self.attempt(index);
            let slot = self.slots.get_mut(index);
            let Some(message) = slot.message.take() else { continue };
            slot.state = State::Running;
            self.running += 1;
            let broker_id = slot.broker_id.clone();
            let generation = slot.token.generation;
            if self.config.wants.delivered {
                self.notes.push(Note::Delivered { id: message.id.clone(), attempt });
            }
            return Some(Handover { slot: self.slots.name(index), message, attempt, broker_id, generation });
        }
    }

    /// Tells the time to decisions that are about to be made.
    pub(crate) fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    /// How many deliveries are ready.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    #[inline]
    fn attempt(&self, index: u32) -> Attempt {
        let slot = self.slots.get(index);
        let local = slot.local_failures();
        // Only copies carry counts of earlier lives, and a copy has at least one failure.
        let (failures, earlier) = match slot.message.as_ref().map(Message::history) {
            Some(history) if history.failures > 0 => (history.failures, history.deliveries),
            _ => (0, Some(0)),
        };
        let at_least = 1u32.saturating_add(failures).saturating_add(slot.broker_failures).saturating_add(local);
        let at_most = match (slot.deliveries, earlier) {
            (Some(now), Some(earlier)) => Some(now.saturating_add(earlier).saturating_add(local).max(at_least)),
            _ => None,
        };
        Attempt { at_least, at_most }
    }

    // ---- what the application decides

    /// The application is done with a delivery. The answer is final for decisions that the engine carries out itself;
    /// for a recorded settlement it is `Recorded` until the driver says otherwise.
    pub(crate) fn settle(&mut self, of: SlotRef, verdict: Verdict, message: Message) -> Settled {
        let Some(slot) = self.slots.find(of) else { return Settled::Stale };
        let index = of.slot;
        self.running -= 1;
        if slot.lost {
            self.note_stale(index);
            return Settled::Stale;
        }
        if self.config.at_most_once {
            self.settle_at_most_once(index, &verdict);
            return Settled::Recorded;
        }
        match verdict {
            Verdict::Ack => self.record_ack(index),
            Verdict::Release => {
                let wait = self.pacer.released(&message.id);
                self.slots.get_mut(index).message = Some(message);
                // With a key it stays: were it given back, and one behind it not, its key's order would be lost.
                let back = self.config.give_back && self.slots.get(index).lane == NIL;
                let then = if back { Then::GiveBack } else { Then::Redispatch };
                self.hold(index, self.now + wait, then);
            }
            Verdict::Retry { after, error } => {
                self.slots.get_mut(index).message = Some(message);
                self.fail(index, after, error);
            }
            Verdict::DeadLetter { reason, error } => {
                self.slots.get_mut(index).message = Some(message);
                self.count_failure_time(index);
                self.dead_letter(index, reason, error);
            }
        }
        Settled::Recorded
    }

    /// The fast path of every message: it was handled.
    #[inline]
    pub(crate) fn ack(&mut self, of: SlotRef) -> Settled {
        let Some(slot) = self.slots.find(of) else { return Settled::Stale };
        let lost = slot.lost;
        self.running -= 1;
        if lost {
            self.note_stale(of.slot);
            return Settled::Stale;
        }
        if self.config.at_most_once {
            self.settle_at_most_once(of.slot, &Verdict::Ack);
        } else {
            self.record_ack(of.slot);
        }
        Settled::Recorded
    }

    /// A delivery that was lost is settled too late: nothing of it is left.
    fn note_stale(&mut self, index: u32) {
        let id = self.id_of(index);
        self.slots.remove(index);
        self.note(Note::Stale { id });
    }

    #[inline]
    fn record_ack(&mut self, index: u32) {
        let slot = self.slots.get(index);
        self.pacer.settled(&slot.id);
        let (token, id) = (slot.token, self.config.wants.settled.then(|| slot.id.clone()));
        let number = self.unflushed.next_number();
        self.records.push(Record::new(token, Op::Ack, number, None, id));
        self.finish(index);
    }

    /// It was settled before it was handled: what did not succeed is dropped, with an event.
    fn settle_at_most_once(&mut self, index: u32, verdict: &Verdict) {
        let reason = match verdict {
            Verdict::Ack => None,
            Verdict::DeadLetter { reason, .. } => Some(*reason),
            Verdict::Retry { .. } | Verdict::Release => Some(ReasonKind::MaxAttempts),
        };
        let id = self.id_of(index);
        match reason {
            Some(reason) => self.note(Note::Dropped { id, reason: Some(reason) }),
            None if self.config.wants.settled => self.notes.push(Note::Settled { id, released: false }),
            None => {}
        }
        self.finish(index);
    }

    fn count_failure_time(&mut self, index: u32) {
        let wall = self.wall_ms();
        let trouble = self.slots.get_mut(index).trouble_mut();
        if trouble.first_failure_ms == 0 {
            trouble.first_failure_ms = wall;
        }
        trouble.last_failure_ms = wall;
    }

    /// A counted failure: retry, dead-letter or spill.
    fn fail(&mut self, index: u32, after: Option<Duration>, error: Text) {
        let attempt = self.attempt(index);
        self.count_failure_time(index);
        if attempt.at_least >= self.config.retry.max_attempts() {
            return self.dead_letter(index, ReasonKind::MaxAttempts, error);
        }
        let after = after.unwrap_or_else(|| self.config.retry.wait(attempt.at_least, self.random.f64()));
        // What has no key blocks none: it fails as on an unordered channel.
        let keyed = self.slots.get(index).lane != NIL;
        match self.config.order {
            Order::Block { max_blocked_keys, longest_wait, spill } if keyed => {
                let since = self.slots.get(index).trouble.as_ref().and_then(|t| t.blocked_since).unwrap_or(self.now);
                let over = self.lanes.blocked_keys() >= max_blocked_keys;
                if over || self.now.since(since) >= longest_wait {
                    return self.spill(index, attempt, spill, error);
                }
                let trouble = self.slots.get_mut(index).trouble_mut();
                trouble.blocked_since = Some(since);
                trouble.failures += 1;
                trouble.error = error;
                // The last try comes when the longest wait is over, not after it.
                self.note_retried(index, attempt, after);
                self.hold(index, (self.now + after).min(since + longest_wait), Then::Redispatch);
            }
            _ => self.send_back(index, attempt, after, error),
        }
    }

    /// A failed message returns through the broker.
    fn send_back(&mut self, index: u32, attempt: Attempt, after: Duration, error: Text) {
        let local = self.slots.get(index).local_failures();
        self.slots.get_mut(index).trouble_mut().error = error;
        self.note_retried(index, attempt, after);
        match self.config.retry_by {
            RetryBy::Broker => {
                self.record(index, Op::Retry { after, failures: 1 + local }, None);
                self.finish(index);
            }
            RetryBy::Copy => {
                self.slots.get_mut(index).trouble_mut().purpose = Some(Purpose::Retry { after });
                self.succeed(index);
            }
            RetryBy::Holding => {
                self.slots.get_mut(index).trouble_mut().failures += 1;
                self.hold(index, self.now + after, Then::Redispatch);
            }
        }
    }

    /// A blocked key went over its bound.
    fn spill(&mut self, index: u32, attempt: Attempt, spill: Spill, error: Text) {
        let id = self.id_of(index);
        self.note(Note::OrderSpilled { id });
        match spill {
            Spill::DeadLetter => self.dead_letter(index, ReasonKind::OrderSpill, error),
            // A native retry would put it back in its place, so this is always a copy, behind what is queued now.
            Spill::FallBehind => {
                let trouble = self.slots.get_mut(index).trouble_mut();
                trouble.error = error;
                trouble.purpose = Some(Purpose::Retry { after: Duration::ZERO });
                self.note_retried(index, attempt, Duration::ZERO);
                self.succeed(index);
            }
        }
    }

    fn dead_letter(&mut self, index: u32, reason: ReasonKind, error: Text) {
        if !self.config.dead_letter {
            let id = self.id_of(index);
            self.note(Note::Dropped { id, reason: Some(reason) });
            self.record(index, Op::Ack, None);
            return self.finish(index);
        }
        let trouble = self.slots.get_mut(index).trouble_mut();
        trouble.error = error;
        trouble.purpose = Some(Purpose::DeadLetter(reason));
        if trouble.first_failure_ms == 0 {
            self.count_failure_time(index);
        }
        self.succeed(index);
    }

    /// Has the successor stored; its lane waits.
    fn succeed(&mut self, index: u32) {
        self.block_lane(index, true);
        let attempt = self.attempt(index);
        let slot = self.slots.get(index);
        let (Some(message), Some(trouble)) = (&slot.message, &slot.trouble) else { return };
        let Some(purpose) = trouble.purpose else { return };
        let message = successor::make(
            message,
            purpose,
            trouble,
            attempt,
            &self.config.channel,
            self.config.subscription.as_ref(),
        );
        let dead_letter = matches!(purpose, Purpose::DeadLetter(_));
        let name = self.slots.name(index);
        if self.config.replace {
            self.slots.get_mut(index).state = State::Finalising;
            self.record(index, Op::Replace { dead_letter, message: Box::new(message) }, Some(name));
        } else {
            self.slots.get_mut(index).state = State::Succeeding;
            self.successors.push(Successor { slot: name, dead_letter, message });
        }
    }

    /// What became of a successor.
    pub(crate) fn successor_done(&mut self, of: SlotRef, outcome: Result<(), Error>, now: Moment) {
        self.now = now;
        // A delivery that was lost meanwhile is gone: the source will come again, and the copy is a duplicate.
        if self.slots.find(of).is_none_or(|slot| slot.state != State::Succeeding) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.note_succeeded(of.slot);
                self.record(of.slot, Op::Ack, None);
                self.finish(of.slot);
            }
            Err(error) => self.successor_failed(of.slot, error),
        }
    }

    fn successor_failed(&mut self, index: u32, error: Error) {
        let id = self.id_of(index);
        self.note(Note::SuccessorFailed { id, error });
        let trouble = self.slots.get_mut(index).trouble_mut();
        let wait = SUCCESSOR_FIRST.saturating_mul(1 << trouble.tries.min(20)).min(SUCCESSOR_CAP);
        trouble.tries = trouble.tries.saturating_add(1);
        let until = self.now + wait;
        self.hold(index, until, Then::Succeed);
    }

    fn note_succeeded(&mut self, index: u32) {
        let attempt = self.attempt(index);
        let id = self.id_of(index);
        self.pacer.settled(&id);
        if let Some(Purpose::DeadLetter(reason)) = self.slots.get(index).trouble.as_ref().and_then(|t| t.purpose) {
            self.note(Note::DeadLettered { id, reason, attempt });
        }
    }

    fn note_retried(&mut self, index: u32, attempt: Attempt, after: Duration) {
        if self.config.wants.retried {
            let error = self.slots.get(index).trouble.as_ref().map_or(Text::EMPTY, |t| t.error.clone());
            let id = self.id_of(index);
            self.notes.push(Note::Retried { id, attempt, after, error });
        }
    }

    // ---- time

    /// Keeps a delivery here, its lease extended, until then.
    fn hold(&mut self, index: u32, until: Moment, then: Then) {
        let slot = self.slots.get_mut(index);
        slot.state = State::Held { until, then };
        let turn = slot.turn;
        if self.draining && then != Then::Succeed {
            // Nobody will be there to take it.
            self.released_by_drain += 1;
            return self.give_back(index);
        }
        self.timers.push(Reverse((until, index, turn)));
        self.block_lane(index, true);
    }

    /// The earliest moment at which [`on_time`](Self::on_time) has something to do.
    pub(crate) fn next_deadline(&self) -> Moment {
        let timer = self.timers.peek().map_or(Moment::NEVER, |Reverse((at, ..))| *at);
        let again = self.again.iter().map(|(at, _)| *at).min().unwrap_or(Moment::NEVER);
        timer.min(again).min(self.sweep_at)
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Moment) {
        self.now = now;
        while let Some(Reverse((at, index, turn))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let name = SlotRef { slot: index, turn };
            let Some(State::Held { until, then }) = self.slots.find(name).map(|s| s.state) else { continue };
            if until != at {
                continue;
            }
            match then {
                Then::Redispatch => {
                    self.block_lane(index, false);
                    self.start(index);
                }
                Then::GiveBack => self.give_back(index),
                Then::Succeed => self.succeed(index),
            }
        }
        for (at, record) in std::mem::take(&mut self.again) {
            if at <= now {
                self.records.push(record);
            } else {
                self.again.push((at, record));
            }
        }
        if self.sweep_at <= now {
            self.sweep_leases();
        }
    }

    /// Extends the leases that are half over; where a lease cannot be extended, finds the ones that are over.
    fn sweep_leases(&mut self) {
        self.sweep_at = Moment::NEVER;
        let Some(lease) = self.config.lease else { return };
        for index in self.slots.used_indices() {
            let slot = self.slots.get(index);
            if slot.lost || (self.config.at_most_once && slot.state != State::Waiting) {
                continue;
            }
            if slot.lease_until <= self.now {
                self.lose(index);
                continue;
            }
            let look_at = if self.config.extend { slot.lease_until - lease / 2 } else { slot.lease_until };
            if self.config.extend && look_at <= self.now {
                let token = slot.token;
                let waits = Some(self.slots.name(index));
                let number = self.unflushed.next_number();
                self.records.push(Record::new(token, Op::Extend { by: lease }, number, waits, None));
                self.slots.get_mut(index).lease_until = self.now + lease;
                self.sweep_at = self.sweep_at.min(self.now + lease / 2);
            } else {
                self.sweep_at = self.sweep_at.min(look_at);
            }
        }
    }

    /// The application prolongs a lease itself.
    pub(crate) fn extend(&mut self, of: SlotRef, by: Duration, now: Moment) -> Settled {
        self.now = now;
        let Some(slot) = self.slots.find(of).filter(|s| !s.lost) else { return Settled::Stale };
        if self.config.extend {
            let (token, lease_until) = (slot.token, slot.lease_until.max(now + by));
            let number = self.unflushed.next_number();
            let waits = Some(of);
            self.records.push(Record::new(token, Op::Extend { by: lease_until.since(now) }, number, waits, None));
            self.slots.get_mut(of.slot).lease_until = lease_until;
        }
        Settled::Recorded
    }

    /// Whether the lease of this delivery is lost, or the delivery settled.
    pub(crate) fn is_lost(&self, of: SlotRef) -> bool {
        self.slots.find(of).is_none_or(|slot| slot.lost)
    }

    // ---- settling

    fn record(&mut self, index: u32, op: Op, waits: Option<SlotRef>) {
        let token = self.slots.get(index).token;
        let number = self.unflushed.next_number();
        let wanted = self.config.wants.settled || self.config.wants.rare;
        let id = if wanted { Some(self.id_of(index)) } else { None };
        self.records.push(Record::new(token, op, number, waits, id));
    }

    /// The number of the newest settlement.
    pub(crate) fn last_number(&self) -> u64 {
        self.unflushed.last_number()
    }

    /// What the driver answered to a record.
    #[inline]
    pub(crate) fn answered(&mut self, record: Record, answer: Settled) {
        match answer {
            Settled::Recorded => {
                if self.config.wants.settled && matches!(record.op, Op::Ack | Op::Release) && record.waits().is_none() {
                    let released = matches!(record.op, Op::Release);
                    if let Some(id) = record.id() {
                        self.notes.push(Note::Settled { id, released });
                    }
                }
                self.unflushed.push(record);
            }
            Settled::Stale => self.ended_late(record, LateKind::Stale),
        }
    }

    /// How many settlements are recorded and not final.
    pub(crate) fn unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// Whether a running delivery lost its lease since this was last asked.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Whether deliveries are settled already when they are ready, so that giving them back would lose them.
    pub(crate) fn hands_out_while_draining(&self) -> bool {
        self.config.at_most_once && self.outstanding > 0
    }

    /// Whether something waits for a flush to end.
    pub(crate) fn flush_is_urgent(&self) -> bool {
        (self.config.at_most_once || self.config.replace) && self.unflushed.is_waited_for()
    }

    /// A flush begins: it covers everything recorded so far.
    pub(crate) fn flush_begins(&mut self) {
        self.unflushed.begin();
    }

    /// A flush ended: what it covered is final, except for these.
    pub(crate) fn flush_ended(&mut self, late: &mut Vec<Late>, now: Moment) {
        self.now = now;
        if late.is_empty() && !self.unflushed.is_waited_for() {
            // The path of every message: nobody has to be told that all is final.
            drop(self.unflushed.end());
            return;
        }
        let covered: Vec<Record> = if late.is_empty() {
            // The common case needs no copy unless a slot waits for it.
            self.unflushed.end().filter(|r| r.waits().is_some()).collect()
        } else {
            self.unflushed.end().collect()
        };
        for record in covered {
            match late.iter().position(|l| l.token == record.token) {
                Some(at) => {
                    let kind = late.swap_remove(at).kind;
                    self.ended_late(record, kind);
                }
                None => self.became_final(record),
            }
        }
        // What is left concerns records that were answered after this flush began, or nothing we know.
        late.clear();
    }

    fn became_final(&mut self, record: Record) {
        let Some(of) = record.waits() else { return };
        if self.slots.find(of).is_none_or(|slot| slot.state != State::Finalising) {
            return;
        }
        match record.op {
            Op::Ack => self.start(of.slot),
            Op::Replace { .. } => {
                self.note_succeeded(of.slot);
                self.finish(of.slot);
            }
            _ => {}
        }
    }

    fn ended_late(&mut self, record: Record, kind: LateKind) {
        match (&record.op, kind) {
            (Op::Extend { .. }, LateKind::Stale) => {
                if let Some(of) = record.waits()
                    && self.slots.find(of).is_some_and(|slot| !slot.lost)
                {
                    self.lose(of.slot);
                }
            }
            // It ends when it would have ended; there is time to try again.
            (Op::Extend { by }, _) => {
                if let Some(of) = record.waits()
                    && let Some(slot) = self.slots.find(of)
                {
                    let lease_until = slot.lease_until - *by / 2;
                    self.slots.get_mut(of.slot).lease_until = lease_until;
                    self.sweep_at = self.sweep_at.min(self.now + RERECORD.min(*by / 8));
                }
            }
            (Op::Replace { .. }, LateKind::Stale) => {
                self.note_late(&record, LateKind::Stale);
                if let Some(of) = record.waits().filter(|of| self.slots.find(*of).is_some()) {
                    self.finish(of.slot);
                }
            }
            // Trying again is safe: if it had happened, the token is stale by now.
            (Op::Replace { .. }, LateKind::Failed(error) | LateKind::Unknown(error)) => {
                if let Some(of) = record.waits().filter(|of| self.slots.find(*of).is_some()) {
                    self.successor_failed(of.slot, error);
                }
            }
            // At most once: not settled for certain, so the handler must not run.
            (_, kind) if record.waits().is_some() => {
                self.note_late(&record, kind);
                if let Some(of) = record.waits().filter(|of| self.slots.find(*of).is_some()) {
                    let id = self.id_of(of.slot);
                    self.note(Note::Dropped { id, reason: None });
                    self.finish(of.slot);
                }
            }
            (_, LateKind::Failed(_)) => self.again.push((self.now + RERECORD, record)),
            (_, kind) => self.note_late(&record, kind),
        }
    }

    fn note_late(&mut self, record: &Record, kind: LateKind) {
        match &kind {
            LateKind::Stale => {
                self.late.stale += 1;
                if let Some(id) = record.id() {
                    self.note(Note::Stale { id });
                }
            }
            LateKind::Unknown(_) | LateKind::Failed(_) => self.late.unknown += 1,
        }
        if self.watched.contains(&record.number) {
            self.late_watched.push((record.number, kind));
        }
    }

    /// Remembers how the settlement of this number ends.
    pub(crate) fn watch(&mut self, number: u64) {
        self.watched.push(number);
    }

    /// Whether everything up to this number is final.
    pub(crate) fn is_final(&self, number: u64) -> bool {
        self.unflushed.is_final(number)
            && self.again.iter().all(|(_, r)| r.number > number)
            && self.records.iter().all(|r| r.number > number)
    }

    /// Forgets a watched number: how it ended, if not as recorded.
    pub(crate) fn unwatch(&mut self, number: u64) -> Option<LateKind> {
        self.watched.retain(|n| *n != number);
        let at = self.late_watched.iter().position(|(n, _)| *n == number)?;
        Some(self.late_watched.swap_remove(at).1)
    }

    /// What did not become final as recorded since this was last asked.
    pub(crate) fn take_late(&mut self) -> FlushReport {
        std::mem::take(&mut self.late)
    }

    // ---- leaving

    fn block_lane(&mut self, index: u32, blocked: bool) {
        let lane = self.slots.get(index).lane;
        if lane != NIL {
            self.lanes.set_blocked(lane, index, blocked);
        }
    }

    /// Takes a delivery out of its lane; the next of its key that may start.
    #[inline]
    fn leave(&mut self, index: u32) -> Option<u32> {
        let lane = std::mem::replace(&mut self.slots.get_mut(index).lane, NIL);
        if lane == NIL { None } else { self.lanes.remove(lane, index) }
    }

    /// The delivery is over: the next of its key may start.
    #[inline]
    fn finish(&mut self, index: u32) {
        self.outstanding -= 1;
        let next = self.leave(index);
        self.slots.remove(index);
        if let Some(next) = next {
            self.start(next);
        }
    }

    /// Gives a delivery back that is not in the application's hands. A failure that only we know is told to a broker
    /// that counts.
    fn give_back(&mut self, index: u32) {
        let slot = self.slots.get(index);
        let op = if self.config.retry_by == RetryBy::Broker && slot.local_failures() > 0 {
            let after = match slot.state {
                State::Held { until, then: Then::Redispatch } => until.since(self.now),
                _ => Duration::ZERO,
            };
            Op::Retry { after, failures: slot.local_failures() }
        } else {
            Op::Release
        };
        self.record(index, op, None);
        self.finish(index);
    }

    /// From now on nothing is started: what is prefetched or held is given back, what runs may settle.
    pub(crate) fn begin_drain(&mut self, now: Moment) {
        self.now = now;
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        for index in self.slots.used_indices() {
            let state = self.slots.get(index).state;
            let unstarted = match state {
                State::Waiting => true,
                // At most once these are settled already: they are still handed out, or they would be lost.
                State::Ready => !self.config.at_most_once,
                State::Held { then, .. } => then != Then::Succeed,
                _ => false,
            };
            if unstarted {
                self.released_by_drain += 1;
                self.give_back(index);
            }
        }
    }

    /// Whether nothing is left to wait for: nothing runs, no successor is open, all is final.
    pub(crate) fn is_drained(&self) -> bool {
        self.outstanding == 0
            && self.running == 0
            && self.records.is_empty()
            && self.again.is_empty()
            && self.unflushed.len() == 0
    }

    /// Deliveries in the application's hands.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// How many deliveries draining gave back.
    pub(crate) fn released_by_drain(&self) -> u64 {
        self.released_by_drain
    }

    /// The deadline is over: everything that is left is given up. Their ids.
    pub(crate) fn abandon(&mut self) -> Vec<MessageId> {
        let left: Vec<u32> = self.slots.used().filter(|(_, s)| !s.lost).map(|(i, _)| i).collect();
        let ids: Vec<MessageId> = left.iter().map(|index| self.id_of(*index)).collect();
        for id in &ids {
            self.note(Note::Abandoned { id: id.clone() });
        }
        self.generation_lost();
        ids
    }

    fn id_of(&self, index: u32) -> MessageId {
        self.slots.get(index).id.clone()
    }

    fn wall_ms(&self) -> u64 {
        self.config.wall_start_ms + self.now.since(Moment::ZERO).as_millis() as u64
    }

    fn note(&mut self, note: Note) {
        if self.config.wants.rare {
            self.notes.push(note);
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod schedules;
