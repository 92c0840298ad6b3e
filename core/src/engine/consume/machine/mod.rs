//! The consumer's state machine: leases, lanes, retries, dead letters and draining, without I/O, tasks or clock.
//!
//! It is told what arrived, what the application decided, what became of successors and flushes, and what time it is.
//! It answers with deliveries that are ready, records for the settler, successors to store, and notes for the event
//! hook. The settlement law lives here: nothing is recorded as settled before its successor is confirmed.

mod arrive;
mod decide;
mod hand_out;
mod leave;
mod settling;
mod time;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::lanes::{Lanes, NIL};
use super::note::{Note, Wants};
use super::pace::Pacer;
use super::slots::{Purpose, Slot, SlotRef, Slots, State, Then};
use super::successor;
use super::unflushed::{Op, Record, Unflushed};
use super::{FlushReport, ReleasePace};
use crate::driver::{Incoming, Late, LateKind, Settled, Token};
use crate::{
    Attempt, BrokerId, Error, Message, MessageId, Moment, Order, ReasonKind, Retry, Spill, Text, bounded_error_text,
};

/// How failed messages come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryBy {
    /// The broker takes them back and counts the failure.
    Broker,
    /// A copy with the count is published with a delay, then the original is settled.
    Copy,
    /// They are held here; the profile's volatile form was allowed by name, or nothing ever waits.
    Holding,
}

/// What the machine must know about its channel, profile and options.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) order: Order,
    pub(crate) delivery_ceiling: u32,
    /// `None`: dropped with an event.
    pub(crate) dead_letter: bool,
    pub(crate) retry: Retry,
    pub(crate) retry_by: RetryBy,
    pub(crate) at_most_once: bool,
    pub(crate) prefetch: usize,
    pub(crate) max_parked: usize,
    pub(crate) pace: ReleasePace,
    /// Released messages without a key go back to the broker; others are held here and handed out again.
    pub(crate) give_back: bool,
    /// Successors are stored by the settler, in one step with the settlement.
    pub(crate) replace: bool,
    pub(crate) lease: Option<Duration>,
    pub(crate) extend: bool,
    pub(crate) wants: Wants,
    /// Milliseconds since 1970 at [`Moment::ZERO`].
    pub(crate) wall_start_ms: u64,
    pub(crate) channel: Text,
    pub(crate) subscription: Option<Text>,
}

/// What the application decided.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Ack,
    Retry { after: Option<Duration>, error: Text },
    Release,
    DeadLetter { reason: ReasonKind, error: Text },
}

/// A delivery on its way to the application.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) slot: SlotRef,
    pub(crate) message: Message,
    pub(crate) attempt: Attempt,
    pub(crate) broker_id: BrokerId,
    pub(crate) generation: u32,
}

/// A successor that the shell is to store.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(crate) slot: SlotRef,
    /// To the dead-letter channel, else to the channel itself.
    pub(crate) dead_letter: bool,
    pub(crate) message: Message,
}

/// The wait after the first failure to store a successor, doubling up to [`SUCCESSOR_CAP`].
const SUCCESSOR_FIRST: Duration = Duration::from_millis(100);
const SUCCESSOR_CAP: Duration = Duration::from_secs(10);
/// The wait before a failed settlement is recorded again.
const RERECORD: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Machine {
    config: Config,
    slots: Slots,
    lanes: Lanes,
    ready: VecDeque<u32>,
    timers: BinaryHeap<Reverse<(Moment, u32, u32)>>,
    /// When the leases must be looked at.
    sweep_at: Moment,
    /// How long after it began a lease must be looked at.
    look_in: Duration,
    outstanding: usize,
    running: usize,
    unflushed: Unflushed,
    again: Vec<(Moment, Record)>,
    late: FlushReport,
    late_watched: Vec<(u64, LateKind)>,
    watched: Vec<u64>,
    pacer: Pacer,
    random: fastrand::Rng,
    now: Moment,
    draining: bool,
    lost: bool,
    to_start: VecDeque<u32>,
    starting: bool,
    released_by_drain: u64,
    /// Taken by the shell.
    pub(crate) records: Vec<Record>,
    pub(crate) successors: Vec<Successor>,
    pub(crate) notes: Vec<Note>,
}

impl Machine {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let lease = config.lease.unwrap_or_default();
        // Half a lease leaves time for one failed extension.
        let look_in = if config.extend { lease / 2 } else { lease };
        Machine {
            pacer: Pacer::new(config.pace),
            config,
            slots: Slots::default(),
            lanes: Lanes::default(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            sweep_at: Moment::NEVER,
            look_in,
            outstanding: 0,
            running: 0,
            unflushed: Unflushed::default(),
            again: Vec::new(),
            late: FlushReport::default(),
            late_watched: Vec::new(),
            watched: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            now: Moment::ZERO,
            draining: false,
            lost: false,
            to_start: VecDeque::new(),
            starting: false,
            released_by_drain: 0,
            records: Vec::new(),
            successors: Vec::new(),
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
