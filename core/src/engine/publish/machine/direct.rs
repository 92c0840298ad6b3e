//! Messages that go to the producer without ever having a slot: where it stores them at once, they never need one.
//!
//! Their tickets name a block of slots that is kept empty for them. When it takes one without storing it, all of that
//! batch move into their slots of the block and are ordinary messages from then on; the next direct messages get another
//! block.

use super::super::gates::Gating;
use super::super::slots::{DIRECT_BLOCK, Owner, State};
use super::{Machine, Place};
use crate::{Message, Moment};

/// The slots and the generation that the tickets of the next direct messages name.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::publish) struct Direct {
    pub first_slot: u32,
    pub generation: u32,
}

impl<W> Machine<W> {
    /// Whether messages may go past the slots: nothing waits before them, nothing holds keys back, nobody listens, and
    /// the producer stored at once what it took last.
    #[inline]
    pub(in crate::engine::publish) fn may_go_direct(&self) -> bool {
        self.stores_at_once
            && self.queue.is_empty()
            && self.outbox.is_empty()
            && (self.gates.mode == Gating::None || (self.gates.mode == Gating::AfterFailure && self.gates.is_empty()))
            && self.config.hook_published.is_none()
    }

    /// Whether the producer stored all it took at once.
    pub(in crate::engine::publish) fn learn(&mut self, stores_at_once: bool) {
        self.stores_at_once = stores_at_once;
    }

    /// For how many of these there is room, should their outcomes not come at once.
    #[inline]
    pub(in crate::engine::publish) fn room_for<'a>(&self, messages: impl Iterator<Item = &'a Message>) -> usize {
        self.room.fits(messages.map(Message::weight))
    }

    /// Names for the next direct messages, [`DIRECT_BLOCK`] at most.
    #[inline]
    pub(in crate::engine::publish) fn next_direct(&mut self) -> Direct {
        let direct = self.direct.get_or_insert_with(|| Direct { first_slot: self.slots.reserve(), generation: 0 });
        direct.generation = direct.generation.wrapping_add(1);
        *direct
    }

    /// So many direct messages were confirmed at once.
    #[inline]
    pub(in crate::engine::publish) fn confirmed_directly(&mut self, count: usize) {
        self.next_seq += count as u64;
        self.stats.accepted += count as u64;
        self.stats.confirmed += count as u64;
    }

    /// Not all were stored at once: each that was taken becomes an ordinary message that was sent under its ticket.
    pub(in crate::engine::publish) fn adopt(
        &mut self,
        direct: Direct,
        messages: &mut [Option<Message>],
        mut owner: impl FnMut(&mut Self, Place) -> Owner<W>,
        deadline: Moment,
        now: Moment,
    ) {
        for (message, slot) in messages.iter_mut().zip(direct.first_slot..) {
            let place = Place { slot, seq: self.next_seq };
            let owner = match owner(self, place) {
                Owner::Entering(_) => Owner::One(None),
                other => other,
            };
            // One that was stored is confirmed next.
            let mut message = Some(message.take().unwrap_or_else(|| Message::new("")));
            let weight = message.as_ref().map_or(0, Message::weight);
            let seq = self.next_seq;
            self.next_seq += 1;
            let this = self.slots.fill(slot, &mut message, owner, seq);
            this.deadline = deadline;
            this.weight = weight;
            this.generation = direct.generation;
            this.submitted = now;
            this.state = State::Sent;
            // They were with the producer already: there is no waiting for room any more.
            self.room.take_anyway(weight);
            self.stats.accepted += 1;
            self.slots.link(slot);
        }
        self.slots.unreserve(direct.first_slot, messages.len() as u32, direct.generation);
        self.direct = None;
        self.stores_at_once = false;
        debug_assert!(messages.len() <= DIRECT_BLOCK as usize);
    }
}
