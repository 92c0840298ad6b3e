//! When leases end: O(1) each, without a heap, since all last equally long.

use std::cmp::Reverse;

use super::slab::{NONE, Place};
use super::{State, token_of};
use crate::clock::Nanos;
use crate::wakes::Wakes;

impl State {
    /// Notes when the lease of a slot ends (its `until`).
    pub(super) fn list_lease(&mut self, slot: u32) {
        let until = self.slab.at(slot).until;
        let tail = self.leases.tail;
        let in_order = tail == NONE || self.slab.at(tail).until <= until;
        let stored = self.slab.at_mut(slot);
        stored.listed = in_order;
        if in_order {
            self.leases.push_back(&mut self.slab, slot);
        } else {
            let lease = stored.lease;
            self.irregular.push(Reverse((until, lease, slot)));
        }
    }

    pub(super) fn unlist_lease(&mut self, slot: u32) {
        if std::mem::take(&mut self.slab.at_mut(slot).listed) {
            self.leases.unlink(&mut self.slab, slot);
        }
    }

    /// Gives a lease another end.
    pub(super) fn extend_lease(&mut self, slot: u32, until: Nanos, wakes: &mut Wakes) {
        self.unlist_lease(slot);
        self.slab.at_mut(slot).until = until;
        self.list_lease(slot);
        self.wake_for_alarm(wakes);
    }

    /// Takes back what was out too long.
    pub(super) fn end_leases(&mut self, now: Nanos, wakes: &mut Wakes) {
        while self.leases.head != NONE && self.slab.at(self.leases.head).until <= now {
            self.end_lease(self.leases.head, wakes);
        }
        while let Some(&Reverse((at, lease, slot))) = self.irregular.peek() {
            let valid = self
                .slab
                .get(slot)
                .is_some_and(|s| s.place == Place::Out && s.lease == lease && !s.listed && s.until == at);
            if valid && at > now {
                break;
            }
            self.irregular.pop();
            if valid {
                self.end_lease(slot, wakes);
            }
        }
    }

    /// Ends one lease: the message goes back to its place, counted as delivered, and its consumer is told.
    pub(super) fn end_lease(&mut self, slot: u32, wakes: &mut Wakes) {
        let stored = self.slab.at(slot);
        let (token, holder) = (token_of(slot, stored.lease), stored.holder);
        self.totals.lost += 1;
        self.give_back(slot, wakes);
        if let Some(consumer) = self.consumers.at_mut(holder) {
            consumer.lost.push(token);
        }
        self.wake_consumer(holder, wakes);
    }

    /// Ends the `nth` lease (of [`State::leases`] many) early.
    pub(crate) fn end_nth_lease(&mut self, nth: usize, wakes: &mut Wakes) {
        if let Some(&slot) = self.leased_slots().get(nth) {
            self.end_lease(slot, wakes);
            self.wake_ready(wakes);
        }
    }

    /// How many leases there are.
    pub(crate) fn leases(&self) -> usize {
        self.out
    }

    /// Everything that is out, in no order.
    pub(super) fn leased_slots(&self) -> Vec<u32> {
        let mut found = Vec::with_capacity(self.out);
        let mut at = self.leases.head;
        while at != NONE {
            found.push(at);
            at = self.slab.at(at).next;
        }
        found.extend(self.irregular.iter().filter_map(|Reverse((until, lease, slot))| {
            let stored = self.slab.get(*slot)?;
            let valid =
                stored.place == Place::Out && stored.lease == *lease && !stored.listed && stored.until == *until;
            valid.then_some(*slot)
        }));
        found
    }
}
