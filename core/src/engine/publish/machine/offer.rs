//! What a producer is offered.

use super::super::slots::State;
use super::Machine;
use crate::driver::{BatchSource, Ticket};
use crate::{Message, Moment};

impl<W> Machine<W> {
    /// What may be sent now, at most `most` messages.
    pub(in crate::engine::publish) fn offer(&mut self, now: Moment, most: usize) -> Offer<'_, W> {
        Offer { left: most.min(self.outbox.len()), machine: self, now, taken: 0, stored: 0 }
    }
}

/// What a producer is offered.
pub(in crate::engine::publish) struct Offer<'a, W> {
    machine: &'a mut Machine<W>,
    now: Moment,
    left: usize,
    taken: usize,
    stored: usize,
}

impl<W> Offer<'_, W> {
    /// How many were taken, and how many of them stored at once.
    pub(in crate::engine::publish) fn taken(&self) -> (usize, usize) {
        (self.taken, self.stored)
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
    fn take(&mut self) -> Option<Message> {
        // A copy: should the generation die before its outcome comes, it is sent again.
        let message = self.peek().map(|(_, message)| message.clone());
        self.pop();
        self.stored += 1;
        message
    }
}
