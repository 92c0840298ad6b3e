//! Producers come and go.

use std::time::Duration;

use super::super::gates::Gating;
use super::super::policy;
use super::super::slots::State;
use super::Machine;
use crate::{Behaviour, Error, ErrorStatus, Event, Moment};

impl<W> Machine<W> {
    /// A producer stands. What its profile needs may differ from the last one's.
    pub(in crate::engine::publish) fn opened(&mut self, generation: u32, behaviour: &Behaviour) {
        self.link = None;
        self.stats.generation = generation;
        self.may_resend = self.config.resend && !behaviour.heals_and_resends;
        self.grace =
            if behaviour.heals_and_resends { policy::grace(self.config.deliver_within) } else { Duration::ZERO };
        self.gates.mode = if !self.config.channel.order.is_ordered() {
            Gating::None
        } else if behaviour.one_unresolved_per_key {
            Gating::OneAtATime
        } else {
            Gating::AfterFailure
        };
        self.route_all();
    }

    /// The producer is dead. Every message with it is unknown, and sent again in issue order where that is allowed.
    pub(in crate::engine::publish) fn lost(&mut self, error: &Error) {
        // Whatever the connection's own end is called: of what was sent nobody knows what became of it.
        let doubt = policy::as_status(error.clone(), ErrorStatus::Unknown);
        let mut next = self.slots.first();
        while let Some(slot) = next {
            next = self.slots.after(slot);
            let this = &mut self.slots[slot];
            if this.state != State::Sent {
                continue;
            }
            this.generation = this.generation.wrapping_add(1);
            this.tries += 1;
            this.unsure = true;
            this.state = State::Failed;
            this.last_error = Some(doubt.clone());
            let Some(message) = this.message.as_mut().filter(|_| self.may_resend) else {
                self.fail(slot, doubt.clone());
                continue;
            };
            message.mark_maybe_duplicate();
            self.stats.resent += 1;
            if let Some(hook) = &self.config.hook_failed {
                // How long it takes to reconnect is not known.
                let (channel, id, resend_in) = (&self.config.channel, &message.id, Some(Duration::ZERO));
                hook.on_event(&Event::PublishFailed { channel, id, error: &doubt, resend_in });
            }
        }
        for owed in std::mem::take(&mut self.owed) {
            let this = &mut self.slots[owed.slot];
            this.generation = this.generation.wrapping_add(1);
            self.end_owed(owed.slot);
        }
        self.link = Some(error.clone());
        self.route_all();
        self.settle_waiters();
    }

    /// Lays everything out anew while nothing is with a producer: in issue order, backoffs cut short, since
    /// reconnecting was one.
    pub(super) fn route_all(&mut self) {
        self.outbox.clear();
        self.gates.clear();
        self.resting.clear();
        let mut next = self.slots.first();
        while let Some(slot) = next {
            next = self.slots.after(slot);
            self.route(slot);
        }
    }

    /// Messages and bytes accepted.
    #[cfg(test)]
    pub(in crate::engine::publish) fn room_taken(&self) -> (usize, usize) {
        self.room.taken()
    }

    /// Whether nothing is left of anything.
    #[cfg(test)]
    pub(in crate::engine::publish) fn is_empty(&self) -> bool {
        self.gates.is_empty()
            && self.groups.is_empty()
            && self.slots.in_use() == 0
            && self.owed.is_empty()
            && self.queue.is_empty()
            && self.outbox.is_empty()
    }

    /// Turns away everyone who waits for room.
    pub(in crate::engine::publish) fn close_queue(&mut self) {
        while !self.queue.is_empty() {
            self.refuse_front(policy::closed());
        }
    }

    /// Gives up everything unresolved; returns how many.
    pub(in crate::engine::publish) fn abandon_all(&mut self, now: Moment, error: &Error) -> usize {
        let abandoned = self.slots.unresolved();
        while let Some(first) = self.slots.first() {
            self.give_up(first, now, Moment::NEVER, || error.clone(), |_, _| error.clone());
        }
        self.close_queue();
        self.settle_waiters();
        abandoned
    }
}
