//! Where accepted messages live: a slab, threaded by the list of the unresolved in issue order.

use super::outcome::Outcome;
use crate::driver::Ticket;
use crate::{Error, Message, Moment};

/// How many slots are kept empty for the tickets of direct messages.
pub(super) const DIRECT_BLOCK: u32 = 128;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nowhere: resolved, or the slot is free.
    Idle,
    /// Issued, and waiting for room: not accepted yet.
    Queued,
    /// In the outbox: may be sent.
    Ready,
    /// Waiting behind earlier messages of its key.
    Held,
    /// Waiting out its backoff before it is sent again.
    Resting,
    /// With the producer, which owes an outcome.
    Sent,
    /// An attempt just failed; what follows is being decided.
    Failed,
    /// Resolved for its owner at the deadline; the producer still owes an outcome, so its room stays taken.
    Owed,
}

/// Who is told the outcome.
#[derive(Debug)]
pub(super) enum Owner<W> {
    /// Nobody.
    Nobody,
    /// One future, which takes it from the slot.
    One(Option<W>),
    /// One future that waits only for room; then it becomes `One`.
    Entering(Option<W>),
    /// A group, at this place.
    Group { group: u32, index: u32 },
}

#[derive(Debug)]
pub(super) struct Slot<W> {
    pub message: Option<Message>,
    pub outcome: Option<Outcome>,
    pub owner: Owner<W>,
    /// Where it is in the slab.
    pub index: u32,
    /// The issue number: unique for ever, so that it names this use of the slot.
    pub seq: u64,
    pub deadline: Moment,
    pub submitted: Moment,
    pub not_before: Moment,
    pub weight: usize,
    /// Of the ticket: moves on when an attempt ends.
    pub generation: u32,
    pub tries: u32,
    pub state: State,
    /// An attempt ended unknown: it can no longer be Rejected.
    pub unsure: bool,
    pub last_error: Option<Error>,
    previous: u32,
    next: u32,
}

impl<W> Slot<W> {
    fn empty(index: u32) -> Self {
        Slot {
            message: None,
            outcome: None,
            owner: Owner::Nobody,
            index,
            seq: 0,
            deadline: Moment::ZERO,
            submitted: Moment::ZERO,
            not_before: Moment::ZERO,
            weight: 0,
            generation: 0,
            tries: 0,
            state: State::Idle,
            unsure: false,
            last_error: None,
            previous: NONE,
            next: NONE,
        }
    }
}

/// The slab.
#[derive(Debug)]
pub(super) struct Slots<W> {
    all: Vec<Slot<W>>,
    /// Free slots, linked by `next`: last freed, first used, while it is still in the cache.
    free: u32,
    first: u32,
    last: u32,
    unresolved: usize,
    /// Slots kept empty.
    reserved: usize,
}

impl<W> Slots<W> {
    pub(super) fn new() -> Self {
        Slots { all: Vec::new(), free: NONE, first: NONE, last: NONE, unresolved: 0, reserved: 0 }
    }

    /// Takes a message in. It comes by reference so that it moves once, and not through every function's frame.
    #[inline]
    pub(super) fn insert(&mut self, message: &mut Option<Message>, owner: Owner<W>, seq: u64) -> &mut Slot<W> {
        if self.free == NONE {
            self.free = self.all.len() as u32;
            self.all.push(Slot::empty(self.free));
        }
        let index = self.free;
        self.free = self[index].next;
        self.fill(index, message, owner, seq)
    }

    /// The same, into a slot that is not in the list of free ones.
    #[inline]
    pub(super) fn fill(
        &mut self,
        index: u32,
        message: &mut Option<Message>,
        owner: Owner<W>,
        seq: u64,
    ) -> &mut Slot<W> {
        let slot = &mut self[index];
        slot.state = State::Queued;
        debug_assert!(slot.message.is_none());
        std::mem::swap(&mut slot.message, message);
        slot.owner = owner;
        slot.seq = seq;
        slot.tries = 0;
        slot.unsure = false;
        slot
    }

    /// A block of [`DIRECT_BLOCK`] slots that nothing else uses; the first.
    pub(super) fn reserve(&mut self) -> u32 {
        let first = self.all.len() as u32;
        self.all.extend((first..first + DIRECT_BLOCK).map(Slot::empty));
        self.reserved += DIRECT_BLOCK as usize;
        first
    }

    /// Of a reserved block the first `filled` are in use now, and the others free; none of their tickets names them.
    pub(super) fn unreserve(&mut self, first: u32, filled: u32, generation: u32) {
        self.reserved -= DIRECT_BLOCK as usize;
        for index in (first + filled..first + DIRECT_BLOCK).rev() {
            self[index].seq = u64::MAX;
            self[index].generation = generation.wrapping_add(1);
            self[index].next = self.free;
            self.free = index;
        }
    }

    /// Puts an accepted message at the end of the unresolved list.
    #[inline]
    pub(super) fn link(&mut self, index: u32) {
        let last = self.last;
        let slot = &mut self[index];
        slot.previous = last;
        slot.next = NONE;
        if last == NONE {
            self.first = index;
        } else {
            self[last].next = index;
        }
        self.last = index;
        self.unresolved += 1;
    }

    /// Takes a message that was resolved off the list.
    #[inline]
    pub(super) fn unlink(&mut self, index: u32) {
        let (previous, next) = (self[index].previous, self[index].next);
        if previous == NONE {
            self.first = next;
        } else {
            self[previous].next = next;
        }
        if next == NONE {
            self.last = previous;
        } else {
            self[next].previous = previous;
        }
        self.unresolved -= 1;
    }

    /// Gives the slot back when nobody needs it any more.
    #[inline]
    pub(super) fn free_if_done(&mut self, index: u32) {
        let free = self.free;
        let slot = &mut self[index];
        if slot.state == State::Idle && matches!(slot.owner, Owner::Nobody) {
            // A stale name of this use must not find the slot.
            slot.seq = u64::MAX;
            slot.outcome = None;
            slot.last_error = None;
            slot.next = free;
            self.free = index;
        }
    }

    /// The slot that this ticket names, while its outcome is owed.
    #[inline]
    pub(super) fn owing(&mut self, ticket: Ticket) -> Option<&mut Slot<W>> {
        let slot = self.all.get_mut(ticket.slot as usize)?;
        (slot.generation == ticket.generation && matches!(slot.state, State::Sent | State::Owed)).then_some(slot)
    }

    /// The oldest unresolved message.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// The unresolved message issued after this one.
    pub(super) fn after(&self, index: u32) -> Option<u32> {
        let next = self[index].next;
        (next != NONE).then_some(next)
    }

    /// How many are unresolved.
    pub(super) fn unresolved(&self) -> usize {
        self.unresolved
    }

    /// Slots that are not free.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        let mut free = 0;
        let mut next = self.free;
        while next != NONE {
            free += 1;
            next = self[next].next;
        }
        self.all.len() - free - self.reserved
    }

    /// Whether this use of the slot still is.
    pub(super) fn is(&self, index: u32, seq: u64) -> bool {
        self.all.get(index as usize).is_some_and(|slot| slot.seq == seq)
    }
}

impl<W> std::ops::Index<u32> for Slots<W> {
    type Output = Slot<W>;
    fn index(&self, index: u32) -> &Slot<W> {
        &self.all[index as usize]
    }
}
impl<W> std::ops::IndexMut<u32> for Slots<W> {
    fn index_mut(&mut self, index: u32) -> &mut Slot<W> {
        &mut self.all[index as usize]
    }
}
