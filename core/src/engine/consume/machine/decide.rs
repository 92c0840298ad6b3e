//! What the application decided: acknowledge, retry, release, dead-letter; and what becomes of successors.

use super::*;

impl Machine {
    /// The application is done with a delivery. The answer is final for decisions that the engine carries out itself;
    /// for a recorded settlement it is `Recorded` until the driver says otherwise.
    pub(crate) fn settle(&mut self, of: SlotRef, verdict: Verdict, message: Message) -> Settled {
        let Some(slot) = self.slots.find(of) else { return Settled::Stale };
        let index = of.slot;
        self.running -= 1;
        if slot.lost {
            self.note_stale(index);
            return Settled::Stale;
        }
        if self.config.at_most_once {
            self.settle_at_most_once(index, &verdict);
            return Settled::Recorded;
        }
        match verdict {
            Verdict::Ack => self.record_ack(index),
            Verdict::Release => {
                let wait = self.pacer.released(&message.id);
                self.slots.get_mut(index).message = Some(message);
                // With a key it stays: were it given back, and one behind it not, its key's order would be lost.
                let back = self.config.give_back && self.slots.get(index).lane == NIL;
                let then = if back { Then::GiveBack } else { Then::Redispatch };
                self.hold(index, self.now + wait, then);
            }
            Verdict::Retry { after, error } => {
                self.slots.get_mut(index).message = Some(message);
                self.fail(index, after, error);
            }
            Verdict::DeadLetter { reason, error } => {
                self.slots.get_mut(index).message = Some(message);
                self.count_failure_time(index);
                self.dead_letter(index, reason, error);
            }
        }
        Settled::Recorded
    }

    /// The fast path of every message: it was handled.
    #[inline]
    pub(crate) fn ack(&mut self, of: SlotRef) -> Settled {
        let Some(slot) = self.slots.find(of) else { return Settled::Stale };
        let lost = slot.lost;
        self.running -= 1;
        if lost {
            self.note_stale(of.slot);
            return Settled::Stale;
        }
        if self.config.at_most_once {
            self.settle_at_most_once(of.slot, &Verdict::Ack);
        } else {
            self.record_ack(of.slot);
        }
        Settled::Recorded
    }

    /// A delivery that was lost is settled too late: nothing of it is left.
    pub(super) fn note_stale(&mut self, index: u32) {
        let id = self.id_of(index);
        self.slots.remove(index);
        self.note(Note::Stale { id });
    }

    #[inline]
    pub(super) fn record_ack(&mut self, index: u32) {
        let slot = self.slots.get(index);
        self.pacer.settled(&slot.id);
        let (token, id) = (slot.token, self.config.wants.settled.then(|| slot.id.clone()));
        let number = self.unflushed.next_number();
        self.records.push(Record::new(token, Op::Ack, number, None, id));
        self.finish(index);
    }

    /// It was settled before it was handled: what did not succeed is dropped, with an event.
    pub(super) fn settle_at_most_once(&mut self, index: u32, verdict: &Verdict) {
        let reason = match verdict {
            Verdict::Ack => None,
            Verdict::DeadLetter { reason, .. } => Some(*reason),
            Verdict::Retry { .. } | Verdict::Release => Some(ReasonKind::MaxAttempts),
        };
        let id = self.id_of(index);
        match reason {
            Some(reason) => self.note(Note::Dropped { id, reason: Some(reason) }),
            None if self.config.wants.settled => self.notes.push(Note::Settled { id, released: false }),
            None => {}
        }
        self.finish(index);
    }

    pub(super) fn count_failure_time(&mut self, index: u32) {
        let wall = self.wall_ms();
        let trouble = self.slots.get_mut(index).trouble_mut();
        if trouble.first_failure_ms == 0 {
            trouble.first_failure_ms = wall;
        }
        trouble.last_failure_ms = wall;
    }

    /// A counted failure: retry, dead-letter or spill.
    pub(super) fn fail(&mut self, index: u32, after: Option<Duration>, error: Text) {
        let attempt = self.attempt(index);
        self.count_failure_time(index);
        if attempt.at_least >= self.config.retry.max_attempts() {
            return self.dead_letter(index, ReasonKind::MaxAttempts, error);
        }
        let after = after.unwrap_or_else(|| self.config.retry.wait(attempt.at_least, self.random.f64()));
        // What has no key blocks none: it fails as on an unordered channel.
        let keyed = self.slots.get(index).lane != NIL;
        match self.config.order {
            Order::Block { max_blocked_keys, longest_wait, spill } if keyed => {
                let since = self.slots.get(index).trouble.as_ref().and_then(|t| t.blocked_since).unwrap_or(self.now);
                let over = self.lanes.blocked_keys() >= max_blocked_keys;
                if over || self.now.since(since) >= longest_wait {
                    return self.spill(index, attempt, spill, error);
                }
                let trouble = self.slots.get_mut(index).trouble_mut();
                trouble.blocked_since = Some(since);
                trouble.failures += 1;
                trouble.error = error;
                // The last try comes when the longest wait is over, not after it.
                self.note_retried(index, attempt, after);
                self.hold(index, (self.now + after).min(since + longest_wait), Then::Redispatch);
            }
            _ => self.send_back(index, attempt, after, error),
        }
    }

    /// A failed message returns through the broker.
    pub(super) fn send_back(&mut self, index: u32, attempt: Attempt, after: Duration, error: Text) {
        let local = self.slots.get(index).local_failures();
        self.slots.get_mut(index).trouble_mut().error = error;
        self.note_retried(index, attempt, after);
        match self.config.retry_by {
            RetryBy::Broker => {
                self.record(index, Op::Retry { after, failures: 1 + local }, None);
                self.finish(index);
            }
            RetryBy::Copy => {
                self.slots.get_mut(index).trouble_mut().purpose = Some(Purpose::Retry { after });
                self.succeed(index);
            }
            RetryBy::Holding => {
                self.slots.get_mut(index).trouble_mut().failures += 1;
                self.hold(index, self.now + after, Then::Redispatch);
            }
        }
    }

    /// A blocked key went over its bound.
    pub(super) fn spill(&mut self, index: u32, attempt: Attempt, spill: Spill, error: Text) {
        let id = self.id_of(index);
        self.note(Note::OrderSpilled { id });
        match spill {
            Spill::DeadLetter => self.dead_letter(index, ReasonKind::OrderSpill, error),
            // A native retry would put it back in its place, so this is always a copy, behind what is queued now.
            Spill::FallBehind => {
                let trouble = self.slots.get_mut(index).trouble_mut();
                trouble.error = error;
                trouble.purpose = Some(Purpose::Retry { after: Duration::ZERO });
                self.note_retried(index, attempt, Duration::ZERO);
                self.succeed(index);
            }
        }
    }

    pub(super) fn dead_letter(&mut self, index: u32, reason: ReasonKind, error: Text) {
        if !self.config.dead_letter {
            let id = self.id_of(index);
            self.note(Note::Dropped { id, reason: Some(reason) });
            self.record(index, Op::Ack, None);
            return self.finish(index);
        }
        let trouble = self.slots.get_mut(index).trouble_mut();
        trouble.error = error;
        trouble.purpose = Some(Purpose::DeadLetter(reason));
        if trouble.first_failure_ms == 0 {
            self.count_failure_time(index);
        }
        self.succeed(index);
    }

    /// Has the successor stored; its lane waits.
    pub(super) fn succeed(&mut self, index: u32) {
        self.block_lane(index, true);
        let attempt = self.attempt(index);
        let slot = self.slots.get(index);
        let (Some(message), Some(trouble)) = (&slot.message, &slot.trouble) else { return };
        let Some(purpose) = trouble.purpose else { return };
        let message = successor::make(
            message,
            purpose,
            trouble,
            attempt,
            &self.config.channel,
            self.config.subscription.as_ref(),
        );
        let dead_letter = matches!(purpose, Purpose::DeadLetter(_));
        let name = self.slots.name(index);
        if self.config.replace {
            self.slots.get_mut(index).state = State::Finalising;
            self.record(index, Op::Replace { dead_letter, message: Box::new(message) }, Some(name));
        } else {
            self.slots.get_mut(index).state = State::Succeeding;
            self.successors.push(Successor { slot: name, dead_letter, message });
        }
    }

    /// What became of a successor.
    pub(crate) fn successor_done(&mut self, of: SlotRef, outcome: Result<(), Error>, now: Moment) {
        self.now = now;
        // A delivery that was lost meanwhile is gone: the source will come again, and the copy is a duplicate.
        if self.slots.find(of).is_none_or(|slot| slot.state != State::Succeeding) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.note_succeeded(of.slot);
                self.record(of.slot, Op::Ack, None);
                self.finish(of.slot);
            }
            Err(error) => self.successor_failed(of.slot, error),
        }
    }

    pub(super) fn successor_failed(&mut self, index: u32, error: Error) {
        let id = self.id_of(index);
        self.note(Note::SuccessorFailed { id, error });
        let trouble = self.slots.get_mut(index).trouble_mut();
        let wait = SUCCESSOR_FIRST.saturating_mul(1 << trouble.tries.min(20)).min(SUCCESSOR_CAP);
        trouble.tries = trouble.tries.saturating_add(1);
        let until = self.now + wait;
        self.hold(index, until, Then::Succeed);
    }

    pub(super) fn note_succeeded(&mut self, index: u32) {
        let attempt = self.attempt(index);
        let id = self.id_of(index);
        self.pacer.settled(&id);
        if let Some(Purpose::DeadLetter(reason)) = self.slots.get(index).trouble.as_ref().and_then(|t| t.purpose) {
            self.note(Note::DeadLettered { id, reason, attempt });
        }
    }

    pub(super) fn note_retried(&mut self, index: u32, attempt: Attempt, after: Duration) {
        if self.config.wants.retried {
            let error = self.slots.get(index).trouble.as_ref().map_or(Text::EMPTY, |t| t.error.clone());
            let id = self.id_of(index);
            self.notes.push(Note::Retried { id, attempt, after, error });
        }
    }
}
