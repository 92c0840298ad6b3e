//! What the handles, the pump and the producer's completions share.
//!
//! There is one lock that matters, the *lane*. A completion never waits for it: it goes into a small inbox, and whoever
//! holds the lane empties the inbox before letting go, and looks once more afterwards. So a producer may complete from
//! within `poll_submit`, on the thread that holds the lane, and from a thread of its own, and nothing is stranded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::lock;
use super::machine::{Machine, Place};
use super::outcome::PublisherReport;
use super::policy;
use super::signal::Signal;
use super::slots::{DIRECT_BLOCK, Owner};
use crate::driver::{AnyProducer, Batch, CompletionSink, DirectBatch, Producer, Ticket};
use crate::engine::Clock;
use crate::{Capabilities, Capability, Channel, Error, IdGenerator, Message, Moment, PublishOutcome, Receipt, Result};

/// The most messages offered in one call: what holds the lane must be short.
pub(super) const MAX_BATCH: usize = DIRECT_BLOCK as usize;
/// From this many on a batch is worth submitting on the caller's own thread.
pub(super) const WORTH_SUBMITTING: usize = 16;

type Outcomes = Vec<(Ticket, PublishOutcome)>;

/// Whether messages are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Nothing new; what was accepted is flushed until then.
    Closing(Moment),
    Closed,
}

pub(super) struct Lane {
    pub machine: Machine<Waker>,
    pub producer: Option<AnyProducer>,
    /// A producer that died, with its reason: for the pump to drop and replace.
    pub dead: Option<(AnyProducer, Error)>,
    pub capabilities: Capabilities,
    /// Capabilities whose volatile form suffices.
    volatile: Vec<Capability>,
    pub phase: Phase,
    pub report: Option<PublisherReport>,
    /// When the pump's timer fires.
    pub armed: Moment,
    /// The producer took nothing: its waker tells when to offer again.
    pub full: bool,
    /// The pump is awake, or was called: it looks for work before it sleeps.
    pub awake: bool,
    ids: IdGenerator,
    scratch: Outcomes,
    /// Direct messages that were stored at once.
    stored: Vec<(u32, Receipt)>,
}

#[derive(Default)]
struct Inbox {
    /// The generation that may complete; 0 is none.
    generation: u32,
    outcomes: Outcomes,
}

pub(super) struct Shared {
    lane: Mutex<Lane>,
    inbox: Mutex<Inbox>,
    /// There may be something in the inbox.
    arrived: AtomicBool,
    pub signal: Arc<Signal>,
    /// The producer's waker: raises the signal.
    waker: Waker,
    pub clock: Clock,
    pub channel: Channel,
    pub closed: Notify,
    /// A buffer for the messages of the next `publish_all`.
    spare: Mutex<Vec<Option<Message>>>,
}

/// Who published direct messages.
pub(super) trait Claim {
    /// The next message was confirmed.
    fn confirmed(&mut self, machine: &mut Machine<Waker>, receipt: Receipt);
    /// The next message became an ordinary one: who is told its outcome.
    fn owner(&mut self, machine: &mut Machine<Waker>, place: Place) -> Owner<Waker>;
}

/// The completions of one generation.
pub(super) struct Sink {
    pub shared: Arc<Shared>,
    pub generation: u32,
}

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Outcomes) {
        let shared = &*self.shared;
        {
            let mut inbox = lock(&shared.inbox);
            if inbox.generation != self.generation {
                // This generation was given up: its messages have been decided without it.
                drop(inbox);
                outcomes.clear();
                return;
            }
            if inbox.outcomes.is_empty() {
                std::mem::swap(&mut inbox.outcomes, outcomes);
            } else {
                inbox.outcomes.append(outcomes);
            }
        }
        shared.attend();
    }
}

impl Shared {
    pub(super) fn new(
        channel: Channel,
        machine: Machine<Waker>,
        capabilities: Capabilities,
        volatile: Vec<Capability>,
        seed: u64,
        clock: Clock,
    ) -> Self {
        let signal = Arc::new(Signal::default());
        Shared {
            lane: Mutex::new(Lane {
                machine,
                producer: None,
                dead: None,
                capabilities,
                volatile,
                phase: Phase::Open,
                report: None,
                armed: Moment::NEVER,
                full: false,
                awake: true,
                ids: IdGenerator::seeded(seed),
                scratch: Vec::new(),
                stored: Vec::new(),
            }),
            inbox: Mutex::default(),
            arrived: AtomicBool::new(false),
            waker: Waker::from(Arc::clone(&signal)),
            signal,
            clock,
            channel,
            closed: Notify::new(),
            spare: Mutex::default(),
        }
    }

    // --- the lane ------------------------------------------------------------------------------------------------

    /// Does something under the lane, then whatever follows from it.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Lane) -> R) -> R {
        let mut lane = lock(&self.lane);
        let result = work(&mut lane);
        self.leave(lane);
        result
    }

    /// The same for the pump, which wakes everyone itself and needs no call.
    pub(super) fn with_as_pump<R>(&self, woken: &mut Vec<Waker>, work: impl FnOnce(&mut Lane) -> R) -> R {
        let mut lane = lock(&self.lane);
        let result = work(&mut lane);
        self.empty_inbox(&mut lane);
        std::mem::swap(woken, &mut lane.machine.woken);
        drop(lane);
        for waker in woken.drain(..) {
            waker.wake();
        }
        // What came meanwhile finds the lane free, or is left for us.
        if self.arrived.swap(false, Ordering::AcqRel) {
            self.attend();
        }
        result
    }

    /// Something is in the inbox: takes care of it, unless whoever holds the lane will.
    fn attend(&self) {
        self.arrived.swap(true, Ordering::AcqRel);
        match self.lane.try_lock() {
            Ok(lane) => self.leave(lane),
            Err(TryLockError::Poisoned(lane)) => self.leave(lane.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Lets go of the lane: empties the inbox first, then wakes, then looks whether something came too late to be seen
    /// by us and too early to find the lane free.
    ///
    /// That look must be a read-modify-write, as the raising is: the two are then ordered, and either we see the flag
    /// or whoever raised it sees the lane free.
    fn leave<'a>(&'a self, mut lane: MutexGuard<'a, Lane>) {
        loop {
            self.empty_inbox(&mut lane);
            let mut call = self.pump_has_work(&lane);
            let woken = &mut lane.machine.woken;
            // Two at most: waking costs, and this thread may be a client's own.
            let (first, second) = match woken.len() {
                0 => (None, None),
                1 => (woken.pop(), None),
                _ => {
                    let mut front = woken.drain(..2);
                    (front.next(), front.next())
                }
            };
            call |= !woken.is_empty();
            // Nobody calls the pump twice.
            let news = call && !lane.awake;
            lane.awake |= call;
            drop(lane);
            if news {
                self.signal.raise();
            }
            if let Some(waker) = first {
                waker.wake();
            }
            if let Some(waker) = second {
                waker.wake();
            }
            if !self.arrived.swap(false, Ordering::AcqRel) {
                return;
            }
            self.arrived.swap(true, Ordering::AcqRel);
            lane = match self.lane.try_lock() {
                Ok(lane) => lane,
                Err(TryLockError::Poisoned(lane)) => lane.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
        }
    }

    fn pump_has_work(&self, lane: &Lane) -> bool {
        lane.dead.is_some()
            || (lane.machine.sendable() > 0 && !lane.full && lane.producer.is_some())
            || lane.machine.next_timer() < lane.armed
            || (matches!(lane.phase, Phase::Closing(_)) && lane.machine.unresolved() == 0)
    }

    pub(super) fn empty_inbox(&self, lane: &mut Lane) {
        if self.arrived.load(Ordering::Relaxed) && self.arrived.swap(false, Ordering::AcqRel) {
            std::mem::swap(&mut lock(&self.inbox).outcomes, &mut lane.scratch);
            self.complete(lane);
        }
    }

    fn complete(&self, lane: &mut Lane) {
        lane.machine.complete(&mut lane.scratch, || self.clock.now());
    }

    // --- the producer --------------------------------------------------------------------------------------------

    /// A new generation stands.
    pub(super) fn install(&self, lane: &mut Lane, producer: AnyProducer, capabilities: Capabilities, generation: u32) {
        lock(&self.inbox).generation = generation;
        lane.machine.opened(generation, &capabilities.behaviour);
        lane.capabilities = capabilities;
        lane.producer = Some(producer);
        lane.full = false;
    }

    /// The generation is dead. What it completed before counts; everything else is decided without it.
    pub(super) fn lose(&self, lane: &mut Lane, error: Error) {
        {
            let mut inbox = lock(&self.inbox);
            inbox.generation = 0;
            std::mem::swap(&mut inbox.outcomes, &mut lane.scratch);
        }
        self.complete(lane);
        lane.machine.lost(&error);
        if let Some(producer) = lane.producer.take() {
            lane.dead = Some((producer, error));
        }
    }

    /// Offers one batch. Whether it is worth offering more.
    pub(super) fn submit(&self, lane: &mut Lane, now: Moment) -> bool {
        // A failure that was told before must hold back the later messages of its key.
        self.empty_inbox(lane);
        let Some(producer) = &mut lane.producer else { return false };
        if lane.machine.sendable() == 0 {
            return false;
        }
        let mut offer = lane.machine.offer(now, MAX_BATCH);
        let polled = producer.poll_submit(&mut Context::from_waker(&self.waker), &mut Batch::new(&mut offer));
        let (taken, stored) = offer.taken();
        if taken > 0 {
            lane.machine.learn(taken == stored);
        }
        match polled {
            Poll::Ready(Ok(())) if taken > 0 => return true,
            Poll::Ready(Ok(())) | Poll::Pending => lane.full = true,
            Poll::Ready(Err(error)) => self.lose(lane, error),
        }
        false
    }

    /// Whether messages may be offered without being given slots first.
    #[inline]
    pub(super) fn may_go_direct(&self, lane: &Lane) -> bool {
        lane.producer.is_some() && !lane.full && lane.machine.may_go_direct()
    }

    /// Offers messages that were checked and stamped, without giving them slots: how many at the front of them the
    /// producer took. `claim` is told of those confirmed at once, in order; when not all of a batch were, that batch
    /// becomes ordinary messages.
    pub(super) fn submit_direct(
        &self,
        lane: &mut Lane,
        deadline: Moment,
        now: Moment,
        messages: &mut [Option<Message>],
        claim: &mut impl Claim,
    ) -> usize {
        let mut done = 0;
        while done < messages.len() && self.may_go_direct(lane) {
            let offered = lane.machine.room_for(messages[done..].iter().take(MAX_BATCH).flatten());
            if offered == 0 {
                break;
            }
            let direct = lane.machine.next_direct();
            let Some(producer) = &mut lane.producer else { break };
            let (these, mut taken) = (&mut messages[done..done + offered], 0);
            let batch = DirectBatch {
                messages: &mut *these,
                taken: &mut taken,
                stored: &mut lane.stored,
                first_slot: direct.first_slot,
                generation: direct.generation,
            };
            let polled = producer.poll_submit(&mut Context::from_waker(&self.waker), &mut Batch::direct(batch));
            done += taken;
            if lane.stored.len() == taken {
                lane.machine.confirmed_directly(taken);
                for (_, receipt) in lane.stored.drain(..) {
                    claim.confirmed(&mut lane.machine, receipt);
                }
            } else {
                let owner = |machine: &mut Machine<Waker>, place| claim.owner(machine, place);
                lane.machine.adopt(direct, &mut these[..taken], owner, deadline, now);
                self.empty_inbox(lane);
                let ticket = |at| Ticket { slot: direct.first_slot + at, generation: direct.generation };
                let stored = lane.stored.drain(..);
                lane.scratch.extend(stored.map(|(at, receipt)| (ticket(at), PublishOutcome::Confirmed(receipt))));
                self.complete(lane);
            }
            match polled {
                Poll::Ready(Ok(())) if taken > 0 => {}
                Poll::Ready(Ok(())) | Poll::Pending => lane.full = true,
                Poll::Ready(Err(error)) => self.lose(lane, error),
            }
        }
        done
    }

    /// Lets the producer do its I/O.
    pub(super) fn drive(&self, lane: &mut Lane) {
        let Some(producer) = &mut lane.producer else { return };
        if let Poll::Ready(error) = producer.poll_drive(&mut Context::from_waker(&self.waker)) {
            self.lose(lane, error);
        }
    }

    /// Lets the producer close.
    pub(super) fn poll_close(&self, lane: &mut Lane) -> Poll<Result<()>> {
        match &mut lane.producer {
            Some(producer) => producer.poll_close(&mut Context::from_waker(&self.waker)),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Before the pump sleeps: when it is to wake at the latest. `None`: there is work now.
    ///
    /// From here on whoever makes work calls the pump, which has registered for it; before, it would have been told
    /// what it knows, and never sleep while the producer is full.
    pub(super) fn rest(&self) -> Option<Moment> {
        self.with(|lane| {
            self.empty_inbox(lane);
            lane.armed = match lane.phase {
                Phase::Closing(by) => lane.machine.next_timer().min(by),
                Phase::Open | Phase::Closed => lane.machine.next_timer(),
            };
            let work = self.pump_has_work(lane);
            lane.awake = work;
            (!work).then_some(lane.armed)
        })
    }

    #[cfg(test)]
    pub(super) fn stats_unattended(&self) -> super::PublisherStats {
        lock(&self.lane).machine.stats()
    }

    // --- buffers -------------------------------------------------------------------------------------------------

    /// An empty buffer, with room from last time.
    pub(super) fn buffer(&self) -> Vec<Option<Message>> {
        std::mem::take(&mut lock(&self.spare))
    }

    /// Gives the buffer back.
    pub(super) fn return_buffer(&self, buffer: Vec<Option<Message>>) {
        *lock(&self.spare) = buffer;
    }
}

impl Lane {
    /// Whether a message may be sent: the publisher is open, and the profile does what the message asks for. Nothing is
    /// ignored or clamped.
    pub(super) fn check(&self, message: &Message, wall_ms: u64) -> Result<()> {
        if self.phase != Phase::Open {
            return Err(policy::closed());
        }
        if let Some(max) = self.capabilities.limits.max_body
            && message.body.len() as u64 > max
        {
            return Err(policy::too_large(message.body.len(), max, &self.capabilities));
        }
        let plain = message.delay().is_none() && message.ttl().is_none() && message.priority().is_none();
        if plain { Ok(()) } else { policy::check_asked(message, &self.capabilities, &self.volatile, wall_ms) }
    }

    /// Gives the message what only the publisher knows.
    pub(super) fn stamp(&mut self, message: &mut Message, wall_ms: u64) {
        if message.id.is_unset() {
            message.id = self.ids.next(wall_ms);
        }
        if message.timestamp_ms == 0 {
            message.timestamp_ms = wall_ms;
        }
    }
}
