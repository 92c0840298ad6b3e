//! What may be handed to the application, and as which attempt.

use super::*;
use crate::History;

impl Machine {
    /// The delivery is first of its key, or has none. Whoever it lets start in its turn follows in this loop, not on
    /// the stack: a lane may be long.
    #[inline]
    pub(super) fn start(&mut self, index: u32) {
        if std::mem::replace(&mut self.starting, true) {
            self.to_start.push_back(index);
            return;
        }
        self.start_one(index);
        while let Some(index) = self.to_start.pop_front() {
            self.start_one(index);
        }
        self.starting = false;
    }

    #[inline]
    pub(super) fn start_one(&mut self, index: u32) {
        let slot = self.slots.get(index);
        if slot.state == State::Free {
            return;
        }
        if slot.trouble.as_ref().is_some_and(|t| t.undecodable.is_some()) {
            let text = slot.trouble.as_ref().and_then(|t| t.undecodable.as_ref()).map(ToString::to_string);
            return self.dead_letter(index, ReasonKind::Undecodable, bounded_error_text(&text.unwrap_or_default()));
        }
        if slot.expired {
            return self.dead_letter(index, ReasonKind::Expired, Text::EMPTY);
        }
        let attempt = self.attempt(index);
        if self.exceeds_ceiling(attempt) {
            let earlier = deliveries_before(attempt);
            let text =
                format!("delivered {earlier} times before; the channel's ceiling is {}", self.config.delivery_ceiling);
            return self.dead_letter(index, ReasonKind::DeliveryCeiling, text.into());
        }
        if self.config.at_most_once && self.slots.get(index).state != State::Finalising {
            self.slots.get_mut(index).state = State::Finalising;
            let waits = self.slots.name(index);
            self.record(index, Op::Ack, Some(waits));
            return;
        }
        self.slots.get_mut(index).state = State::Ready;
        self.ready.push_back(index);
    }

    /// The next delivery for the application.
    #[inline(always)]
    pub(crate) fn pop_ready(&mut self) -> Option<Handover> {
        loop {
            let index = self.ready.pop_front()?;
            if self.slots.get(index).state != State::Ready {
                continue;
            }
            let attempt = self.attempt(index);
            let slot = self.slots.get_mut(index);
            let Some(message) = slot.message.take() else { continue };
            slot.state = State::Running;
            self.running += 1;
            let broker_id = slot.broker_id.clone();
            let generation = slot.token.generation;
            if self.config.wants.delivered {
                self.notes.push(Note::Delivered { id: message.id.clone(), attempt });
            }
            return Some(Handover { slot: self.slots.name(index), message, attempt, broker_id, generation });
        }
    }

    /// Tells the time to decisions that are about to be made.
    pub(crate) fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    /// How many deliveries are ready.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether this delivery is one more than the channel allows.
    #[inline]
    pub(super) fn exceeds_ceiling(&self, attempt: Attempt) -> bool {
        deliveries_before(attempt) >= self.config.delivery_ceiling
    }

    #[inline]
    pub(super) fn attempt(&self, index: u32) -> Attempt {
        let slot = self.slots.get(index);
        let history = slot.message.as_ref().map(Message::history);
        attempt_of(history, slot.deliveries, slot.broker_failures, slot.local_failures())
    }
}

fn deliveries_before(attempt: Attempt) -> u32 {
    attempt.at_most.unwrap_or(attempt.at_least) - 1
}

/// Which attempt it is: by what its headers carried, by what the broker counted, and by failures here.
#[inline]
pub(super) fn attempt_of(
    history: Option<&History>,
    deliveries: Option<u32>,
    broker_failures: u32,
    local: u32,
) -> Attempt {
    // Only copies carry counts of earlier lives, and a copy has at least one failure.
    let (failures, earlier) = match history {
        Some(history) if history.failures > 0 => (history.failures, history.deliveries),
        _ => (0, Some(0)),
    };
    let at_least = 1u32.saturating_add(failures).saturating_add(broker_failures).saturating_add(local);
    let at_most = match (deliveries, earlier) {
        (Some(now), Some(earlier)) => Some(now.saturating_add(earlier).saturating_add(local).max(at_least)),
        _ => None,
    };
    Attempt { at_least, at_most }
}
