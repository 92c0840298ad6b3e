//! How messages get in: issued, waiting for room, accepted, routed.

use super::super::gates::Gating;
use super::super::outcome::PublishError;
use super::super::slots::{Owner, State};
use super::{Machine, Place};
use crate::{Error, Message, Moment};

impl<W> Machine<W> {
    /// Issues the message. It is accepted at once when there is room and nobody waits for it; else it waits its turn.
    #[inline]
    pub(in crate::engine::publish) fn issue(
        &mut self,
        message: &mut Option<Message>,
        deadline: Moment,
        owner: Owner<W>,
    ) -> Place {
        let seq = self.next_seq;
        self.next_seq += 1;
        let weight = message.as_ref().map_or(0, Message::weight);
        let this = self.slots.insert(message, owner, seq);
        this.deadline = deadline;
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
    pub(super) fn accept(&mut self, slot: u32) {
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
    pub(super) fn grant(&mut self) {
        while let Some(slot) = self.queue.front()
            && self.room.take(self.slots[slot].weight)
        {
            self.queue.pop();
            self.accept(slot);
        }
    }

    /// Turns away a message at the front of the queue.
    pub(super) fn refuse_front(&mut self, error: Error) {
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
    pub(super) fn route(&mut self, slot: u32) {
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
}
