//! Seeded random schedules of the state machine against a broker that is only a model.
//!
//! The model holds the truth: what is stored, what is leased, what was settled, which copies exist. After the faults
//! stop everything must come to its end, and nothing may have happened that the contract forbids.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::Key;
use crate::driver::Token;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[derive(Clone, Debug)]
struct Stored {
    id: u64,
    key: u64,
    failures: u32,
    deliveries: u32,
    due: Moment,
}

#[derive(Clone, Debug, PartialEq)]
enum End {
    Acked,
    DeadLettered,
}

/// One queue, one consumer, leases, in-place returns. Keys are handed out strictly in order; several of one key may be
/// out at once, so that the machine's lanes have to keep them apart.
struct Model {
    rng: fastrand::Rng,
    order: Order,
    m: Machine,
    now: Moment,
    /// By position: its place in the queue.
    queue: BTreeMap<u64, Stored>,
    leased: BTreeMap<u64, Stored>,
    lease: Option<Duration>,
    lease_until: BTreeMap<u64, Moment>,
    /// Every lease has a token of its own.
    tokens: BTreeMap<u64, u32>,
    generation: u32,
    next_position: u64,
    running: Vec<(Handover, u64)>,
    unfinal: Vec<(Token, bool)>,
    /// What the application and the successors allowed: only these may be acknowledged.
    may_ack: BTreeSet<u64>,
    ends: BTreeMap<u64, Vec<End>>,
    first_seen: Vec<(u64, u64)>,
    failures_told: BTreeMap<u64, u32>,
    storing: Vec<Successor>,
    /// Settlements that may have been lost with their lease, and copies that may exist twice.
    dirty: BTreeSet<u64>,
    /// Faults still happen.
    failing: bool,
    /// Recorded settlements may fail.
    record_faults: bool,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let order = match rng.u8(0..4) {
            0 => Order::Unordered,
            1 => Order::FallBehind,
            2 => Order::BLOCK,
            _ => Order::Block {
                max_blocked_keys: 2,
                longest_wait: MS(700),
                spill: if rng.bool() { Spill::DeadLetter } else { Spill::FallBehind },
            },
        };
        let by = [RetryBy::Broker, RetryBy::Copy, RetryBy::Holding][rng.usize(0..3)];
        let config = Config {
            order,
            delivery_ceiling: 50,
            dead_letter: true,
            retry: Retry::exponential(MS(50), MS(400)).attempts(4),
            retry_by: by,
            at_most_once: false,
            prefetch: rng.usize(1..12),
            max_parked: rng.usize(0..6),
            pace: ReleasePace { first: MS(20), cap: MS(100) },
            give_back: rng.bool(),
            replace: false,
            lease: rng.bool().then_some(MS(500)),
            extend: true,
            wants: Wants::default(),
            wall_start_ms: 0,
            channel: "q".into(),
            subscription: None,
        };
        let (record_faults, lease) = (rng.bool(), config.lease);
        let m = Machine::new(config, seed);
        Model {
            rng,
            order,
            m,
            now: Moment::ZERO,
            queue: BTreeMap::new(),
            leased: BTreeMap::new(),
            lease,
            lease_until: BTreeMap::new(),
            tokens: BTreeMap::new(),
            generation: 1,
            next_position: 1,
            running: Vec::new(),
            unfinal: Vec::new(),
            may_ack: BTreeSet::new(),
            ends: BTreeMap::new(),
            first_seen: Vec::new(),
            failures_told: BTreeMap::new(),
            storing: Vec::new(),
            dirty: BTreeSet::new(),
            failing: true,
            record_faults,
        }
    }

    fn publish(&mut self, id: u64) {
        let stored = Stored { id, key: id % 4, failures: 0, deliveries: 0, due: self.now };
        self.queue.insert(self.next_position, stored);
        self.next_position += 1;
    }

    fn receive(&mut self) {
        let mut demand = self.m.demand().min(self.rng.usize(1..5));
        let mut waiting_keys = BTreeSet::new();
        for (position, stored) in self.queue.clone() {
            if demand == 0 {
                break;
            }
            let blocks = matches!(self.order, Order::Block { .. });
            if stored.due > self.now {
                waiting_keys.insert(stored.key);
                continue;
            }
            if blocks && waiting_keys.contains(&stored.key) {
                continue;
            }
            // In place: never hand out what stands behind an unleased one of its key.
            demand -= 1;
            self.queue.remove(&position);
            let mut stored = stored;
            stored.deliveries += 1;
            self.generation += 1;
            self.tokens.insert(position, self.generation);
            let token = Token { position, source: 0, generation: self.generation };
            let mut message = Message::new(stored.id.to_be_bytes().to_vec()).with_id(stored.id.to_string());
            message.key = Some(Key::from(stored.key));
            let mut incoming = Incoming::new(token, message);
            incoming.deliveries = Some(stored.deliveries);
            incoming.failures = stored.failures;
            self.leased.insert(position, stored);
            self.lease_until.insert(position, self.lease.map_or(Moment::NEVER, |lease| self.now + lease));
            self.m.accept(incoming, self.now);
        }
        self.apply();
    }

    fn apply(&mut self) {
        while !self.m.records.is_empty() {
            for record in std::mem::take(&mut self.m.records) {
                let valid = self.tokens.get(&record.token.position) == Some(&record.token.generation);
                if !valid || !self.leased.contains_key(&record.token.position) {
                    self.m.answered(record, Settled::Stale);
                    continue;
                }
                let position = record.token.position;
                // A release that fails leaves its lease to run out; a broker that hands out several of a key must not
                // pass over it meanwhile. This model would, so it spares those.
                let spared = self.order.is_ordered() && matches!(record.op, Op::Release);
                let fails = self.failing && self.record_faults && !spared && self.rng.u8(0..20) == 0;
                if !fails {
                    self.carry_out(position, &record.op);
                }
                self.unfinal.push((record.token, fails));
                self.m.answered(record, Settled::Recorded);
            }
        }
        self.storing.append(&mut self.m.successors);
    }

    fn carry_out(&mut self, position: u64, op: &Op) {
        match op {
            Op::Extend { by } => {
                self.lease_until.insert(position, self.now + *by);
            }
            Op::Ack => {
                let stored = self.leased.remove(&position).unwrap();
                assert!(self.may_ack.remove(&position), "{} settled without a reason", stored.id);
            }
            Op::Release => {
                let mut stored = self.leased.remove(&position).unwrap();
                stored.deliveries -= 1;
                self.queue.insert(position, stored);
            }
            Op::Retry { after, failures } => {
                let mut stored = self.leased.remove(&position).unwrap();
                stored.failures += failures;
                stored.due = self.now + *after;
                let place = if self.order == Order::FallBehind {
                    self.next_position += 1;
                    self.next_position - 1
                } else {
                    position
                };
                self.queue.insert(place, stored);
            }
            Op::Replace { .. } => unreachable!("not asked for"),
        }
    }

    fn flush(&mut self) {
        self.m.flush_begins();
        let mut late = Vec::new();
        for (token, failed) in std::mem::take(&mut self.unfinal) {
            if failed {
                let error = Error::new(crate::ErrorKind::Timeout, "settle", "lost");
                late.push(Late { token, kind: LateKind::Failed(error) });
            }
        }
        self.m.flush_ended(&mut late, self.now);
        self.apply();
    }

    fn take(&mut self) {
        let Some(handover) = self.m.pop_ready() else { return };
        let id: u64 = handover.message.id.to_string().parse().unwrap();
        let key = id % 4;
        if self.order.is_ordered() {
            let valid = |h: &Handover, m: &Machine| !m.is_lost(h.slot);
            let same_key = self.running.iter().filter(|(h, other)| valid(h, &self.m) && other % 4 == key).count();
            assert_eq!(same_key, 0, "two leases of key {key}");
        }
        assert!(
            !self.ends.get(&id).is_some_and(|ends| ends.contains(&End::Acked)) || self.dirty.contains(&id),
            "{id} came back"
        );
        if !self.first_seen.iter().any(|(_, seen)| *seen == id) {
            if self.order.is_ordered() {
                let later = self.first_seen.iter().find(|(k, seen)| *k == key && *seen > id);
                assert!(later.is_none(), "{id} first seen after {later:?}");
            }
            self.first_seen.push((key, id));
        }
        if matches!(self.order, Order::Block { spill: Spill::DeadLetter, .. }) && !self.record_faults {
            let open = |other: &u64| !self.ends.contains_key(other) && !self.dirty.contains(other);
            let overtaken = self.first_seen.iter().find(|(k, other)| *k == key && *other < id && open(other));
            assert!(overtaken.is_none(), "{id} handed out while {overtaken:?} is in retry");
        }
        let told = self.failures_told.get(&id).copied().unwrap_or(0);
        assert!(handover.attempt.at_least <= 1 + told, "invented failures of {id}");
        self.running.push((handover, id));
    }

    fn settle_one(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let (handover, id) = self.running.swap_remove(self.rng.usize(0..self.running.len()));
        let position = self.m.slots.get(handover.slot.slot).token.position;
        let lost = self.m.is_lost(handover.slot);
        let verdict = match self.rng.u8(0..if self.failing { 10 } else { 5 }) {
            0..=4 => {
                if !lost {
                    self.may_ack.insert(position);
                    self.ends.entry(id).or_default().push(End::Acked);
                }
                Verdict::Ack
            }
            5 | 6 => {
                *self.failures_told.entry(id).or_default() += u32::from(!lost);
                Verdict::Retry { after: None, error: "x".into() }
            }
            7 | 8 => Verdict::Release,
            _ => Verdict::DeadLetter { reason: ReasonKind::Rejected, error: "y".into() },
        };
        self.m.set_now(self.now);
        let answer = self.m.settle(handover.slot, verdict, handover.message);
        assert_eq!(answer == Settled::Stale, lost, "{id}");
        self.apply();
    }

    fn store_one(&mut self) {
        if self.storing.is_empty() {
            return;
        }
        let successor = self.storing.swap_remove(self.rng.usize(0..self.storing.len()));
        let id: u64 = successor.message.id.to_string().parse().unwrap();
        if self.failing && self.rng.bool() {
            // Refused, or stored without our knowing: the machine tries again either way.
            if self.rng.bool() {
                self.dirty.insert(id);
                self.keep(&successor, id);
            }
            let error = Error::new(crate::ErrorKind::Timeout, "store", "no answer");
            self.m.successor_done(successor.slot, Err(error), self.now);
        } else {
            self.keep(&successor, id);
            if self.m.is_lost(successor.slot) {
                self.dirty.insert(id);
            } else {
                self.may_ack.insert(self.m.slots.get(successor.slot.slot).token.position);
            }
            self.m.successor_done(successor.slot, Ok(()), self.now);
        }
        self.apply();
    }

    fn keep(&mut self, successor: &Successor, id: u64) {
        if successor.dead_letter {
            self.ends.entry(id).or_default().push(End::DeadLettered);
            return;
        }
        let history = successor.message.history();
        let due = match successor.message.delay() {
            Some(crate::Delay::For(delay)) => self.now + delay,
            _ => self.now,
        };
        self.queue.insert(
            self.next_position,
            Stored { id, key: id % 4, failures: history.failures, deliveries: history.deliveries.unwrap_or(0), due },
        );
        self.next_position += 1;
    }

    fn lose_connection(&mut self) {
        // What was handled and not yet carried out is handled again.
        for (position, stored) in std::mem::take(&mut self.leased) {
            self.dirty.insert(stored.id);
            self.may_ack.remove(&position);
            self.queue.insert(position, stored);
        }
        self.unfinal.clear();
        self.m.generation_lost();
        self.apply();
    }

    fn expire_leases(&mut self) {
        let over: Vec<u64> =
            self.leased.keys().copied().filter(|position| self.lease_until[position] <= self.now).collect();
        for position in over {
            let Some(stored) = self.leased.remove(&position) else { continue };
            self.dirty.insert(stored.id);
            self.may_ack.remove(&position);
            self.queue.insert(position, stored);
        }
    }

    fn step(&mut self) {
        match self.rng.u8(0..100) {
            0..=24 => self.receive(),
            25..=49 => self.take(),
            50..=69 => self.settle_one(),
            70..=79 => self.store_one(),
            80..=87 => self.flush(),
            88..=97 => {
                self.now = self.now + MS(self.rng.u64(1..if self.failing { 200 } else { 60 }));
                self.expire_leases();
                self.m.on_time(self.now);
                self.apply();
            }
            _ if self.failing => self.lose_connection(),
            _ => {}
        }
    }
}

fn run(seed: u64) {
    let mut model = Model::new(seed);
    let total = 40;
    for id in 0..total {
        model.publish(id);
        for _ in 0..model.rng.usize(0..12) {
            model.step();
        }
    }
    for _ in 0..300 {
        model.step();
    }
    model.failing = false;
    let mut steps = 0;
    while !(model.queue.is_empty() && model.leased.is_empty() && model.m.is_drained()) {
        model.step();
        steps += 1;
        assert!(
            steps < 50_000,
            "no progress: {} queued, {} leased, {:?}",
            model.queue.len(),
            model.leased.len(),
            model.m
        );
    }
    for id in 0..total {
        assert!(model.ends.contains_key(&id), "{id} was lost");
    }
    let acked_twice = |ends: &Vec<End>| ends.iter().filter(|end| **end == End::Acked).count() > 1;
    for (id, ends) in &model.ends {
        assert!(!acked_twice(ends) || model.dirty.contains(id), "{id} handled twice: {ends:?}");
    }
}

/// How many schedules; few of them when the tests themselves are being tested.
fn seeds() -> u64 {
    std::env::var("PONTOON_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3_000)
}

#[test]
fn random_schedules_lose_nothing_and_keep_order() {
    for seed in 0..seeds() {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
