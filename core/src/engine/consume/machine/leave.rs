//! Leaving lanes and the consumer: giving back, draining, abandoning.

use super::*;

impl Machine {
    pub(super) fn block_lane(&mut self, index: u32, blocked: bool) {
        let lane = self.slots.get(index).lane;
        if lane != NIL {
            self.lanes.set_blocked(lane, index, blocked);
        }
    }

    /// Takes a delivery out of its lane; the next of its key that may start.
    #[inline]
    pub(super) fn leave(&mut self, index: u32) -> Option<u32> {
        let lane = std::mem::replace(&mut self.slots.get_mut(index).lane, NIL);
        if lane == NIL { None } else { self.lanes.remove(lane, index) }
    }

    /// The delivery is over: the next of its key may start.
    #[inline]
    pub(super) fn finish(&mut self, index: u32) {
        self.outstanding -= 1;
        let next = self.leave(index);
        self.slots.remove(index);
        if let Some(next) = next {
            self.start(next);
        }
    }

    /// Gives a delivery back that is not in the application's hands. A failure that only we know is told to a broker
    /// that counts.
    pub(super) fn give_back(&mut self, index: u32) {
        let slot = self.slots.get(index);
        let op = if self.config.retry_by == RetryBy::Broker && slot.local_failures() > 0 {
            let after = match slot.state {
                State::Held { until, then: Then::Redispatch } => until.since(self.now),
                _ => Duration::ZERO,
            };
            Op::Retry { after, failures: slot.local_failures() }
        } else {
            Op::Release
        };
        self.record(index, op, None);
        self.finish(index);
    }

    /// From now on nothing is started: what is prefetched or held is given back, what runs may settle.
    pub(crate) fn begin_drain(&mut self, now: Moment) {
        self.now = now;
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        for index in self.slots.used_indices() {
            let state = self.slots.get(index).state;
            let unstarted = match state {
                State::Waiting => true,
                // At most once these are settled already: they are still handed out, or they would be lost.
                State::Ready => !self.config.at_most_once,
                State::Held { then, .. } => then != Then::Succeed,
                _ => false,
            };
            if unstarted {
                self.released_by_drain += 1;
                self.give_back(index);
            }
        }
    }

    /// Whether nothing is left to wait for: nothing runs, no successor is open, all is final.
    pub(crate) fn is_drained(&self) -> bool {
        self.outstanding == 0
            && self.running == 0
            && self.records.is_empty()
            && self.again.is_empty()
            && self.unflushed.len() == 0
    }

    /// Deliveries in the application's hands.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// How many deliveries draining gave back.
    pub(crate) fn released_by_drain(&self) -> u64 {
        self.released_by_drain
    }

    /// The deadline is over: everything that is left is given up. Their ids.
    pub(crate) fn abandon(&mut self) -> Vec<MessageId> {
        let left: Vec<u32> = self.slots.used().filter(|(_, s)| !s.lost).map(|(i, _)| i).collect();
        let ids: Vec<MessageId> = left.iter().map(|index| self.id_of(*index)).collect();
        for id in &ids {
            self.note(Note::Abandoned { id: id.clone() });
        }
        self.generation_lost();
        ids
    }

    pub(super) fn id_of(&self, index: u32) -> MessageId {
        self.slots.get(index).id.clone()
    }

    pub(super) fn wall_ms(&self) -> u64 {
        self.config.wall_start_ms + self.now.since(Moment::ZERO).as_millis() as u64
    }

    pub(super) fn note(&mut self, note: Note) {
        if self.config.wants.rare {
            self.notes.push(note);
        }
    }
}
