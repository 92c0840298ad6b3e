//! What is recorded at the driver, and whether it became final.

use super::*;

impl Machine {
    pub(super) fn record(&mut self, index: u32, op: Op, waits: Option<SlotRef>) {
        let token = self.slots.get(index).token;
        let number = self.unflushed.next_number();
        let wanted = self.config.wants.settled || self.config.wants.rare;
        let id = if wanted { Some(self.id_of(index)) } else { None };
        self.records.push(Record::new(token, op, number, waits, id));
    }

    /// The number of the newest settlement.
    pub(crate) fn last_number(&self) -> u64 {
        self.unflushed.last_number()
    }

    /// What the driver answered to a record.
    #[inline]
    pub(crate) fn answered(&mut self, record: Record, answer: Settled) {
        match answer {
            Settled::Recorded => {
                if self.config.wants.settled && matches!(record.op, Op::Ack | Op::Release) && record.waits().is_none() {
                    let released = matches!(record.op, Op::Release);
                    if let Some(id) = record.id() {
                        self.notes.push(Note::Settled { id, released });
                    }
                }
                self.unflushed.push(record);
            }
            Settled::Stale => self.ended_late(record, LateKind::Stale),
        }
    }

    /// The same when all were recorded: nearly always, and then in one step where nobody listens.
    #[inline]
    pub(crate) fn all_answered(&mut self, records: &mut Vec<Record>) {
        if !self.config.wants.settled {
            self.unflushed.extend(records);
        }
    }

    /// How many settlements are recorded and not final.
    pub(crate) fn unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// Whether a running delivery lost its lease since this was last asked.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Whether deliveries are settled already when they are ready, so that giving them back would lose them.
    pub(crate) fn hands_out_while_draining(&self) -> bool {
        self.config.at_most_once && self.outstanding > 0
    }

    /// Whether something waits for a flush to end.
    pub(crate) fn flush_is_urgent(&self) -> bool {
        (self.config.at_most_once || self.config.replace) && self.unflushed.is_waited_for()
    }

    /// A flush begins: it covers everything recorded so far.
    pub(crate) fn flush_begins(&mut self) {
        self.unflushed.begin();
    }

    /// A flush ended: what it covered is final, except for these. What concerns later records is left for their flush.
    pub(crate) fn flush_ended(&mut self, late: &mut Vec<Late>, now: Moment) {
        self.now = now;
        if late.is_empty() && !self.unflushed.is_waited_for() {
            // The path of every message: nobody has to be told that all is final.
            drop(self.unflushed.end());
            return;
        }
        let mut covered: VecDeque<Record> = if late.is_empty() {
            // The common case needs no copy unless a slot waits for it.
            self.unflushed.end().filter(|r| r.waits().is_some()).collect()
        } else {
            self.unflushed.end().collect()
        };
        while let Some(record) = covered.pop_front() {
            // What is late names a lease, and a lease that was prolonged and then settled has two records: the settlement
            // is the one that counts.
            let settled_since = matches!(record.op, Op::Extend { .. })
                && (covered.iter().any(|later| later.token == record.token) || self.unflushed.holds(record.token));
            match late.iter().position(|l| l.token == record.token && !settled_since) {
                Some(at) => {
                    let kind = late.swap_remove(at).kind;
                    self.ended_late(record, kind);
                }
                None => self.became_final(record),
            }
        }
        // The broker may answer, with the last of what this flush covers, what was recorded since: that is kept for the
        // flush that covers it, which would call it final otherwise. The rest concerns nothing we know.
        late.retain(|late| self.unflushed.holds(late.token));
    }

    pub(super) fn became_final(&mut self, record: Record) {
        let Some(of) = record.waits() else { return };
        if self.slots.find(of).is_none_or(|slot| slot.state != State::Finalising) {
            return;
        }
        match record.op {
            Op::Ack => self.start(of.slot),
            Op::Replace { .. } => {
                self.note_succeeded(of.slot);
                self.finish(of.slot);
            }
            _ => {}
        }
    }

    pub(super) fn ended_late(&mut self, record: Record, kind: LateKind) {
        match (&record.op, kind) {
            (Op::Extend { .. }, LateKind::Stale) => {
                if let Some(of) = record.waits()
                    && self.slots.find(of).is_some_and(|slot| !slot.lost)
                {
                    self.lose(of.slot);
                }
            }
            // It ends when it would have ended; there is time to try again.
            (Op::Extend { by }, _) => {
                if let Some(of) = record.waits()
                    && let Some(slot) = self.slots.find(of)
                {
                    let lease_until = slot.lease_until - *by / 2;
                    self.slots.get_mut(of.slot).lease_until = lease_until;
                    self.sweep_at = self.sweep_at.min(self.now + RERECORD.min(*by / 8));
                }
            }
            (Op::Replace { .. }, LateKind::Stale) => {
                self.note_late(&record, LateKind::Stale);
                if let Some(of) = record.waits().filter(|of| self.slots.find(*of).is_some()) {
                    self.finish(of.slot);
                }
            }
            // Trying again is safe: if it had happened, the token is stale by now.
            (Op::Replace { .. }, LateKind::Failed(error) | LateKind::Unknown(error)) => {
                if let Some(of) = record.waits().filter(|of| self.slots.find(*of).is_some()) {
                    self.successor_failed(of.slot, error);
                }
            }
            // At most once: not settled for certain, so the handler must not run.
            (_, kind) if record.waits().is_some() => {
                self.note_late(&record, kind);
                if let Some(of) = record.waits().filter(|of| self.slots.find(*of).is_some()) {
                    let id = self.id_of(of.slot);
                    self.note(Note::Dropped { id, reason: None });
                    self.finish(of.slot);
                }
            }
            (_, LateKind::Failed(_)) => self.again.push((self.now + RERECORD, record)),
            (_, kind) => self.note_late(&record, kind),
        }
    }

    pub(super) fn note_late(&mut self, record: &Record, kind: LateKind) {
        match &kind {
            LateKind::Stale => {
                self.late.stale += 1;
                if let Some(id) = record.id() {
                    self.note(Note::Stale { id });
                }
            }
            LateKind::Unknown(_) | LateKind::Failed(_) => self.late.unknown += 1,
        }
        if self.watched.contains(&record.number) {
            self.late_watched.push((record.number, kind));
        }
    }

    /// Remembers how the settlement of this number ends.
    pub(crate) fn watch(&mut self, number: u64) {
        self.watched.push(number);
    }

    /// Whether everything up to this number is final.
    pub(crate) fn is_final(&self, number: u64) -> bool {
        self.unflushed.is_final(number)
            && self.again.iter().all(|(_, r)| r.number > number)
            && self.records.iter().all(|r| r.number > number)
    }

    /// Forgets a watched number: how it ended, if not as recorded.
    pub(crate) fn unwatch(&mut self, number: u64) -> Option<LateKind> {
        self.watched.retain(|n| *n != number);
        let at = self.late_watched.iter().position(|(n, _)| *n == number)?;
        Some(self.late_watched.swap_remove(at).1)
    }

    /// What did not become final as recorded since this was last asked.
    pub(crate) fn take_late(&mut self) -> FlushReport {
        std::mem::take(&mut self.late)
    }
}
