//! What may be handed out next: priorities, order per key, places that are kept.

use std::cmp::Reverse;

use pontoon_core::driver::{Inbox, Incoming};
use pontoon_core::{BrokerId, Order};

use super::consumers::ConsumerId;
use super::slab::{NONE, Place};
use super::{KEY, State, token_of};
use crate::clock::{Nanos, Now};
use crate::wakes::Wakes;

impl State {
    /// A new message that is ready goes to the end.
    pub(super) fn enqueue_new(&mut self, slot: u32, wakes: &mut Wakes) {
        let stored = self.slab.at(slot);
        let (key, rank, seq) = (stored.key, stored.rank, stored.seq);
        if key != NONE {
            self.keys.at_mut(key).waiting.push_back(&mut self.slab, slot);
            self.offer(key, wakes);
        } else if rank == u8::MAX {
            self.fifo.push_back(slot);
        } else {
            self.sorted.insert((rank, seq), slot);
        }
    }

    /// A message takes its place by its sequence.
    pub(super) fn enqueue_in_place(&mut self, slot: u32, wakes: &mut Wakes) {
        let stored = self.slab.at(slot);
        let (key, rank, seq) = (stored.key, stored.rank, stored.seq);
        if key == NONE {
            self.sorted.insert((rank, seq), slot);
        } else {
            self.keys.at_mut(key).waiting.insert_by_seq(&mut self.slab, slot);
            self.offer(key, wakes);
        }
    }

    /// Holds a message back until it is due: in its place, so that its key waits with it, or beside.
    pub(super) fn hold_back(&mut self, slot: u32, due: Nanos, blocks: bool, wakes: &mut Wakes) {
        let stored = self.slab.at_mut(slot);
        stored.until = due;
        stored.place = if blocks { Place::Blocked } else { Place::Delayed };
        let (uid, key) = (stored.uid, stored.key);
        self.held_back += 1;
        self.held.push(Reverse((due, uid, slot)));
        if blocks {
            self.keys.at_mut(key).waiting.insert_by_seq(&mut self.slab, slot);
        }
        self.wake_for_alarm(wakes);
    }

    /// A held message is due.
    pub(super) fn become_due(&mut self, slot: u32, uid: u64, wakes: &mut Wakes) {
        let never_delivered = match self.slab.get(slot) {
            Some(s) if s.uid == uid && s.place == Place::Blocked => {
                let key = s.key;
                self.slab.at_mut(slot).place = Place::Ready;
                self.held_back -= 1;
                self.ready += 1;
                return self.offer(key, wakes);
            }
            Some(s) if s.uid == uid && s.place == Place::Delayed => s.deliveries == 0,
            _ => return,
        };
        self.held_back -= 1;
        self.ready += 1;
        self.slab.at_mut(slot).place = Place::Ready;
        if never_delivered {
            // Published with a delay: its place is where it becomes due.
            let seq = self.take_seq();
            self.slab.at_mut(slot).seq = seq;
            self.enqueue_new(slot, wakes);
        } else {
            self.enqueue_in_place(slot, wakes);
        }
    }

    /// A handed-out message failed: it comes back when it is due.
    pub(super) fn retry_later(&mut self, slot: u32, due: Option<Nanos>, wakes: &mut Wakes) {
        let key = self.slab.at(slot).key;
        if self.rules.order == Order::FallBehind {
            let seq = self.take_seq();
            self.slab.at_mut(slot).seq = seq;
        }
        match due {
            None => {
                self.ready += 1;
                self.slab.at_mut(slot).place = Place::Ready;
                self.enqueue_in_place(slot, wakes);
            }
            Some(due) => {
                let blocks = key != NONE && matches!(self.rules.order, Order::Block { .. });
                self.hold_back(slot, due, blocks, wakes);
            }
        }
    }

    /// Puts a key where those look that may have its next message.
    pub(super) fn offer(&mut self, key: u32, wakes: &mut Wakes) {
        let Some(state) = self.keys.get_mut(key) else { return };
        if state.waiting.head == NONE || self.slab.at(state.waiting.head).place != Place::Ready {
            return;
        }
        if state.out == 0 {
            if !state.queued {
                state.queued = true;
                self.fifo.push_back(key | KEY);
            }
        } else if state.out < self.rules.key_window && state.laned_to != state.holder {
            let holder = state.holder;
            state.laned_to = holder;
            if let Some(consumer) = self.consumers.at_mut(holder) {
                consumer.lanes.push_back(key);
                self.wake_consumer(holder, wakes);
            }
        }
    }

    /// The next message for this consumer, taken out of its list.
    fn next_for(&mut self, id: ConsumerId) -> Option<u32> {
        loop {
            let Some(&entry) = self.fifo.front() else {
                if let Some((_, slot)) = self.sorted.pop_first() {
                    return Some(slot);
                }
                return self.next_of_lanes(id);
            };
            let first = if entry & KEY == 0 {
                entry
            } else {
                match self.keys.get(entry & !KEY) {
                    Some(state) if state.out == 0 => state.waiting.head,
                    _ => NONE,
                }
            };
            let usable = first != NONE && self.slab.at(first).place == Place::Ready;
            if usable
                && let Some((&(rank, seq), _)) = self.sorted.first_key_value()
                && (rank, seq) < (u8::MAX, self.slab.at(first).seq)
            {
                return self.sorted.pop_first().map(|(_, slot)| slot);
            }
            self.fifo.pop_front();
            if entry & KEY != 0
                && let Some(state) = self.keys.get_mut(entry & !KEY)
            {
                state.queued = false;
                if usable {
                    state.waiting.unlink(&mut self.slab, first);
                }
            }
            if usable {
                return Some(first);
            }
        }
    }

    /// The next message of a key that this consumer holds.
    fn next_of_lanes(&mut self, id: ConsumerId) -> Option<u32> {
        loop {
            let key = self.consumers.get_mut(id)?.lanes.pop_front()?;
            let Some(state) = self.keys.get_mut(key) else { continue };
            if state.laned_to == id.at {
                state.laned_to = NONE;
            }
            let head = state.waiting.head;
            let mine = state.out > 0 && state.holder == id.at && state.out < self.rules.key_window;
            if mine && head != NONE && self.slab.at(head).place == Place::Ready {
                state.waiting.unlink(&mut self.slab, head);
                return Some(head);
            }
        }
    }

    /// Hands out up to `max` messages; says how many.
    pub(super) fn hand_out(
        &mut self,
        id: ConsumerId,
        max: usize,
        now: &mut Now,
        into: &mut Inbox,
        wakes: &mut Wakes,
    ) -> usize {
        let mut given = 0;
        while given < max {
            let Some(slot) = self.next_for(id) else { break };
            let now = now.get();
            let lease = self.next_lease;
            self.next_lease += 1;
            let stored = self.slab.at_mut(slot);
            stored.place = Place::Out;
            stored.lease = lease;
            stored.until = now.saturating_add(self.rules.lease);
            stored.holder = id.at;
            if stored.deliveries == 0 {
                // What was handed over in time keeps its chances; what was released was not.
                stored.expired = stored.expires <= now;
            }
            stored.deliveries = stored.deliveries.saturating_add(1);
            let stored = self.slab.at(slot);
            let key = stored.key;
            // Made where it is handed over: a message that moves through a variable costs as much as finding it.
            into.message(Incoming {
                token: token_of(slot, lease),
                message: self.slab.message(slot).clone(),
                broker_id: BrokerId::Number(stored.uid),
                deliveries: Some(stored.deliveries),
                failures: stored.failures,
                undecodable: None,
                expired: stored.expired,
            });
            self.list_lease(slot);
            self.ready -= 1;
            self.out += 1;
            given += 1;
            if key != NONE {
                let state = self.keys.at_mut(key);
                state.out += 1;
                state.holder = id.at;
                if self.rules.key_window > 1 {
                    self.offer(key, wakes);
                }
            }
        }
        if let Some(consumer) = self.consumers.get_mut(id) {
            consumer.outstanding += given;
        }
        self.totals.delivered += given as u64;
        given
    }

    /// A message is no longer out: its key may go on.
    pub(super) fn no_longer_out(&mut self, slot: u32) -> u32 {
        self.unlist_lease(slot);
        self.out -= 1;
        let stored = self.slab.at_mut(slot);
        let (key, holder) = (stored.key, std::mem::replace(&mut stored.holder, NONE));
        stored.lease = 0;
        if key != NONE {
            self.keys.at_mut(key).out -= 1;
        }
        if let Some(consumer) = self.consumers.at_mut(holder) {
            consumer.outstanding -= 1;
        }
        holder
    }

    /// A message that was out takes its place again.
    pub(super) fn give_back(&mut self, slot: u32, wakes: &mut Wakes) {
        self.no_longer_out(slot);
        self.ready += 1;
        self.slab.at_mut(slot).place = Place::Ready;
        self.enqueue_in_place(slot, wakes);
    }

    /// Removes a message that is not out.
    pub(super) fn remove_waiting(&mut self, slot: u32, wakes: &mut Wakes) {
        let stored = self.slab.at_mut(slot);
        let (place, key, rank, seq) = (stored.place, stored.key, stored.rank, stored.seq);
        match place {
            Place::Ready => self.ready -= 1,
            Place::Delayed | Place::Blocked => self.held_back -= 1,
            Place::Out | Place::Removed | Place::Free => return,
        }
        if key != NONE {
            if place != Place::Delayed {
                self.keys.at_mut(key).waiting.unlink(&mut self.slab, slot);
            }
            self.forget(slot, wakes);
            self.offer(key, wakes);
        } else if place == Place::Delayed || self.sorted.remove(&(rank, seq)).is_some() {
            self.forget(slot, wakes);
        } else {
            // Its number stands in `fifo`: the slot is kept until that is compacted, the message is not.
            let stored = self.slab.at_mut(slot);
            stored.place = Place::Removed;
            self.bytes -= u64::from(std::mem::take(&mut stored.weight));
            self.slab.drop_message(slot);
            self.wake_room(wakes);
        }
    }
}
