//! What futures ask of their messages, and what follows when they are dropped.

use super::super::outcome::{Outcome, PublishError};
use super::super::policy;
use super::super::slots::{Owner, State};
use super::{Entry, Machine, Place};

impl<W> Machine<W> {
    /// The outcome, when it is there; after that the place is gone.
    #[inline]
    pub(in crate::engine::publish) fn take(&mut self, place: Place) -> Option<Outcome> {
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
    pub(in crate::engine::publish) fn entry(&self, place: Place) -> Entry {
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
    pub(in crate::engine::publish) fn rewake(&mut self, place: Place, waker: W) -> Option<W> {
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
    pub(in crate::engine::publish) fn detach(&mut self, place: Place) -> Option<W> {
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
    pub(in crate::engine::publish) fn abandon_group(&mut self, group: u32) -> Option<W> {
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
}
