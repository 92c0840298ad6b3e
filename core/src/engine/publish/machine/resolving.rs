//! How a message ends: outcome, owner, room.

use super::super::outcome::{Outcome, PublishError};
use super::super::policy;
use super::super::slots::{Owner, State};
use super::Machine;
use crate::{Error, ErrorStatus, Event, Key, Moment};

impl<W> Machine<W> {
    /// Ends a message that is not confirmed: Rejected, unless an attempt ended unknown.
    pub(super) fn fail(&mut self, slot: u32, error: Error) {
        let unsure = self.slots[slot].unsure;
        self.fail_as(slot, error, unsure);
    }

    pub(super) fn fail_as(&mut self, slot: u32, error: Error, unknown: bool) {
        let Some(message) = self.slots[slot].message.take() else { return };
        if let Some(hook) = &self.config.hook_failed {
            let (channel, id, error) = (&self.config.channel, &message.id, &error);
            hook.on_event(&Event::PublishFailed { channel, id, error, resend_in: None });
        }
        let message = Box::new(message);
        let outcome = if unknown {
            self.stats.unknown += 1;
            PublishError::Unknown { error: policy::as_status(error, ErrorStatus::Unknown), message }
        } else {
            self.stats.rejected += 1;
            PublishError::Rejected { error, message }
        };
        self.deliver(slot, Err(outcome));
    }

    /// Hands the outcome to its owner and frees what the message held.
    #[inline]
    pub(super) fn deliver(&mut self, slot: u32, outcome: Outcome) {
        self.slots.unlink(slot);
        let this = &self.slots[slot];
        if this.state == State::Owed {
            self.tell(slot, outcome);
        } else {
            self.room.give(this.weight);
            self.hand_over(slot, outcome);
        }
    }

    #[inline]
    pub(super) fn hand_over(&mut self, slot: u32, outcome: Outcome) {
        self.slots[slot].state = State::Idle;
        self.tell(slot, outcome);
    }

    #[inline]
    pub(super) fn tell(&mut self, slot: u32, outcome: Outcome) {
        let this = &mut self.slots[slot];
        match &mut this.owner {
            Owner::One(waker) | Owner::Entering(waker) => {
                self.woken.extend(waker.take());
                this.outcome = Some(outcome);
                return;
            }
            &mut Owner::Group { group, index } => {
                this.owner = Owner::Nobody;
                self.groups.resolve(group, index, outcome, &mut self.woken);
            }
            Owner::Nobody => {}
        }
        self.slots.free_if_done(slot);
    }

    /// The producer answered for a message whose owner was already told. Gives back its key.
    pub(super) fn close_owed(&mut self, slot: u32, now: &impl Fn() -> Moment) -> Option<Key> {
        let place = self.owed.iter().position(|owed| owed.slot == slot)?;
        let owed = self.owed.swap_remove(place);
        self.end_owed(slot);
        if let Some(key) = &owed.key {
            self.out_ended(key, now());
        }
        owed.key
    }

    pub(super) fn end_owed(&mut self, slot: u32) {
        self.slots[slot].state = State::Idle;
        self.room.give(self.slots[slot].weight);
        self.slots.free_if_done(slot);
    }
}
