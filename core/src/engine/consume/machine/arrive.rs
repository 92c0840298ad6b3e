//! What arrives: messages, revocations, lost leases and connections.

use super::hand_out::attempt_of;
use super::*;

impl Machine {
    /// How many messages may be asked for now.
    pub(crate) fn demand(&self) -> usize {
        if self.draining {
            return 0;
        }
        let limit = self.config.prefetch + self.lanes.parked().min(self.config.max_parked);
        limit.saturating_sub(self.outstanding)
    }

    /// A message arrived.
    #[inline(always)]
    pub(crate) fn accept(&mut self, incoming: Incoming, now: Moment) {
        self.now = now;
        let lease_until = self.begin_lease(now);
        self.outstanding += 1;
        let index = self.slots.insert(incoming, lease_until);
        if self.draining {
            self.give_back(index);
            return;
        }
        if self.config.order.is_ordered()
            && let Some(key) = self.slots.get(index).message.as_ref().and_then(|m| m.key.as_ref())
        {
            let (lane, head) = self.lanes.push(key, index);
            self.slots.get_mut(index).lane = lane;
            if !head {
                return;
            }
        }
        self.start(index);
    }

    /// A message arrived that the application takes at once: how it is named, and as which attempt. `None` where it may
    /// not start now, or ends without starting: then it must be [`accept`](Self::accept)ed.
    #[inline]
    pub(crate) fn accept_running(&mut self, incoming: &Incoming, now: Moment) -> Option<(SlotRef, Attempt)> {
        let attempt = attempt_of(Some(incoming.message.history()), incoming.deliveries, incoming.failures, 0);
        let plain = incoming.undecodable.is_none() && !incoming.expired && !self.exceeds_ceiling(attempt);
        if !plain || self.draining || self.config.at_most_once {
            return None;
        }
        let lane = match &incoming.message.key {
            Some(key) if self.config.order.is_ordered() => Some(self.lanes.enter(key)?),
            _ => None,
        };
        self.now = now;
        let lease_until = self.begin_lease(now);
        self.outstanding += 1;
        self.running += 1;
        let index = self.slots.insert_running(incoming, lease_until);
        if let Some(lane) = lane {
            self.slots.get_mut(index).lane = lane;
            self.lanes.lead(lane, index);
        }
        if self.config.wants.delivered {
            self.notes.push(Note::Delivered { id: incoming.message.id.clone(), attempt });
        }
        Some((self.slots.name(index), attempt))
    }

    #[inline]
    fn begin_lease(&mut self, now: Moment) -> Moment {
        match self.config.lease {
            Some(lease) => {
                self.sweep_at = self.sweep_at.min(now + self.look_in);
                now + lease
            }
            None => Moment::NEVER,
        }
    }

    /// A source will be taken away: what is unstarted is given up now.
    pub(crate) fn revoking(&mut self, source: u32, generation: u32) {
        for index in self.of_source(source, generation) {
            if matches!(self.slots.get(index).state, State::Waiting | State::Ready | State::Held { .. }) {
                self.give_back(index);
            }
        }
    }

    /// A source was taken away: what is left of it is lost.
    pub(crate) fn revoked(&mut self, source: u32, generation: u32) {
        let lost = self.of_source(source, generation);
        for index in &lost {
            // First, so that nobody in line is started only to be lost.
            let _ = self.leave(*index);
        }
        for index in lost {
            self.lose(index);
        }
    }

    /// One lease is lost.
    pub(crate) fn lease_lost(&mut self, token: Token) {
        let found = self.slots.used().find(|(_, s)| s.token == token && !s.lost).map(|(i, _)| i);
        if let Some(index) = found {
            self.lose(index);
        }
    }

    /// The connection is gone, and with it every lease.
    pub(crate) fn generation_lost(&mut self) {
        // First, so that nobody in line is started only to be lost.
        self.lanes.clear();
        self.ready.clear();
        for index in self.slots.used_indices() {
            if !self.slots.get(index).lost {
                self.lose(index);
            }
        }
        let (again, unflushed) = (std::mem::take(&mut self.again), self.unflushed.take_all());
        let records = std::mem::take(&mut self.records);
        for record in again.into_iter().map(|(_, record)| record).chain(unflushed).chain(records) {
            if !matches!(record.op, Op::Extend { .. }) {
                let error = Error::new(crate::ErrorKind::Connection, "settle", "the connection was lost");
                self.note_late(&record, LateKind::Unknown(error));
            }
        }
    }

    pub(super) fn of_source(&self, source: u32, generation: u32) -> Vec<u32> {
        let of_it = |s: &Slot| s.token.source == source && s.token.generation == generation && !s.lost;
        self.slots.used().filter(|(_, s)| of_it(s)).map(|(i, _)| i).collect()
    }

    /// The lease of this delivery is over. A running one stays, so that its settlement can be told from a valid one.
    pub(super) fn lose(&mut self, index: u32) {
        let state = self.slots.get(index).state;
        if state == State::Free {
            return;
        }
        // It will come again, and those behind it in its lane must come after it: they are given back unseen.
        let lane = self.slots.get(index).lane;
        if lane != NIL {
            for follower in self.lanes.behind(lane, index) {
                self.give_back(follower);
            }
        }
        if state == State::Running {
            self.outstanding -= 1;
            self.slots.get_mut(index).lost = true;
            self.lost = true;
            let id = self.id_of(index);
            self.note(Note::LeaseLost { id });
            if let Some(next) = self.leave(index) {
                self.start(next);
            }
        } else {
            self.finish(index);
        }
    }
}
