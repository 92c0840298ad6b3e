//! Where stored messages lie: a slab with a free list, and the two lists that run through it.

use pontoon_core::Message;

use super::pages::Pages;
use crate::clock::Nanos;

/// No slot, no key, no consumer.
pub(super) const NONE: u32 = u32::MAX;
/// An emptied slab larger than this gives its memory back.
const KEEP: usize = 1 << 16;

/// Where a stored message is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Waits for a consumer, possibly behind others of its key.
    Ready,
    /// Held back beside its key: it takes its place when it is due.
    Delayed,
    /// Held back in its place: its key waits with it.
    Blocked,
    /// Handed out.
    Out,
    /// Removed, within a purge or retirement that has not yet freed the slot.
    Removed,
    /// The slot holds nothing.
    Free,
}

/// What we know about one stored message.
#[derive(Debug)]
pub(super) struct Stored {
    /// What we call it; unique in the queue.
    pub(super) uid: u64,
    /// Its place in the order.
    pub(super) seq: u64,
    /// The lease it is out under; no two leases of a queue have the same.
    pub(super) lease: u64,
    /// When its lease ends (out) or when it is due (delayed, blocked).
    pub(super) until: Nanos,
    /// When its TTL ends.
    pub(super) expires: Nanos,
    /// When the channel's retention removes it.
    pub(super) retires: Nanos,
    pub(super) deliveries: u32,
    pub(super) failures: u32,
    pub(super) weight: u32,
    pub(super) key: u32,
    pub(super) holder: u32,
    /// Neighbours in its key's waiting list, or in the list of leases.
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) place: Place,
    /// 255 − priority: small goes first.
    pub(super) rank: u8,
    /// Its TTL ended before it was handed over. Stays, or a lost lease would make it deliverable.
    pub(super) expired: bool,
    /// Whether it stands in the list of leases (else its lease ends by the heap of irregular ones).
    pub(super) listed: bool,
}

/// The messages lie apart from what is known about them: that is small and looked at often, they are large and should
/// be written once and dropped where they lie.
#[derive(Debug, Default)]
pub(super) struct Slab {
    slots: Pages<Stored>,
    messages: Pages<Option<Message>>,
    free: Vec<u32>,
}

impl Slab {
    /// Takes a message from its place into a slot.
    #[inline]
    pub(super) fn insert(&mut self, stored: Stored, message: &mut Option<Message>) -> u32 {
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = stored;
                at
            }
            None => {
                self.slots.push(stored);
                self.messages.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        // Swapped, not moved: a move goes through a variable, and a message is large.
        std::mem::swap(&mut self.messages[at], message);
        at
    }

    /// Frees a slot, and its message with it.
    pub(super) fn remove(&mut self, at: u32) {
        self.slots[at].place = Place::Free;
        self.messages[at] = None;
        self.free.push(at);
        if self.slots.len() > KEEP && self.free.len() == self.slots.len() {
            *self = Slab::default();
        }
    }

    /// Drops the message alone.
    pub(super) fn drop_message(&mut self, at: u32) {
        self.messages[at] = None;
    }

    pub(super) fn message(&self, at: u32) -> &Message {
        self.messages[at].as_ref().expect("a filled slot has its message")
    }

    /// The slot of a number that came from outside, if it holds anything.
    pub(super) fn get(&self, at: u32) -> Option<&Stored> {
        self.slots.get(at).filter(|stored| stored.place != Place::Free)
    }

    /// The slot of a number that some list of ours holds.
    pub(super) fn at(&self, at: u32) -> &Stored {
        &self.slots[at]
    }

    /// The slot of a number that some list of ours holds.
    pub(super) fn at_mut(&mut self, at: u32) -> &mut Stored {
        &mut self.slots[at]
    }

    /// How many slots there are, filled or free.
    #[cfg(test)]
    pub(super) fn extent(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Stored)> {
        let slots = self.slots.iter().enumerate().map(|(at, stored)| (at as u32, stored));
        slots.filter(|(_, stored)| stored.place != Place::Free)
    }
}

/// A doubly linked list through the slab. A slot is in one list at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: u32,
    pub(super) tail: u32,
}

impl List {
    pub(super) const EMPTY: List = List { head: NONE, tail: NONE };

    pub(super) fn push_back(&mut self, slab: &mut Slab, at: u32) {
        self.insert_after(slab, self.tail, at);
    }

    /// Puts `at` behind `before`, or at the front when that is none.
    pub(super) fn insert_after(&mut self, slab: &mut Slab, before: u32, at: u32) {
        let after = if before == NONE { self.head } else { slab.at(before).next };
        let slot = slab.at_mut(at);
        slot.prev = before;
        slot.next = after;
        if before == NONE {
            self.head = at;
        } else {
            slab.at_mut(before).next = at;
        }
        if after == NONE {
            self.tail = at;
        } else {
            slab.at_mut(after).prev = at;
        }
    }

    /// Puts `at` in its place by sequence, walking from both ends: what comes back belongs near the front, what is
    /// new near the back.
    pub(super) fn insert_by_seq(&mut self, slab: &mut Slab, at: u32) {
        let seq = slab.at(at).seq;
        let (mut front, mut back) = (self.head, self.tail);
        loop {
            if back == NONE || slab.at(back).seq < seq {
                return self.insert_after(slab, back, at);
            }
            if slab.at(front).seq > seq {
                let before = slab.at(front).prev;
                return self.insert_after(slab, before, at);
            }
            front = slab.at(front).next;
            back = slab.at(back).prev;
        }
    }

    pub(super) fn unlink(&mut self, slab: &mut Slab, at: u32) {
        let (prev, next) = (slab.at(at).prev, slab.at(at).next);
        if prev == NONE {
            self.head = next;
        } else {
            slab.at_mut(prev).next = next;
        }
        if next == NONE {
            self.tail = prev;
        } else {
            slab.at_mut(next).prev = prev;
        }
    }
}
