//! Putting back what an earlier server held.

use std::time::Duration;

use pontoon_core::{Message, Order};

use super::State;
use super::slab::{NONE, Place, Stored};
use crate::clock::{NEVER, Nanos, nanos};
use crate::wakes::Wakes;

/// A message to put back: what a server that kept its messages elsewhere knows of it.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The message as it was published.
    pub message: Message,
    /// What its receipt called it.
    pub number: u64,
    /// How long ago it was stored: TTL and retention count from then.
    pub age: Duration,
    /// How long it is still held back, by a delay on publish or a retry; zero when it is ready.
    pub held_for: Duration,
    /// Deliveries counted: those that ended in a release are not.
    pub deliveries: u32,
    /// Failures counted.
    pub failures: u32,
    /// Whether it was handed over after its TTL.
    pub expired: bool,
}

impl State {
    /// Stores a message behind what was put back before, whatever there is room for. Consumers are not woken.
    pub(crate) fn restore(&mut self, restored: Restored, now: Nanos, wakes: &mut Wakes) {
        let Restored { message, number, age, held_for, deliveries, failures, expired } = restored;
        let ordered = self.rules.order.is_ordered();
        let key = match &message.key {
            Some(key) if ordered => self.keys.enter(key),
            _ => NONE,
        };
        let ends = |after: Duration| now.saturating_add(nanos(after.saturating_sub(age)));
        let retires = self.rules.retention.map_or(NEVER, |keep| ends(Duration::from_nanos(keep)));
        self.next_retirement = self.next_retirement.min(retires);
        let weight = u32::try_from(message.weight()).unwrap_or(u32::MAX);
        let stored = Stored {
            uid: number,
            seq: self.take_seq(),
            lease: 0,
            until: 0,
            expires: message.ttl().map_or(NEVER, ends),
            retires,
            deliveries,
            failures,
            weight,
            key,
            holder: NONE,
            prev: NONE,
            next: NONE,
            place: Place::Ready,
            rank: if ordered { u8::MAX } else { u8::MAX - message.priority().unwrap_or(0) },
            expired,
            listed: false,
        };
        let slot = self.slab.insert(stored, &mut Some(message));
        self.bytes += u64::from(weight);
        if held_for.is_zero() {
            self.ready += 1;
            self.enqueue_new(slot, wakes);
        } else {
            let due = now.saturating_add(nanos(held_for));
            // A retry keeps its place, and its key waits; a delay that was asked for lets the key flow.
            let blocks = key != NONE && deliveries > 0 && matches!(self.rules.order, Order::Block { .. });
            self.hold_back(slot, due, blocks, wakes);
        }
    }

    /// Numbers of messages to come are not below this.
    pub(crate) fn count_from(&mut self, number: u64) {
        self.next_uid = self.next_uid.max(number);
    }
}
