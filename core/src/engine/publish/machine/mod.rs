//! The publisher as a state machine: what may be sent, what is owed, what is sent again, what its outcome is.
//!
//! No I/O, no clock, no tasks: the shell tells the time, offers what [`Machine::offer`] gives to the producer, and hands
//! in what came back. `W` is whoever is to be woken; wakers only ever leave through [`Machine::woken`] and return
//! values, so that the shell can wake and drop them outside its lock.

mod answers;
mod direct;
mod entering;
mod generations;
mod offer;
mod order;
mod owners;
mod resolving;
mod time;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use self::answers::Failure;
use self::direct::Direct;
use super::flushes::Flushes;
use super::gates::{Gates, Gating};
use super::groups::Groups;
use super::outbox::Outbox;
use super::outcome::PublisherStats;
use super::room::Room;
use super::slots::Slots;
use crate::{Channel, Error, EventHook, Key, Moment};

/// What the machine is told once.
pub(super) struct Config {
    pub channel: Channel,
    pub max_messages: usize,
    pub max_bytes: usize,
    pub deliver_within: Duration,
    pub resend: bool,
    pub seed: u64,
    pub hook_published: Option<Arc<dyn EventHook>>,
    pub hook_failed: Option<Arc<dyn EventHook>>,
}

/// Names an issued message for its future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub slot: u32,
    pub seq: u64,
}

/// What became of a message that had to wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It waits.
    Queued,
    /// It is accepted.
    Accepted,
    /// It never was; its outcome says why.
    Refused,
}

/// A message whose owner has its outcome while the producer still owes one.
struct Owed {
    slot: u32,
    key: Option<Key>,
    answer_by: Moment,
}

pub(super) struct Machine<W> {
    config: Config,
    may_resend: bool,
    grace: Duration,
    slots: Slots<W>,
    outbox: Outbox,
    gates: Gates,
    room: Room,
    /// Issued messages that wait for room, first come, first served.
    queue: Outbox,
    pub groups: Groups<W>,
    pub flushes: Flushes<W>,
    resting: BinaryHeap<Reverse<(Moment, u64, u32)>>,
    owed: Vec<Owed>,
    /// Who is to be woken, outside the lock.
    pub woken: Vec<W>,
    next_seq: u64,
    random: fastrand::Rng,
    stats: PublisherStats,
    /// Why there is no producer.
    link: Option<Error>,
    /// Failures of one round of completions: they are decided together.
    failed: Vec<(u32, Failure)>,
    /// Per key the latest message confirmed after a failure in the same round.
    passed: HashMap<Key, u64>,
    direct: Option<Direct>,
    stores_at_once: bool,
}

impl<W> Machine<W> {
    pub(super) fn new(config: Config) -> Self {
        Machine {
            may_resend: config.resend,
            grace: Duration::ZERO,
            slots: Slots::new(),
            outbox: Outbox::default(),
            gates: Gates::new(Gating::None),
            room: Room::new(config.max_messages, config.max_bytes),
            queue: Outbox::default(),
            groups: Groups::new(),
            flushes: Flushes::new(),
            resting: BinaryHeap::new(),
            owed: Vec::new(),
            woken: Vec::new(),
            next_seq: 0,
            random: fastrand::Rng::with_seed(config.seed),
            stats: PublisherStats::default(),
            link: None,
            failed: Vec::new(),
            passed: HashMap::new(),
            direct: None,
            stores_at_once: false,
            config,
        }
    }

    pub(super) fn stats(&self) -> PublisherStats {
        self.stats
    }

    /// Messages without an outcome.
    pub(super) fn unresolved(&self) -> usize {
        self.slots.unresolved()
    }

    /// Messages that may be sent now.
    pub(super) fn sendable(&self) -> usize {
        self.outbox.len()
    }

    /// The number that a flush of everything accepted so far waits for.
    pub(super) fn flush_until(&self) -> u64 {
        self.queue.front().map_or(self.next_seq, |slot| self.slots[slot].seq)
    }

    /// Whether everything issued before `until` has its outcome.
    pub(super) fn flushed(&self, until: u64) -> bool {
        self.slots.first().is_none_or(|first| self.slots[first].seq >= until)
    }

    /// When [`tick`](Self::tick) has something to do next.
    #[inline]
    pub(super) fn next_timer(&self) -> Moment {
        let deadline = self.slots.first().map_or(Moment::NEVER, |first| self.slots[first].deadline);
        let resend = self.resting.peek().map_or(Moment::NEVER, |Reverse((due, ..))| *due);
        let room = self.queue.front().map_or(Moment::NEVER, |slot| self.slots[slot].deadline);
        let owed = self.owed.iter().map(|owed| owed.answer_by);
        owed.fold(deadline.min(resend).min(room), Moment::min)
    }

    /// How long a message may take, in this generation.
    pub(super) fn deliver_within(&self) -> Duration {
        self.config.deliver_within.saturating_add(self.grace)
    }
}
