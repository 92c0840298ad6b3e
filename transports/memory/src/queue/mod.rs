//! One queue of the server: a channel of kind queue, or one subscription of a topic.
//!
//! Everything happens under one lock, taken once per batch. Wakers are gathered under it and woken after it. There is
//! no task and no timer here: deadlines are looked at by whoever works on the queue, and each receiver that handed
//! something out, or waits, has a timer of its own set to the next of them (`armed`).

mod consumers;
mod keys;
mod leases;
mod pages;
mod ready;
mod restore;
mod settle;
mod slab;
mod snapshot;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;

use pontoon_core::{Delay, Message, Order};

pub(crate) use consumers::ConsumerId;
pub use restore::Restored;
pub(crate) use settle::Received;
use settle::token_of;
pub use snapshot::{MessageState, QueueSnapshot, StoredMessage};

use self::consumers::Consumers;
use self::keys::Keys;
use self::slab::{List, NONE, Place, Slab, Stored};
use crate::clock::{Clock, NEVER, Nanos, Now, lock, nanos};
use crate::wakes::{Wakes, keep};

static NEXT_QUEUE: AtomicU64 = AtomicU64::new(1);

/// What governs a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) order: Order,
    pub(crate) retention: Option<Nanos>,
    pub(crate) lease: Nanos,
    pub(crate) key_window: u32,
    pub(crate) max_messages: usize,
    pub(crate) max_bytes: u64,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Locks of several queues are taken by ascending id.
    pub(crate) id: u64,
    pub(crate) clock: Clock,
    /// Whether some channel names it as its dead-letter channel.
    pub(crate) takes_dead_letters: AtomicBool,
    state: Mutex<State>,
}

impl Queue {
    pub(crate) fn new(rules: Rules) -> Self {
        Queue {
            id: NEXT_QUEUE.fetch_add(1, Ordering::Relaxed),
            clock: rules.clock,
            takes_dead_letters: AtomicBool::new(false),
            state: Mutex::new(State::new(rules)),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// How a message comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// As it asks for itself.
    Plain,
    /// Held back in its place until then: a fault.
    HeldUntil(Nanos),
}

/// What has happened to a queue since it was made: for tests and for judging a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Messages stored, copies included.
    pub stored: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages replaced by a successor in one step.
    pub replaced: u64,
    /// Messages that the declared retention removed.
    pub retired: u64,
    /// Messages that a purge removed.
    pub purged: u64,
    /// Deliveries made.
    pub delivered: u64,
    /// Deliveries given back uncounted.
    pub released: u64,
    /// Deliveries that failed and are to be tried again.
    pub retried: u64,
    /// Deliveries whose lease ended, or whose consumer went, before they were settled.
    pub lost: u64,
    /// Settlements that came too late.
    pub stale: u64,
}

/// What a queue holds. See the module's documentation.
#[derive(Debug)]
pub(crate) struct State {
    rules: Rules,
    slab: Slab,
    keys: Keys,
    /// What is ready, in order: slots, or keys (marked by `KEY`) whose first waiting message is ready. A key is looked
    /// at again when it is taken: what it promised may be gone.
    fifo: VecDeque<u32>,
    /// What is ready and does not belong at the end: returned messages, and priorities. By rank and sequence.
    sorted: BTreeMap<(u8, u64), u32>,
    /// What is held back: due, uid, slot. An entry counts only while the slot still holds that message, held back.
    held: BinaryHeap<Reverse<(Nanos, u64, u32)>>,
    /// Leases by their end: all leases last equally long, so the end of the list is where a new one belongs.
    leases: List,
    /// Leases that were extended to an earlier end than the last of `leases`: end, lease, slot.
    irregular: BinaryHeap<Reverse<(Nanos, u64, u32)>>,
    consumers: Consumers,
    /// Producers waiting for room.
    room: Vec<Waker>,
    next_seq: u64,
    next_uid: u64,
    next_lease: u64,
    next_retirement: Nanos,
    ready: usize,
    held_back: usize,
    out: usize,
    bytes: u64,
    /// Deleted: whoever still works on it learns it.
    gone: bool,
    pub(crate) totals: Totals,
}

/// Marks an entry of the queue of ready ones as a key.
const KEY: u32 = 1 << 31;
/// The most messages a queue can be told to hold: the numbers of slots must stay below [`KEY`].
pub(crate) const MOST_MESSAGES: usize = 1 << 30;
/// Expired retentions are searched for at most this often per length of the retention.
const RETIREMENTS: u64 = 16;

impl State {
    fn new(rules: Rules) -> Self {
        State {
            rules,
            slab: Slab::default(),
            keys: Keys::new(rules.seed),
            fifo: VecDeque::new(),
            sorted: BTreeMap::new(),
            held: BinaryHeap::new(),
            leases: List::EMPTY,
            irregular: BinaryHeap::new(),
            consumers: Consumers::default(),
            room: Vec::new(),
            next_seq: 1,
            next_uid: 1,
            next_lease: 1,
            next_retirement: NEVER,
            ready: 0,
            held_back: 0,
            out: 0,
            bytes: 0,
            gone: false,
            totals: Totals::default(),
        }
    }

    /// How many messages are stored.
    pub(crate) fn len(&self) -> usize {
        self.ready + self.held_back + self.out
    }

    /// Whether a message of this weight fits. One alone always does, or it could never be sent.
    pub(crate) fn has_room(&self, weight: usize) -> bool {
        let len = self.len();
        len == 0 || (len < self.rules.max_messages && self.bytes.saturating_add(weight as u64) <= self.rules.max_bytes)
    }

    /// How many messages and bytes fit, and whether it is empty.
    pub(crate) fn room(&self) -> (usize, u64, bool) {
        let len = self.len();
        let messages = self.rules.max_messages.saturating_sub(len);
        (messages, self.rules.max_bytes.saturating_sub(self.bytes), len == 0)
    }

    /// Whether it holds nothing and nobody reads from it.
    pub(crate) fn is_unused(&self) -> bool {
        self.len() == 0 && self.consumers.len() == 0
    }

    /// Tells the producer when there is room.
    pub(crate) fn await_room(&mut self, waker: &Waker) {
        if !self.room.iter().any(|known| known.will_wake(waker)) {
            self.room.push(waker.clone());
        }
    }

    /// When retention may make room, where nobody else does.
    pub(crate) fn next_retirement(&self) -> Nanos {
        self.next_retirement
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(crate) fn order(&self) -> Order {
        self.rules.order
    }

    /// Takes over other facts; only while they make no difference to what is stored.
    pub(crate) fn set_retention(&mut self, retention: Option<Nanos>) {
        self.rules.retention = retention;
    }

    /// The number of the next message, where the queue numbers its own.
    pub(crate) fn take_uid(&mut self) -> u64 {
        self.next_uid += 1;
        self.next_uid - 1
    }

    /// Stores a copy of a message; see [`store`](Self::store).
    pub(crate) fn store_copy(&mut self, message: &Message, uid: u64, entry: Entry, now: &mut Now, wakes: &mut Wakes) {
        self.store(&mut Some(message.clone()), uid, entry, now, wakes);
    }

    /// Stores a message, taken from its place. The caller has seen that there is room, and wakes afterwards (`wake_ready`).
    #[inline]
    pub(crate) fn store(
        &mut self,
        place: &mut Option<Message>,
        uid: u64,
        entry: Entry,
        now: &mut Now,
        wakes: &mut Wakes,
    ) {
        let Some(message) = place else { return };
        let weight = message.weight();
        let ordered = self.rules.order.is_ordered();
        let key = match &message.key {
            Some(key) if ordered => self.keys.enter(key),
            _ => NONE,
        };
        let due = match (entry, message.delay()) {
            (Entry::Plain, None) => 0,
            (Entry::HeldUntil(due), None) => due,
            (_, Some(delay)) => due_at(delay, now),
        };
        let expires = message.ttl().map_or(NEVER, |ttl| now.get().saturating_add(nanos(ttl)));
        let retires = self.rules.retention.map_or(NEVER, |keep| now.get().saturating_add(keep));
        self.next_retirement = self.next_retirement.min(retires);
        let rank = if ordered { u8::MAX } else { u8::MAX - message.priority().unwrap_or(0) };
        let seq = self.take_seq();
        // A fault holds a message back in its place; a delay that was asked for lets its key flow.
        let blocks = key != NONE && message.delay().is_none();
        let held = due > 0 && due > now.get();
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let stored = Stored {
            uid,
            seq,
            lease: 0,
            until: due,
            expires,
            retires,
            deliveries: 0,
            failures: 0,
            weight,
            key,
            holder: NONE,
            prev: NONE,
            next: NONE,
            place: Place::Ready,
            rank,
            expired: false,
            listed: false,
        };
        let slot = self.slab.insert(stored, place);
        self.bytes += u64::from(weight);
        self.totals.stored += 1;
        if held {
            self.hold_back(slot, due, blocks, wakes);
        } else {
            self.ready += 1;
            self.enqueue_new(slot, wakes);
        }
    }

    fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// Forgets a message that is in no list any more.
    fn forget(&mut self, slot: u32, wakes: &mut Wakes) {
        let stored = self.slab.at(slot);
        let (key, weight) = (stored.key, stored.weight);
        self.slab.remove(slot);
        if key != NONE {
            self.keys.leave(key);
        }
        self.bytes -= u64::from(weight);
        self.wake_room(wakes);
    }

    /// Wakes the producers that wait for room: all, since one that was woken may have nothing left to send.
    fn wake_room(&mut self, wakes: &mut Wakes) {
        // Asked for every message, and nearly never is there anybody: even an empty drain costs.
        if !self.room.is_empty() {
            self.room.drain(..).for_each(|waker| wakes.push(waker));
        }
    }

    /// Looks at what is due by now.
    pub(crate) fn tick(&mut self, now: Nanos, wakes: &mut Wakes) {
        self.end_leases(now, wakes);
        while let Some(&Reverse((due, uid, slot))) = self.held.peek() {
            if due > now {
                break;
            }
            self.held.pop();
            self.become_due(slot, uid, wakes);
        }
        if now >= self.next_retirement {
            self.retire(now, wakes);
        }
        self.wake_ready(wakes);
    }

    /// The next moment at which something changes by itself.
    pub(crate) fn next_deadline(&self) -> Nanos {
        let lease = if self.leases.head == NONE { NEVER } else { self.slab.at(self.leases.head).until };
        let irregular = self.irregular.peek().map_or(NEVER, |Reverse((at, ..))| *at);
        let due = self.held.peek().map_or(NEVER, |Reverse((at, ..))| *at);
        lease.min(irregular).min(due)
    }

    /// Removes what the declared retention no longer keeps. Searches everything, hence rarely.
    fn retire(&mut self, now: Nanos, wakes: &mut Wakes) {
        let Some(keep) = self.rules.retention else {
            self.next_retirement = NEVER;
            return;
        };
        let old: Vec<u32> = self
            .slab
            .iter()
            .filter(|(_, s)| s.retires <= now && !matches!(s.place, Place::Out | Place::Removed))
            .map(|(slot, _)| slot)
            .collect();
        for slot in old {
            self.totals.retired += 1;
            self.remove_waiting(slot, wakes);
        }
        self.compact();
        let next = self.slab.iter().map(|(_, s)| s.retires).min();
        self.next_retirement = next.map_or(NEVER, |next| next.max(now + keep / RETIREMENTS));
    }

    /// Removes all that is ready; what is held back or out stays. Returns how many went.
    pub(crate) fn purge(&mut self, wakes: &mut Wakes) -> u64 {
        let all: Vec<u32> = self.slab.iter().filter(|(_, s)| s.place == Place::Ready).map(|(slot, _)| slot).collect();
        for &slot in &all {
            self.remove_waiting(slot, wakes);
        }
        self.compact();
        self.totals.purged += all.len() as u64;
        all.len() as u64
    }

    /// Frees the slots of removed messages, of which `fifo` still holds the numbers, and drops keys of which nothing is
    /// left: without a consumer nobody else would.
    fn compact(&mut self) {
        let (slab, keys) = (&mut self.slab, &mut self.keys);
        self.fifo.retain(|&entry| {
            if entry & KEY != 0 {
                let Some(state) = keys.get_mut(entry & !KEY) else { return false };
                state.queued = state.waiting.head != NONE;
                return state.queued;
            }
            let removed = slab.at(entry).place == Place::Removed;
            if removed {
                slab.remove(entry);
            }
            !removed
        });
    }

    /// Deletes the queue: everybody working on it learns it at the next call.
    pub(crate) fn delete(&mut self, wakes: &mut Wakes) {
        self.gone = true;
        self.wake_room(wakes);
        self.consumers.wake_all(wakes);
    }

    /// Ready, held back, out.
    pub(crate) fn depth(&self) -> (u64, u64, u64) {
        (self.ready as u64, self.held_back as u64, self.out as u64)
    }
}

fn due_at(delay: Delay, now: &mut Now) -> Nanos {
    let after = match delay {
        Delay::For(after) => after,
        Delay::Until(at) => at.duration_since(std::time::SystemTime::now()).unwrap_or_default(),
    };
    now.get().saturating_add(nanos(after.min(pontoon_core::MAX_DURATION)))
}

/// Keeps the last waker of a consumer.
fn park(slot: &mut Option<Waker>, waker: &Waker) {
    keep(slot, waker);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purging_again_and_again_leaves_nothing_behind() {
        for order in [Order::Unordered, Order::BLOCK] {
            let clock = Clock::start();
            let rules = Rules {
                order,
                retention: None,
                lease: 1,
                key_window: 1,
                max_messages: 10_000,
                max_bytes: 1 << 30,
                clock,
                seed: 1,
            };
            let mut state = State::new(rules);
            let mut wakes = Wakes::default();
            for round in 0..20u64 {
                for n in 0..3_000u64 {
                    let message = Message::new("x").with_key(round * 10_000 + n);
                    state.store_copy(&message, n, Entry::Plain, &mut Now::of(clock), &mut wakes);
                }
                assert_eq!(state.purge(&mut wakes), 3_000);
                assert_eq!((state.len(), state.bytes, state.fifo.len(), state.sorted.len()), (0, 0, 0, 0));
                assert!(state.slab.extent() <= 3_000);
                assert!(state.keys.remembered() <= 6_000);
            }
            wakes.wake();
        }
    }
}
