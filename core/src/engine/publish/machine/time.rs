//! What time does: deadlines, resends, producers that do not answer.

use std::cmp::Reverse;

use super::super::gates::Gating;
use super::super::policy;
use super::super::slots::{Slot, State};
use super::{Machine, Owed};
use crate::{Error, Moment, Result};

impl<W> Machine<W> {
    /// Does what is due. `Err`: the producer leaves messages without an outcome for too long; it is to be given up.
    pub(in crate::engine::publish) fn tick(&mut self, now: Moment) -> Result<(), Error> {
        // Issue order is the order of deadlines, to within the skew of several threads' clock reads.
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

    pub(super) fn wake_resting(&mut self, slot: u32, now: Moment) {
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
    pub(super) fn expire(&mut self, slot: u32, now: Moment) {
        let answer_by = self.slots[slot].submitted + self.deliver_within();
        self.give_up(slot, now, answer_by, policy::no_answer, |this, link| {
            this.last_error.clone().unwrap_or_else(|| policy::never_sent(link))
        });
    }

    /// Resolves a message by the engine's own decision.
    pub(super) fn give_up(
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
}
