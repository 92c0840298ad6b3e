//! What came back from the producer, and what follows from it.

use std::cmp::Reverse;

use super::super::gates::Gating;
use super::super::policy;
use super::super::slots::State;
use super::Machine;
use crate::driver::Ticket;
use crate::{Error, ErrorStatus, Event, Key, Moment, PublishOutcome, Receipt, Rejection};

/// How an attempt failed.
pub(super) enum Failure {
    TryAgain(Error),
    Unknown(Error),
    Refused(Error),
}

impl<W> Machine<W> {
    /// Takes outcomes from the producer of the current generation. The time is asked for only when needed.
    pub(in crate::engine::publish) fn complete(
        &mut self,
        outcomes: &mut Vec<(Ticket, PublishOutcome)>,
        now: impl Fn() -> Moment,
    ) {
        let mut broken = Vec::new();
        for (ticket, outcome) in outcomes.drain(..) {
            let Some(slot) = self.slots.owing(ticket) else {
                self.stats.late_completions += 1;
                continue;
            };
            slot.generation = slot.generation.wrapping_add(1);
            if slot.state == State::Owed {
                let key = self.close_owed(ticket.slot, &now);
                if matches!(outcome, PublishOutcome::Unknown(_) | PublishOutcome::Rejected(Rejection::TryAgain(_))) {
                    broken.extend(key);
                }
                continue;
            }
            let failure = match outcome {
                PublishOutcome::Confirmed(receipt) => {
                    self.confirm(ticket.slot, receipt, &now);
                    continue;
                }
                PublishOutcome::Rejected(Rejection::TryAgain(error)) => {
                    Failure::TryAgain(policy::as_status(error, ErrorStatus::Temporary))
                }
                PublishOutcome::Rejected(Rejection::Refused(error)) => {
                    Failure::Refused(policy::as_status(error, ErrorStatus::Permanent))
                }
                PublishOutcome::Unknown(error) => Failure::Unknown(error),
            };
            slot.state = State::Failed;
            self.failed.push((ticket.slot, failure));
        }
        if !self.failed.is_empty() || !broken.is_empty() {
            self.decide_failures(broken, now());
        }
        self.settle_waiters();
    }

    /// After anything was resolved: whoever waited for it.
    #[inline]
    pub(in crate::engine::publish) fn settle_waiters(&mut self) {
        self.grant();
        let oldest = self.slots.first().map(|first| self.slots[first].seq);
        self.flushes.advance(oldest, &mut self.woken);
    }

    #[inline]
    pub(super) fn confirm(&mut self, slot: u32, receipt: Receipt, now: &impl Fn() -> Moment) {
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
    pub(super) fn overtake(&mut self, key: &Key, seq: u64) {
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
    /// between them. Of the keys in `broken`, a message failed whose owner was told before.
    ///
    /// Where messages are pipelined, a failure closes the gate of its key, also when the message itself is not sent
    /// again: those sent behind it fail too, as their answers will tell, and what was not sent yet must not pass them.
    pub(super) fn decide_failures(&mut self, broken: Vec<Key>, now: Moment) {
        let mut failed = std::mem::take(&mut self.failed);
        let mut touched = broken;
        let closes = self.may_resend && self.gates.mode == Gating::AfterFailure;
        let mut any_fresh = closes && !touched.is_empty();
        if closes {
            touched.iter().for_each(|key| self.gates.get_or_make(key).count_anew());
        }
        for (slot, failure) in &mut failed {
            let slot = *slot;
            let again = self.after_failure(slot, failure, now);
            let closes = closes && !matches!(failure, Failure::Refused(_));
            let this = &mut self.slots[slot];
            let key = this.message.as_ref().and_then(|message| message.key.as_ref());
            let key = key.filter(|_| self.gates.mode != Gating::None);
            if let Some(key) = key {
                if closes {
                    self.gates.get_or_make(key).count_anew();
                    any_fresh = true;
                } else if let Some(gate) = self.gates.get(key).filter(|gate| !gate.fresh) {
                    gate.out -= 1;
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
            self.fill_fresh_gates(&touched);
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
    pub(super) fn after_failure(&mut self, slot: u32, failure: &mut Failure, now: Moment) -> bool {
        let this = &mut self.slots[slot];
        this.tries += 1;
        let error = match failure {
            Failure::Refused(_) => return false,
            Failure::TryAgain(error) => error,
            Failure::Unknown(error) => {
                this.unsure = true;
                if error.status() != ErrorStatus::Unknown {
                    *error = error.clone().with_status(ErrorStatus::Unknown);
                }
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

    /// Gates of `keys` that were just closed learn what of their keys is out and what waits, and call back what was let
    /// out but not sent yet.
    pub(super) fn fill_fresh_gates(&mut self, keys: &[Key]) {
        let mut next = self.slots.first();
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
                State::Held | State::Resting => gate.wait(this.seq, slot),
                State::Idle | State::Queued | State::Failed | State::Owed => {}
            }
        }
        for owed in &self.owed {
            if let Some(gate) = owed.key.as_ref().and_then(|key| self.gates.get(key)).filter(|gate| gate.fresh) {
                gate.out += 1;
            }
        }
        for key in keys {
            if let Some(gate) = self.gates.get(key) {
                gate.fresh = false;
            }
        }
        self.outbox.retain(|slot| self.slots[slot].state == State::Ready);
    }
}
