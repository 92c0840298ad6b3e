//! What is held until a moment, and the leases that are extended meanwhile.

use super::*;

impl Machine {
    /// Keeps a delivery here, its lease extended, until then.
    pub(super) fn hold(&mut self, index: u32, until: Moment, then: Then) {
        let slot = self.slots.get_mut(index);
        slot.state = State::Held { until, then };
        let turn = slot.turn;
        if self.draining && then != Then::Succeed {
            // Nobody will be there to take it.
            self.released_by_drain += 1;
            return self.give_back(index);
        }
        self.timers.push(Reverse((until, index, turn)));
        self.block_lane(index, true);
    }

    /// The earliest moment at which [`on_time`](Self::on_time) has something to do.
    pub(crate) fn next_deadline(&self) -> Moment {
        let timer = self.timers.peek().map_or(Moment::NEVER, |Reverse((at, ..))| *at);
        let again = self.again.iter().map(|(at, _)| *at).min().unwrap_or(Moment::NEVER);
        timer.min(again).min(self.sweep_at)
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Moment) {
        self.now = now;
        while let Some(Reverse((at, index, turn))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let name = SlotRef { slot: index, turn };
            let Some(State::Held { until, then }) = self.slots.find(name).map(|s| s.state) else { continue };
            if until != at {
                continue;
            }
            match then {
                Then::Redispatch => {
                    self.block_lane(index, false);
                    self.start(index);
                }
                Then::GiveBack => self.give_back(index),
                Then::Succeed => self.succeed(index),
            }
        }
        for (at, record) in std::mem::take(&mut self.again) {
            if at <= now {
                self.records.push(record);
            } else {
                self.again.push((at, record));
            }
        }
        if self.sweep_at <= now {
            self.sweep_leases();
        }
    }

    /// Extends the leases that are half over; where a lease cannot be extended, finds the ones that are over.
    pub(super) fn sweep_leases(&mut self) {
        self.sweep_at = Moment::NEVER;
        let Some(lease) = self.config.lease else { return };
        for index in self.slots.used_indices() {
            let slot = self.slots.get(index);
            if slot.lost || (self.config.at_most_once && slot.state != State::Waiting) {
                continue;
            }
            if slot.lease_until <= self.now {
                self.lose(index);
                continue;
            }
            let look_at = if self.config.extend { slot.lease_until - lease / 2 } else { slot.lease_until };
            if self.config.extend && look_at <= self.now {
                let token = slot.token;
                let waits = Some(self.slots.name(index));
                let number = self.unflushed.next_number();
                self.records.push(Record::new(token, Op::Extend { by: lease }, number, waits, None));
                self.slots.get_mut(index).lease_until = self.now + lease;
                self.sweep_at = self.sweep_at.min(self.now + lease / 2);
            } else {
                self.sweep_at = self.sweep_at.min(look_at);
            }
        }
    }

    /// Whether a lease can be prolonged, or needs not.
    pub(crate) fn can_extend(&self) -> bool {
        self.config.extend || self.config.lease.is_none()
    }

    /// The application prolongs a lease itself.
    pub(crate) fn extend(&mut self, of: SlotRef, by: Duration, now: Moment) -> Settled {
        self.now = now;
        let Some(slot) = self.slots.find(of).filter(|s| !s.lost) else { return Settled::Stale };
        if self.config.extend {
            let (token, lease_until) = (slot.token, slot.lease_until.max(now + by));
            let number = self.unflushed.next_number();
            let waits = Some(of);
            self.records.push(Record::new(token, Op::Extend { by: lease_until.since(now) }, number, waits, None));
            self.slots.get_mut(of.slot).lease_until = lease_until;
        }
        Settled::Recorded
    }

    /// Whether the lease of this delivery is lost, or the delivery settled.
    pub(crate) fn is_lost(&self, of: SlotRef) -> bool {
        self.slots.find(of).is_none_or(|slot| slot.lost)
    }
}
