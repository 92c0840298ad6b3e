//! What consumer, deliveries and pump share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::core::{Aftermath, Core, FLUSH_AT};
use super::machine::Verdict;
use super::slots::SlotRef;
use super::wait::{ReceiveWake, Signal, Waiters};
use super::want::Want;
use crate::driver::{AnyReceiver, Inbox, Incoming, Receiver, Settled};
use crate::engine::{Clock, Environment};
use crate::{Attempt, Event, EventHook, Message, Result, Source};

pub(super) struct Shared {
    pub(super) source: Source,
    pub(super) clock: Clock,
    /// Whether the profile confirms acknowledgements.
    pub(super) confirms_acks: bool,
    core: Mutex<Core>,
    receiver: Mutex<Receiving>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) pump: Arc<Signal>,
    pub(super) pump_waker: Waker,
    receive_waker: Waker,
    /// Whether the receiver wakes somebody when something comes: it was asked, and had nothing.
    armed: AtomicBool,
    /// Somebody found the receiver taken: whoever has it calls for another look when it is free.
    missed: AtomicBool,
    hook: Option<Arc<dyn EventHook>>,
    next_waiter: AtomicU64,
    /// Handles that may wait for the end of a lease.
    pub(super) leases: AtomicUsize,
    /// A lease was lost.
    pub(super) lost: Notify,
    /// A flush or a drain came further.
    pub(super) progress: Notify,
    spare: Mutex<Spare>,
}

/// Vectors of a batch, for their room.
pub(super) type Spare = (VecDeque<Incoming>, VecDeque<Option<(SlotRef, Attempt)>>);

/// The receiving half, with what it handed over and the machine has not taken yet.
pub(super) struct Receiving {
    pub(super) receiver: Option<AnyReceiver>,
    pub(super) inbox: Inbox,
}

/// What one look at the receiver brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Something arrived.
    Arrived,
    /// Nothing; whoever is in `next()` will be woken.
    Nothing,
}

impl Shared {
    pub(super) fn new(
        source: Source,
        env: &Environment,
        core: Core,
        receiver: AnyReceiver,
        confirms_acks: bool,
    ) -> Self {
        let (waiters, pump) = (Arc::new(Waiters::default()), Arc::new(Signal::default()));
        let receive_waker = Waker::from(Arc::new(ReceiveWake { waiters: waiters.clone(), pump: pump.clone() }));
        let kinds = crate::EventKind::ALL.iter();
        Shared {
            source,
            clock: env.clock(),
            confirms_acks,
            core: Mutex::new(core),
            receiver: Mutex::new(Receiving { receiver: Some(receiver), inbox: Inbox::new() }),
            waiters,
            pump_waker: Waker::from(pump.clone()),
            pump,
            receive_waker,
            armed: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            hook: kinds.filter_map(|kind| env.hook_for(*kind)).next(),
            next_waiter: AtomicU64::new(0),
            leases: AtomicUsize::new(0),
            lost: Notify::new(),
            progress: Notify::new(),
            spare: Mutex::default(),
        }
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn receiving(&self) -> MutexGuard<'_, Receiving> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the hook what it wants to hear.
    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(hook) = self.hook.as_deref().filter(|hook| hook.wants(event.kind())) {
            hook.on_event(event);
        }
    }

    pub(super) fn new_waiter(&self) -> u64 {
        self.next_waiter.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the receiver, once, for at most `max` messages, and takes what arrived: first what is wanted, then the rest
    /// into the machine.
    pub(super) fn look(self: &Arc<Self>, max: usize, want: Option<&mut Want<'_>>) -> Look {
        let Some(receiving) = self.try_receiving().or_else(|| {
            // Somebody else is looking, and may have found nothing before what this look is for had come.
            self.missed.swap(true, Ordering::AcqRel);
            self.try_receiving()
        }) else {
            return Look::Nothing;
        };
        let looked = self.look_at(receiving, max, want);
        // Both swaps read and write, so they are ordered: either we see that somebody found the receiver taken, or it
        // sees it free.
        if self.missed.swap(false, Ordering::AcqRel) {
            self.receive_waker.wake_by_ref();
        }
        looked
    }

    fn try_receiving(&self) -> Option<MutexGuard<'_, Receiving>> {
        match self.receiver.try_lock() {
            Ok(receiving) => Some(receiving),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn look_at(
        self: &Arc<Self>,
        mut receiving: MutexGuard<'_, Receiving>,
        max: usize,
        want: Option<&mut Want<'_>>,
    ) -> Look {
        let Receiving { receiver: Some(receiver), inbox } = &mut *receiving else { return Look::Nothing };
        let received = receiver.poll_receive(&mut Context::from_waker(&self.receive_waker), inbox, max);
        self.armed.store(received.is_pending(), Ordering::SeqCst);
        match received {
            Poll::Pending => Look::Nothing,
            Poll::Ready(Ok(())) => {
                self.take(inbox, want);
                Look::Arrived
            }
            Poll::Ready(Err(error)) => {
                receiving.receiver = None;
                drop(receiving);
                self.core().dead.get_or_insert(error);
                self.pump.notify();
                Look::Nothing
            }
        }
    }

    /// Takes what arrived, and wakes whom it concerns.
    pub(super) fn take(self: &Arc<Self>, inbox: &mut Inbox, want: Option<&mut Want<'_>>) {
        let now = self.clock.now();
        let mut core = self.core();
        // Whoever wants something and has it not yet will take what is ready.
        let mut taking = usize::from(want.is_some());
        if let Some(want) = want
            && want.take_arrived(self, inbox, &mut core.machine, now)
        {
            taking = 0;
            core.starts_watching();
        }
        core.take(inbox, now);
        if core.machine.flush_is_urgent() {
            let clock = self.clock;
            core.flush(&self.pump_waker, || clock.now());
        }
        let after = core.aftermath(taking);
        drop(core);
        self.after(after);
    }

    /// Does what was to be done without the lock.
    #[inline]
    pub(super) fn after(&self, after: Aftermath) {
        if after.is_something() {
            self.do_after(after);
        }
    }

    fn do_after(&self, after: Aftermath) {
        if after.pump {
            self.pump.notify();
        }
        if after.wake > 0 {
            self.waiters.wake(after.wake);
        }
        if after.lost {
            self.lost.notify_waiters();
        }
        if let Some(hook) = &self.hook {
            for note in &after.notes {
                note.tell(&**hook, &self.source);
            }
        }
    }

    /// Acknowledges deliveries of this consumer; how many were stale.
    pub(super) fn ack(&self, slots: impl Iterator<Item = SlotRef>) -> usize {
        let mut core = self.core();
        let mut stale = 0;
        for slot in slots {
            stale += usize::from(core.machine.ack(slot) == Settled::Stale);
        }
        stale += core.apply().stale;
        self.settled(core);
        stale
    }

    fn settled(&self, mut core: MutexGuard<'_, Core>) {
        if core.machine.unflushed() >= FLUSH_AT {
            let clock = self.clock;
            core.flush(&self.pump_waker, || clock.now());
        }
        let mut after = core.aftermath(0);
        after.lost |= self.leases.load(Ordering::Relaxed) > 0;
        drop(core);
        self.after(after);
    }

    /// Settles one delivery; the answer, and the settlement's number. With `watch`, how it ends is remembered.
    pub(super) fn settle(&self, slot: SlotRef, verdict: Verdict, message: Message, watch: bool) -> (Settled, u64) {
        let now = self.clock.now();
        let mut core = self.core();
        core.machine.set_now(now);
        let number = core.machine.last_number() + 1;
        if watch {
            core.machine.watch(number);
        }
        let mut answer = core.machine.settle(slot, verdict, message);
        if core.apply().stale > 0 && watch {
            answer = Settled::Stale;
        }
        self.settled(core);
        (answer, number)
    }

    /// Ends when every settlement up to this number is final.
    pub(super) async fn flushed(&self, number: u64) {
        loop {
            let progress = self.progress.notified();
            {
                let mut core = self.core();
                let clock = self.clock;
                core.flush(&self.pump_waker, || clock.now());
                // Others may have waited for the same flush.
                let others = core.ended && core.flush_requested;
                if core.machine.is_final(number) || core.finished.is_some() {
                    drop(core);
                    if others {
                        self.pump.notify();
                    }
                    return;
                }
                core.flush_requested = true;
            }
            self.pump.notify();
            progress.await;
        }
    }

    /// Takes what is wanted, for a user that is `waiting`; `None` when there will be nothing more.
    pub(super) fn poll_take(
        self: &Arc<Self>,
        waiting: &mut Waiting,
        cx: &mut Context<'_>,
        mut want: Want<'_>,
    ) -> Poll<Option<Result<()>>> {
        loop {
            let demand = {
                let mut core = self.core();
                if want.take_ready(self, &mut core.machine) {
                    core.starts_watching();
                    let after = core.has_aftermath().then(|| core.aftermath(0));
                    drop(core);
                    if let Some(after) = after {
                        self.after(after);
                    }
                    waiting.done(self);
                    return Poll::Ready(Some(Ok(())));
                }
                if let Some(ended) = Self::ended(&mut core) {
                    drop(core);
                    waiting.done(self);
                    return Poll::Ready(ended);
                }
                let demand = core.machine.demand();
                core.starved |= demand == 0;
                demand
            };
            // Not before the first look has failed: most find something.
            if waiting.looks > 0 {
                waiting.starts_looking(self);
            }
            if demand > 0 && self.look(want.demand(demand), Some(&mut want)) == Look::Arrived {
                if want.is_satisfied() {
                    waiting.done(self);
                    return Poll::Ready(Some(Ok(())));
                }
                continue;
            }
            // A publisher on another thread is often only a moment away, and sleeping costs both sides a wake-up of
            // tens of microseconds: look a few more times first, letting every other task go on in between.
            if waiting.looks < LOOKS {
                waiting.looks += 1;
                waiting.starts_looking(self);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.waiters.sleep(waiting.id(self), cx.waker());
            waiting.asleep = true;
            waiting.stops_looking(self);
            // Whatever came between the look and falling asleep found nobody to wake: look again.
            let mut core = self.core();
            let clock = self.clock;
            core.flush(&self.pump_waker, || clock.now());
            let nothing = core.machine.ready() == 0 && !core.is_over() && core.fatal.is_none();
            let demand = core.machine.demand();
            core.starved |= demand == 0;
            let after = core.aftermath(usize::MAX);
            drop(core);
            self.after(after);
            if nothing {
                if demand == 0 || self.look(want.demand(demand), Some(&mut want)) == Look::Nothing {
                    return Poll::Pending;
                }
                if want.is_satisfied() {
                    waiting.done(self);
                    return Poll::Ready(Some(Ok(())));
                }
            }
            waiting.wakes(self);
        }
    }

    /// Room for what arrives in a batch, from last time.
    pub(super) fn spare(&self) -> Spare {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *spare)
    }

    /// Gives the room back, emptied.
    pub(super) fn return_spare(&self, room: Spare) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        *spare = room;
    }

    fn ended(core: &mut Core) -> Option<Option<Result<()>>> {
        if let Some(error) = core.fatal.take() {
            return Some(Some(Err(error)));
        }
        core.is_over().then_some(None)
    }
}

/// How often a user looks before it sleeps.
const LOOKS: u32 = 24;

/// A user in `next()`.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    id: Option<u64>,
    asleep: bool,
    looking: bool,
    looks: u32,
}

impl Waiting {
    fn id(&mut self, shared: &Shared) -> u64 {
        *self.id.get_or_insert_with(|| shared.new_waiter())
    }

    fn starts_looking(&mut self, shared: &Shared) {
        if !std::mem::replace(&mut self.looking, true) {
            shared.waiters.looks();
        }
    }

    fn stops_looking(&mut self, shared: &Shared) {
        if std::mem::replace(&mut self.looking, false) {
            shared.waiters.looked();
        }
    }

    fn wakes(&mut self, shared: &Shared) {
        if std::mem::replace(&mut self.asleep, false)
            && let Some(id) = self.id
        {
            shared.waiters.leave(id);
        }
        self.looks = 0;
    }

    /// It got what it waited for.
    fn done(&mut self, shared: &Shared) {
        self.stops_looking(shared);
        self.wakes(shared);
        // It may handle for long, and those who sleep would wait for a receiver that nobody asks.
        if !shared.armed.load(Ordering::SeqCst) {
            shared.waiters.wake(1);
        }
    }

    /// It goes away without: a wake-up that was meant for it is handed on.
    pub(super) fn give_up(&mut self, shared: &Shared) {
        let was_looking = self.looking;
        self.stops_looking(shared);
        let woken = std::mem::replace(&mut self.asleep, false) && self.id.is_some_and(|id| !shared.waiters.leave(id));
        if (was_looking || woken) && shared.waiters.wake(1) == 0 {
            shared.pump.notify();
        }
    }
}
