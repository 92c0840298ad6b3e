//! The publisher as a state machine: what may be sent, what is owed, what is sent again, what its outcome is.
//!
//! No I/O, no clock, no tasks: the shell tells the time, offers what [`Machine::offer`] gives to the producer, and hands
//! in what came back. `W` is whoever is to be woken; wakers only ever leave through [`Machine::woken`] and return
//! values, so that the shell can wake and drop them outside its lock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::flushes::Flushes;
use super::gates::{Gates, Gating};
use super::groups::Groups;
use super::outbox::Outbox;
use super::outcome::{Outcome, PublishError, PublisherStats};
use super::policy;
use super::room::Room;
use super::slots::{Owner, Slot, Slots, State};
use crate::driver::{BatchSource, Ticket};
use crate::{Behaviour, Channel, Error, Event, EventHook, Key, Message, Moment, PublishOutcome, Receipt, Rejection};

/// What the machine is told once.
pub(super) struct Config {
    pub channel: Channel,
    pub max_messages: usize,
    pub max_bytes: usize,
    pub deliver_within: Duration,
    pub resend: bool,
    pub seed: u64,
    pub hook_published: Option<Arc<dyn EventHook>>,
    pub hook_failed: Option<Arc<dyn EventHook>>,
}

/// Names an issued message for its future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub slot: u32,
    pub seq: u64,
}

/// What became of a message that had to wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It waits.
    Queued,
    /// It is accepted.
    Accepted,
    /// It never was; its outcome says why.
    Refused,
}

/// A message whose owner has its outcome while the producer still owes one.
struct Owed {
    slot: u32,
    key: Option<Key>,
    answer_by: Moment,
}

pub(super) struct Machine<W> {
    config: Config,
    may_resend: bool,
    grace: Duration,
    slots: Slots<W>,
    outbox: Outbox,
    gates: Gates,
    room: Room,
    /// Issued messages that wait for room, first come, first served.
    queue: Outbox,
    pub groups: Groups<W>,
    pub flushes: Flushes<W>,
    resting: BinaryHeap<Reverse<(Moment, u64, u32)>>,
    owed: Vec<Owed>,
    /// Who is to be woken, outside the lock.
    pub woken: Vec<W>,
    next_seq: u64,
    last_deadline: Moment,
    random: fastrand::Rng,
    stats: PublisherStats,
    /// Why there is no producer.
    link: Option<Error>,
    /// Failures of one round of completions: they are decided together.
    failed: Vec<(u32, Failure)>,
    /// Per key the latest message confirmed after a failure in the same round.
    passed: HashMap<Key, u64>,
}

enum Failure {
    TryAgain(Error),
    Unknown(Error),
    Refused(Error),
}

impl<W> Machine<W> {
    pub(super) fn new(config: Config) -> Self {
        Machine {
            may_resend: config.resend,
            grace: Duration::ZERO,
            slots: Slots::new(),
            outbox: Outbox::default(),
            gates: Gates::new(Gating::None),
            room: Room::new(config.max_messages, config.max_bytes),
            queue: Outbox::default(),
            groups: Groups::new(),
            flushes: Flushes::new(),
            resting: BinaryHeap::new(),
            owed: Vec::new(),
            woken: Vec::new(),
            next_seq: 0,
            last_deadline: Moment::ZERO,
            random: fastrand::Rng::with_seed(config.seed),
            stats: PublisherStats::default(),
            link: None,
            failed: Vec::new(),
            passed: HashMap::new(),
            config,
        }
    }

    // --- what the shell asks -------------------------------------------------------------------------------------

    pub(super) fn stats(&self) -> PublisherStats {
        self.stats
    }

    /// Messages without an outcome.
    pub(super) fn unresolved(&self) -> usize {
        self.slots.unresolved()
    }

    /// Messages that may be sent now.
    pub(super) fn sendable(&self) -> usize {
        self.outbox.len()
    }

    /// The number that a flush of everything accepted so far waits for.
    pub(super) fn flush_until(&self) -> u64 {
        self.queue.front().map_or(self.next_seq, |slot| self.slots[slot].seq)
    }

    /// Whether everything issued before `until` has its outcome.
    pub(super) fn flushed(&self, until: u64) -> bool {
        self.slots.first().is_none_or(|first| self.slots[first].seq >= until)
    }

    /// When [`tick`](Self::tick) has something to do next.
    #[inline]
    pub(super) fn next_timer(&self) -> Moment {
        let deadline = self.slots.first().map(|first| self.slots[first].deadline);
        let resend = self.resting.peek().map(|Reverse((due, ..))| *due);
        let answer = self.owed.iter().map(|owed| owed.answer_by).min();
        let room = self.queue.front().map(|slot| self.slots[slot].deadline);
        [deadline, resend, answer, room].into_iter().flatten().min().unwrap_or(Moment::NEVER)
    }

    /// How long a message may take, in this generation.
    pub(super) fn deliver_within(&self) -> Duration {
        self.config.deliver_within.saturating_add(self.grace)
    }

    // --- accepting -----------------------------------------------------------------------------------------------

    /// Issues the message. It is accepted at once when there is room and nobody waits for it; else it waits its turn.
    #[inline]
    pub(super) fn issue(&mut self, message: &mut Option<Message>, deadline: Moment, owner: Owner<W>) -> Place {
        let seq = self.next_seq;
        self.next_seq += 1;
        // The queue and the list of the unresolved are ordered by issue and must be by deadline too; clock reads of
        // several threads may arrive out of order.
        self.last_deadline = deadline.max(self.last_deadline);
        let weight = message.as_ref().map_or(0, Message::weight);
        let this = self.slots.insert(message, owner, seq);
        this.deadline = self.last_deadline;
        this.weight = weight;
        let slot = this.index;
        if self.queue.is_empty() && self.room.take(weight) {
            self.accept(slot);
        } else {
            self.queue.insert(seq, slot);
        }
        Place { slot, seq }
    }

    /// Room was taken for the message.
    #[inline]
    fn accept(&mut self, slot: u32) {
        self.stats.accepted += 1;
        self.slots.link(slot);
        match &mut self.slots[slot].owner {
            Owner::Entering(waker) => {
                self.woken.extend(waker.take());
                self.slots[slot].owner = Owner::One(None);
            }
            &mut Owner::Group { group, .. } => self.groups.entered(group, &mut self.woken),
            Owner::One(_) | Owner::Nobody => {}
        }
        self.route(slot);
    }

    /// Accepts from the front of the queue whatever fits.
    fn grant(&mut self) {
        while let Some(slot) = self.queue.front()
            && self.room.take(self.slots[slot].weight)
        {
            self.queue.pop();
            self.accept(slot);
        }
    }

    /// Turns away a message at the front of the queue.
    fn refuse_front(&mut self, error: Error) {
        let Some(slot) = self.queue.pop() else { return };
        let Some(message) = self.slots[slot].message.take() else { return };
        let outcome = Err(PublishError::rejected(error, message));
        if let Owner::Group { group, .. } = self.slots[slot].owner {
            self.groups.entered(group, &mut self.woken);
        }
        self.hand_over(slot, outcome);
    }

    /// Puts a message where it belongs: into the outbox, or behind the earlier ones of its key.
    #[inline]
    fn route(&mut self, slot: u32) {
        let this = &mut self.slots[slot];
        if self.gates.mode != Gating::None
            && let Some(key) = this.message.as_ref().and_then(|message| message.key.as_ref())
        {
            let gate = match self.gates.mode {
                Gating::OneAtATime => Some(self.gates.get_or_make(key)),
                _ if self.gates.is_empty() => None,
                _ => self.gates.get(key),
            };
            match gate {
                Some(gate) if gate.fresh => {
                    gate.fresh = false;
                    gate.out = 1;
                }
                Some(gate) => {
                    gate.wait(this.seq, slot);
                    this.state = State::Held;
                    return;
                }
                None => {}
            }
        }
        this.state = State::Ready;
        self.outbox.insert(this.seq, slot);
    }

    // --- sending -------------------------------------------------------------------------------------------------

    /// What may be sent now, at most `most` messages.
    pub(super) fn offer(&mut self, now: Moment, most: usize) -> Offer<'_, W> {
        Offer { left: most.min(self.outbox.len()), machine: self, now, taken: 0 }
    }

    // --- what came back ------------------------------------------------------------------------------------------

    /// Takes outcomes from the producer of the current generation. The time is asked for only when needed.
    pub(super) fn complete(&mut self, outcomes: &mut Vec<(Ticket, PublishOutcome)>, now: impl Fn() -> Moment) {
        for (ticket, outcome) in outcomes.drain(..) {
            let Some(slot) = self.slots.owing(ticket) else {
                self.stats.late_completions += 1;
                continue;
            };
            slot.generation = slot.generation.wrapping_add(1);
            if slot.state == State::Owed {
                self.close_owed(ticket.slot, &now);
                continue;
            }
            let failure = match outcome {
                PublishOutcome::Confirmed(receipt) => {
                    self.confirm(ticket.slot, receipt, &now);
                    continue;
                }
                PublishOutcome::Rejected(Rejection::TryAgain(error)) => Failure::TryAgain(error),
                PublishOutcome::Rejected(Rejection::Refused(error)) => Failure::Refused(error),
                PublishOutcome::Unknown(error) => Failure::Unknown(error),
            };
            slot.state = State::Failed;
            self.failed.push((ticket.slot, failure));
        }
        if !self.failed.is_empty() {
            self.decide_failures(now());
        }
        self.settle_waiters();
    }

    /// After anything was resolved: whoever waited for it.
    #[inline]
    pub(super) fn settle_waiters(&mut self) {
        self.grant();
        let oldest = self.slots.first().map(|first| self.slots[first].seq);
        self.flushes.advance(oldest, &mut self.woken);
    }

    #[inline]
    fn confirm(&mut self, slot: u32, receipt: Receipt, now: &impl Fn() -> Moment) {
        if let Some(hook) = &self.config.hook_published
            && let Some(message) = &self.slots[slot].message
        {
            let (channel, id, broker_id) = (&self.config.channel, &message.id, &receipt.broker_id);
            hook.on_event(&Event::Published { channel, id, broker_id });
        }
        // Most of the time there is no gate, and the key need not even be looked at.
        let gated = self.gates.mode != Gating::None && (!self.gates.is_empty() || !self.failed.is_empty());
        let this = &mut self.slots[slot];
        let seq = this.seq;
        let key = if gated { this.message.as_mut().and_then(|message| message.key.take()) } else { None };
        // In place: moving a message only to drop it is measurable.
        this.message = None;
        self.stats.confirmed += 1;
        self.deliver(slot, Ok(receipt));
        if let Some(key) = key {
            if self.gates.mode == Gating::AfterFailure {
                self.overtake(&key, seq);
                if !self.failed.is_empty() {
                    self.passed.insert(key.clone(), seq);
                }
            }
            self.out_ended(&key, now());
        }
    }

    /// A message of this key was stored while earlier ones wait to be sent again. Of those that are certainly not
    /// stored none may be sent any more: that would break the order of first deliveries. Those of which it is unknown
    /// are stored, by what the profile declares, and may.
    fn overtake(&mut self, key: &Key, seq: u64) {
        let Some(gate) = self.gates.get(key) else { return };
        let passed: Vec<u32> = gate.before(seq).collect();
        for slot in passed {
            if self.slots[slot].tries > 0 && !self.slots[slot].unsure {
                self.withdraw(slot);
                let error = policy::overtaken(self.slots[slot].last_error.as_ref().unwrap_or(&policy::closing()));
                self.fail(slot, error);
            }
        }
    }

    /// Decides what follows on all failures of one round together, so that no later message of a key slips through
    /// between them.
    fn decide_failures(&mut self, now: Moment) {
        let mut failed = std::mem::take(&mut self.failed);
        let mut touched: Vec<Key> = Vec::new();
        let mut any_fresh = false;
        for (slot, failure) in &mut failed {
            let slot = *slot;
            let again = self.after_failure(slot, failure, now);
            let this = &mut self.slots[slot];
            let key = this.message.as_ref().and_then(|message| message.key.as_ref());
            let key = key.filter(|_| self.gates.mode != Gating::None);
            if let Some(key) = key {
                match self.gates.get(key) {
                    Some(gate) if !gate.fresh => gate.out -= 1,
                    Some(_) => {}
                    None if again => {
                        self.gates.get_or_make(key);
                        any_fresh = true;
                    }
                    None => {}
                }
                touched.push(key.clone());
            }
            if again {
                this.state = State::Resting;
                self.resting.push(Reverse((this.not_before, this.seq, slot)));
                if let Some(gate) = key.and_then(|key| self.gates.get(key))
                    && !gate.fresh
                {
                    gate.wait(this.seq, slot);
                }
            }
        }
        if any_fresh {
            self.fill_fresh_gates();
        }
        for (slot, failure) in failed.drain(..) {
            if self.slots[slot].state == State::Failed {
                let (Failure::TryAgain(error) | Failure::Unknown(error) | Failure::Refused(error)) = failure;
                self.fail(slot, error);
            }
        }
        self.failed = failed;
        self.passed.clear();
        for key in &touched {
            self.release(key, now);
        }
    }

    /// Whether the message is sent again; if so, when. May replace the failure by a clearer one.
    fn after_failure(&mut self, slot: u32, failure: &mut Failure, now: Moment) -> bool {
        let this = &mut self.slots[slot];
        this.tries += 1;
        let error = match failure {
            Failure::Refused(_) => return false,
            Failure::TryAgain(error) => error,
            Failure::Unknown(error) => {
                this.unsure = true;
                error
            }
        };
        this.last_error = Some(error.clone());
        if !self.may_resend {
            return false;
        }
        let Some(message) = &mut this.message else { return false };
        if !this.unsure
            && let Some(key) = &message.key
            && self.passed.get(key).is_some_and(|&passed| passed > this.seq)
        {
            *failure = Failure::TryAgain(policy::overtaken(error));
            return false;
        }
        let wait = policy::resend_wait(this.tries, &mut self.random);
        let not_before = now + wait;
        if not_before >= this.deadline {
            return false;
        }
        this.not_before = not_before;
        self.stats.resent += 1;
        if this.unsure {
            message.mark_maybe_duplicate();
        }
        if let Some(hook) = &self.config.hook_failed {
            let (channel, id, resend_in) = (&self.config.channel, &message.id, Some(wait));
            hook.on_event(&Event::PublishFailed { channel, id, error, resend_in });
        }
        true
    }

    /// A gate that was just made learns what of its key is out, and calls back what was not sent yet.
    fn fill_fresh_gates(&mut self) {
        let mut next = self.slots.first();
        let mut filled: Vec<Key> = Vec::new();
        while let Some(slot) = next {
            next = self.slots.after(slot);
            let this = &mut self.slots[slot];
            let Some(key) = this.message.as_ref().and_then(|message| message.key.as_ref()) else { continue };
            let Some(gate) = self.gates.get(key).filter(|gate| gate.fresh) else { continue };
            match this.state {
                State::Sent => gate.out += 1,
                State::Ready => {
                    this.state = State::Held;
                    gate.wait(this.seq, slot);
                }
                State::Resting => {
                    gate.wait(this.seq, slot);
                    filled.push(key.clone());
                }
                State::Idle | State::Queued | State::Held | State::Failed | State::Owed => {}
            }
        }
        for owed in &self.owed {
            if let Some(gate) = owed.key.as_ref().and_then(|key| self.gates.get(key)).filter(|gate| gate.fresh) {
                gate.out += 1;
            }
        }
        for key in &filled {
            if let Some(gate) = self.gates.get(key) {
                gate.fresh = false;
            }
        }
        self.outbox.retain(|slot| self.slots[slot].state == State::Ready);
    }

    // --- the gate ------------------------------------------------------------------------------------------------

    /// A message of this key that was let out is so no more.
    fn out_ended(&mut self, key: &Key, now: Moment) {
        let Some(gate) = self.gates.get(key) else { return };
        gate.out -= 1;
        self.release(key, now);
    }

    /// Lets out what may go: nothing while earlier messages of the key are out, since one that fails could be
    /// overtaken.
    fn release(&mut self, key: &Key, now: Moment) {
        let one_at_a_time = self.gates.mode == Gating::OneAtATime;
        let Some(gate) = self.gates.get(key) else { return };
        if gate.out > 0 {
            return;
        }
        while let Some((seq, slot)) = gate.front() {
            let this = &mut self.slots[slot];
            if this.state == State::Resting && this.not_before > now {
                break;
            }
            gate.pop();
            this.state = State::Ready;
            self.outbox.insert(seq, slot);
            gate.out += 1;
            if one_at_a_time {
                break;
            }
        }
        if gate.front().is_none() && (gate.out == 0 || !one_at_a_time) {
            self.gates.remove(key);
        }
    }

    /// Takes a message that is not with the producer from wherever it waits.
    fn withdraw(&mut self, slot: u32) -> bool {
        let this = &self.slots[slot];
        let key = this.message.as_ref().and_then(|message| message.key.as_ref());
        let key = key.filter(|_| self.gates.mode != Gating::None);
        match this.state {
            State::Ready => {
                self.outbox.remove(this.seq);
                true
            }
            State::Held | State::Resting => {
                if let Some(gate) = key.and_then(|key| self.gates.get(key)) {
                    gate.remove(this.seq);
                }
                false
            }
            State::Sent => true,
            State::Idle | State::Queued | State::Failed | State::Owed => false,
        }
    }

    // --- resolving -----------------------------------------------------------------------------------------------

    /// Ends a message that is not confirmed: Rejected, unless an attempt ended unknown.
    fn fail(&mut self, slot: u32, error: Error) {
        let unsure = self.slots[slot].unsure;
        self.fail_as(slot, error, unsure);
    }

    fn fail_as(&mut self, slot: u32, error: Error, unknown: bool) {
        let Some(message) = self.slots[slot].message.take() else { return };
        if let Some(hook) = &self.config.hook_failed {
            let (channel, id, error) = (&self.config.channel, &message.id, &error);
            hook.on_event(&Event::PublishFailed { channel, id, error, resend_in: None });
        }
        let message = Box::new(message);
        let outcome = if unknown {
            self.stats.unknown += 1;
            PublishError::Unknown { error, message }
        } else {
            self.stats.rejected += 1;
            PublishError::Rejected { error, message }
        };
        self.deliver(slot, Err(outcome));
    }

    /// Hands the outcome to its owner and frees what the message held.
    #[inline]
    fn deliver(&mut self, slot: u32, outcome: Outcome) {
        self.slots.unlink(slot);
        let this = &self.slots[slot];
        if this.state == State::Owed {
            self.tell(slot, outcome);
        } else {
            self.room.give(this.weight);
            self.hand_over(slot, outcome);
        }
    }

    #[inline]
    fn hand_over(&mut self, slot: u32, outcome: Outcome) {
        self.slots[slot].state = State::Idle;
        self.tell(slot, outcome);
    }

    #[inline]
    fn tell(&mut self, slot: u32, outcome: Outcome) {
        let this = &mut self.slots[slot];
        match &mut this.owner {
            Owner::One(waker) | Owner::Entering(waker) => {
                self.woken.extend(waker.take());
                this.outcome = Some(outcome);
                return;
            }
            &mut Owner::Group { group, index } => {
                this.owner = Owner::Nobody;
                self.groups.resolve(group, index, outcome, &mut self.woken);
            }
            Owner::Nobody => {}
        }
        self.slots.free_if_done(slot);
    }

    /// The producer answered for a message whose owner was already told.
    fn close_owed(&mut self, slot: u32, now: &impl Fn() -> Moment) {
        let Some(place) = self.owed.iter().position(|owed| owed.slot == slot) else { return };
        let owed = self.owed.swap_remove(place);
        self.end_owed(slot);
        if let Some(key) = &owed.key {
            self.out_ended(key, now());
        }
    }

    fn end_owed(&mut self, slot: u32) {
        self.slots[slot].state = State::Idle;
        self.room.give(self.slots[slot].weight);
        self.slots.free_if_done(slot);
    }

    // --- owners --------------------------------------------------------------------------------------------------

    /// The outcome, when it is there; after that the place is gone.
    #[inline]
    pub(super) fn take(&mut self, place: Place) -> Option<Outcome> {
        if !self.slots.is(place.slot, place.seq) {
            return None;
        }
        let this = &mut self.slots[place.slot];
        let outcome = this.outcome.take()?;
        this.owner = Owner::Nobody;
        self.slots.free_if_done(place.slot);
        Some(outcome)
    }

    /// Whether a message still waits for room.
    pub(super) fn entry(&self, place: Place) -> Entry {
        if !self.slots.is(place.slot, place.seq) {
            return Entry::Refused;
        }
        let this = &self.slots[place.slot];
        match (this.state, &this.owner) {
            (State::Queued, _) => Entry::Queued,
            (_, Owner::Entering(_)) => Entry::Refused,
            _ => Entry::Accepted,
        }
    }

    /// Replaces the waker; the old one is to be dropped outside any lock.
    pub(super) fn rewake(&mut self, place: Place, waker: W) -> Option<W> {
        if !self.slots.is(place.slot, place.seq) {
            return Some(waker);
        }
        match &mut self.slots[place.slot].owner {
            Owner::One(old) | Owner::Entering(old) => old.replace(waker),
            Owner::Group { .. } | Owner::Nobody => Some(waker),
        }
    }

    /// Nobody wants the outcome any more. An accepted message goes on; one that still waits for room is not sent, and
    /// passes its turn on. The waker is to be dropped outside any lock.
    pub(super) fn detach(&mut self, place: Place) -> Option<W> {
        if !self.slots.is(place.slot, place.seq) {
            return None;
        }
        let this = &mut self.slots[place.slot];
        this.outcome = None;
        let waker = match std::mem::replace(&mut this.owner, Owner::Nobody) {
            Owner::One(waker) | Owner::Entering(waker) => waker,
            Owner::Group { .. } | Owner::Nobody => None,
        };
        if this.state == State::Queued {
            this.state = State::Idle;
            this.message = None;
            self.queue.remove(place.seq);
            self.settle_waiters();
        }
        self.slots.free_if_done(place.slot);
        waker
    }

    /// Nobody wants the outcomes of a group any more; see [`detach`](Self::detach).
    pub(super) fn abandon_group(&mut self, group: u32) -> Option<W> {
        if self.groups.queued(group) {
            let mut dropped = Vec::new();
            self.queue.retain(|slot| {
                let ours = matches!(self.slots[slot].owner, Owner::Group { group: other, .. } if other == group);
                if ours {
                    dropped.push(slot);
                }
                !ours
            });
            for slot in dropped {
                let Some(message) = self.slots[slot].message.take() else { continue };
                self.groups.entered(group, &mut self.woken);
                self.hand_over(slot, Err(PublishError::rejected(policy::closed(), message)));
            }
            self.settle_waiters();
        }
        self.groups.abandon(group)
    }

    // --- time ----------------------------------------------------------------------------------------------------

    /// Does what is due. `Err`: the producer leaves messages without an outcome for too long; it is to be given up.
    pub(super) fn tick(&mut self, now: Moment) -> Result<(), Error> {
        while let Some(first) = self.slots.first()
            && self.slots[first].deadline <= now
        {
            self.expire(first, now);
        }
        while let Some(&Reverse((due, seq, slot))) = self.resting.peek()
            && due <= now
        {
            self.resting.pop();
            if self.slots.is(slot, seq) && self.slots[slot].state == State::Resting {
                self.wake_resting(slot, now);
            }
        }
        while let Some(front) = self.queue.front()
            && self.slots[front].deadline <= now
        {
            self.refuse_front(policy::no_room());
        }
        self.settle_waiters();
        if self.owed.iter().any(|owed| owed.answer_by <= now) { Err(policy::stuck()) } else { Ok(()) }
    }

    fn wake_resting(&mut self, slot: u32, now: Moment) {
        let this = &mut self.slots[slot];
        if self.gates.mode != Gating::None
            && let Some(key) = this.message.as_ref().and_then(|message| message.key.clone())
        {
            self.release(&key, now);
        } else {
            this.state = State::Ready;
            self.outbox.insert(this.seq, slot);
        }
    }

    /// The deadline of a message passed.
    fn expire(&mut self, slot: u32, now: Moment) {
        let answer_by = self.slots[slot].submitted + self.deliver_within();
        self.give_up(slot, now, answer_by, policy::no_answer, |this, link| {
            this.last_error.clone().unwrap_or_else(|| policy::never_sent(link))
        });
    }

    /// Resolves a message by the engine's own decision.
    fn give_up(
        &mut self,
        slot: u32,
        now: Moment,
        answer_by: Moment,
        sent: impl FnOnce() -> Error,
        waiting: impl FnOnce(&Slot<W>, Option<&Error>) -> Error,
    ) {
        let key = self.slots[slot].message.as_ref().and_then(|message| message.key.clone());
        let key = key.filter(|_| self.gates.mode != Gating::None);
        if self.slots[slot].state == State::Sent {
            self.slots[slot].state = State::Owed;
            self.owed.push(Owed { slot, key, answer_by });
            self.fail_as(slot, sent(), true);
            return;
        }
        let was_out = self.withdraw(slot);
        let error = waiting(&self.slots[slot], self.link.as_ref());
        self.fail(slot, error);
        if let Some(key) = key {
            if was_out { self.out_ended(&key, now) } else { self.release(&key, now) }
        }
    }

    // --- generations ---------------------------------------------------------------------------------------------

    /// A producer stands. What its profile needs may differ from the last one's.
    pub(super) fn opened(&mut self, generation: u32, behaviour: &Behaviour) {
        self.link = None;
        self.stats.generation = generation;
        self.may_resend = self.config.resend && !behaviour.heals_and_resends;
        self.grace =
            if behaviour.heals_and_resends { policy::grace(self.config.deliver_within) } else { Duration::ZERO };
        self.gates.mode = if !self.config.channel.order.is_ordered() {
            Gating::None
        } else if behaviour.one_unresolved_per_key {
            Gating::OneAtATime
        } else {
            Gating::AfterFailure
        };
        self.route_all();
    }

    /// The producer is dead. Every message with it is unknown, and sent again in issue order where that is allowed.
    pub(super) fn lost(&mut self, error: &Error) {
        let mut next = self.slots.first();
        while let Some(slot) = next {
            next = self.slots.after(slot);
            let this = &mut self.slots[slot];
            if this.state != State::Sent {
                continue;
            }
            this.generation = this.generation.wrapping_add(1);
            this.tries += 1;
            this.unsure = true;
            this.state = State::Failed;
            this.last_error = Some(error.clone());
            let Some(message) = this.message.as_mut().filter(|_| self.may_resend) else {
                self.fail(slot, error.clone());
                continue;
            };
            message.mark_maybe_duplicate();
            self.stats.resent += 1;
            if let Some(hook) = &self.config.hook_failed {
                // How long it takes to reconnect is not known.
                let (channel, id, resend_in) = (&self.config.channel, &message.id, Some(Duration::ZERO));
                hook.on_event(&Event::PublishFailed { channel, id, error, resend_in });
            }
        }
        for owed in std::mem::take(&mut self.owed) {
            let this = &mut self.slots[owed.slot];
            this.generation = this.generation.wrapping_add(1);
            self.end_owed(owed.slot);
        }
        self.link = Some(error.clone());
        self.route_all();
        self.settle_waiters();
    }

    /// Lays everything out anew while nothing is with a producer: in issue order, backoffs cut short, since
    /// reconnecting was one.
    fn route_all(&mut self) {
        self.outbox.clear();
        self.gates.clear();
        self.resting.clear();
        let mut next = self.slots.first();
        while let Some(slot) = next {
            next = self.slots.after(slot);
            self.route(slot);
        }
    }

    /// Messages and bytes accepted.
    #[cfg(test)]
    pub(super) fn room_taken(&self) -> (usize, usize) {
        self.room.taken()
    }

    /// Whether nothing is left of anything.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.gates.is_empty()
            && self.groups.is_empty()
            && self.slots.in_use() == 0
            && self.owed.is_empty()
            && self.queue.is_empty()
            && self.outbox.is_empty()
    }

    // --- closing -------------------------------------------------------------------------------------------------

    /// Turns away everyone who waits for room.
    pub(super) fn close_queue(&mut self) {
        while !self.queue.is_empty() {
            self.refuse_front(policy::closed());
        }
    }

    /// Gives up everything unresolved; returns how many.
    pub(super) fn abandon_all(&mut self, now: Moment, error: &Error) -> usize {
        let abandoned = self.slots.unresolved();
        while let Some(first) = self.slots.first() {
            self.give_up(first, now, Moment::NEVER, || error.clone(), |_, _| error.clone());
        }
        self.close_queue();
        self.settle_waiters();
        abandoned
    }
}

/// What a producer is offered.
pub(super) struct Offer<'a, W> {
    machine: &'a mut Machine<W>,
    now: Moment,
    left: usize,
    taken: usize,
}

impl<W> Offer<'_, W> {
    /// How many were taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }
}

impl<W> BatchSource for Offer<'_, W> {
    fn len(&self) -> usize {
        self.left
    }

    fn peek(&self) -> Option<(Ticket, &Message)> {
        if self.left == 0 {
            return None;
        }
        let slot = self.machine.outbox.front()?;
        let this = &self.machine.slots[slot];
        let ticket = Ticket { slot, generation: this.generation };
        this.message.as_ref().map(|message| (ticket, message))
    }

    fn pop(&mut self) {
        if self.left == 0 {
            return;
        }
        let Some(slot) = self.machine.outbox.pop() else { return };
        let this = &mut self.machine.slots[slot];
        this.state = State::Sent;
        this.submitted = self.now;
        self.left -= 1;
        self.taken += 1;
    }
}
