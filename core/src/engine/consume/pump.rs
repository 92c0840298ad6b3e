//! The one task of a consumer: timers, flushes, successors, reconnecting, draining, and reading ahead while nobody is
//! in `next()`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::consumer::{declare, how};
use super::shared::{Look, Receiving, Shared};
use super::slots::SlotRef;
use super::successors::Successors;
use super::{ConsumerOptions, DrainReport};
use crate::driver::{AnyReceiver, AnySettler, AnyTransport, BoxFuture, OpenedConsumer, Receiver, Settler, Transport};
use crate::engine::{ANSWER_WITHIN, Backoff, Environment};
use crate::{Error, ErrorKind, ErrorStatus, Event, Moment, Result};

/// Passes before the pump lets other tasks go on.
const PASSES: usize = 16;

/// How often it is looked whether the connection still stands, while something is handled and nobody is in `next()`.
const WATCH: Duration = Duration::from_millis(250);

pub(super) struct Pump {
    shared: Arc<Shared>,
    transport: AnyTransport,
    options: ConsumerOptions,
    env: Environment,
    successors: Successors,
    storing: FuturesUnordered<BoxFuture<'static, (SlotRef, Result<()>)>>,
    connection: Connection,
    backoff: Backoff,
    random: fastrand::Rng,
    generation: u32,
    /// When recorded settlements are flushed at the latest.
    flush_at: Moment,
    /// When it is looked next whether the connection still stands beneath what is being handled.
    watch_at: Moment,
    stopped: bool,
    error: Option<Error>,
}

enum Connection {
    Stands,
    /// Tried again at this moment.
    Waits(Moment),
    /// Being tried, until then.
    Connects(BoxFuture<'static, Result<OpenedConsumer<AnyReceiver, AnySettler>>>, Moment),
    /// For good.
    Gone,
}

impl Pump {
    pub(super) fn new(
        shared: Arc<Shared>,
        transport: AnyTransport,
        options: ConsumerOptions,
        env: Environment,
    ) -> Self {
        let mut backoff = Backoff::new(options.reconnect);
        backoff.connected(shared.clock.now());
        Pump {
            successors: Successors::new(&shared.source.channel, &transport, options.reconnect, &env),
            transport,
            random: fastrand::Rng::with_seed(env.next_seed()),
            options,
            env,
            storing: FuturesUnordered::new(),
            connection: Connection::Stands,
            backoff,
            generation: 1,
            flush_at: Moment::NEVER,
            watch_at: Moment::NEVER,
            stopped: false,
            error: None,
            shared,
        }
    }

    pub(super) async fn run(mut self) {
        let mut sleep = pin!(tokio::time::sleep_until(tokio::time::Instant::now()));
        poll_fn(|cx| self.poll(cx, sleep.as_mut())).await;
        self.successors.close().await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut tokio::time::Sleep>) -> Poll<()> {
        self.shared.pump.register(cx.waker());
        for _ in 0..PASSES {
            let now = self.shared.clock.now();
            let mut moved = self.settle_and_time(now);
            moved |= self.store(cx, now);
            moved |= self.connect(cx, now);
            moved |= self.read();
            if self.drain(cx, now) {
                return Poll::Ready(());
            }
            if moved {
                continue;
            }
            let until = self.sleep_until();
            if until == Moment::NEVER {
                return Poll::Pending;
            }
            sleep.as_mut().reset(self.shared.clock.instant(until));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Timers, records and flushes; whether the connection was lost.
    fn settle_and_time(&mut self, now: Moment) -> bool {
        let shared = &self.shared;
        let mut core = shared.core();
        if core.machine.next_deadline() <= now {
            core.machine.on_time(now);
        }
        core.apply();
        let unflushed = core.machine.unflushed() > 0;
        let urgent = core.flush_requested || core.drain.is_some() || core.machine.flush_is_urgent();
        let due = self.flush_at <= now;
        if due {
            // Also when somebody else flushed meanwhile: a tick in the past would never let the pump sleep.
            self.flush_at = Moment::NEVER;
        }
        if unflushed && (urgent || core.is_flushing() || due) {
            let clock = shared.clock;
            core.flush(&shared.pump_waker, || clock.now());
            self.flush_at = Moment::NEVER;
        }
        // Settlements that come while a flush is pending are flushed by its end, which wakes us.
        if core.machine.unflushed() > 0 && !core.is_flushing() && self.flush_at == Moment::NEVER {
            self.flush_at = now + self.options.flush_every;
        }
        core.flush_awaited = self.flush_at == Moment::NEVER && core.is_flushing();
        core.tick_armed = self.flush_at != Moment::NEVER || core.flush_awaited;
        core.flush_requested &= core.machine.unflushed() > 0;
        // Told only when something ended: whoever waits asks again at once, and the two would spin otherwise.
        let progressed = std::mem::take(&mut core.ended);
        if core.watching && (self.watch_at == Moment::NEVER || self.watch_at <= now) {
            let idle = self.watch_at <= now && core.machine.running() == 0;
            core.watching = !idle;
            self.watch_at = if idle { Moment::NEVER } else { now + WATCH };
        }
        for successor in core.machine.successors.drain(..) {
            self.storing.push(self.successors.store(successor));
        }
        core.check_flush(now);
        let dead = core.dead.take();
        core.armed_until = Moment::NEVER; // what is armed is known only at the end of this poll
        let after = core.aftermath(0);
        drop(core);
        shared.after(super::core::Aftermath { pump: false, ..after });
        if progressed {
            shared.progress.notify_waiters();
        }
        if let Some(error) = dead {
            self.lost(error, now);
            return true;
        }
        false
    }

    /// Successors that are being stored; whether one came to its end.
    fn store(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some((slot, outcome))) = self.storing.poll_next_unpin(cx) {
            let mut core = self.shared.core();
            core.machine.successor_done(slot, outcome, now);
            let _ = core.apply();
            let after = core.aftermath(0);
            drop(core);
            self.shared.after(super::core::Aftermath { pump: false, ..after });
            moved = true;
        }
        moved
    }

    /// The connection is lost: every lease with it.
    fn lost(&mut self, error: Error, now: Moment) {
        {
            let mut receiving = self.shared.receiving();
            *receiving = Receiving { receiver: None, inbox: Default::default() };
        }
        let draining = {
            let mut core = self.shared.core();
            core.disconnect();
            let draining = core.drain.is_some();
            let after = core.aftermath(0);
            drop(core);
            self.shared.after(super::core::Aftermath { pump: false, ..after });
            draining
        };
        self.shared.progress.notify_waiters();
        self.failed(error, now, draining);
    }

    /// The connection could not be kept or made: when it is tried again, if ever.
    fn failed(&mut self, error: Error, now: Moment, draining: bool) {
        if draining {
            self.error = Some(error);
            self.connection = Connection::Gone;
        } else if error.status() == ErrorStatus::Permanent {
            self.shared.core().fatal = Some(error.clone());
            self.error = Some(error);
            self.connection = Connection::Gone;
            self.shared.waiters.wake(usize::MAX);
        } else {
            let wait = self.backoff.failed(now, self.random.f64());
            let channel = &self.shared.source.channel;
            self.shared.tell(&Event::Disconnected { channel, error: &error, retry_in: wait });
            self.connection = Connection::Waits(now + wait);
        }
    }

    /// Makes a lost connection anew; whether anything moved.
    fn connect(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        match &mut self.connection {
            Connection::Stands | Connection::Gone => false,
            Connection::Waits(until) if *until > now => false,
            Connection::Waits(_) => {
                self.generation += 1;
                let (transport, source) = (self.transport.clone(), self.shared.source.clone());
                let how = how(&source, &self.options, self.generation, &self.env);
                let attempt = Box::pin(async move {
                    declare(&transport, &source).await?;
                    transport.open_consumer(how).await
                });
                self.connection = Connection::Connects(attempt, now + ANSWER_WITHIN);
                true
            }
            Connection::Connects(connecting, until) => match connecting.as_mut().poll(cx) {
                Poll::Pending if *until > now => false,
                Poll::Pending => {
                    let draining = self.shared.core().drain.is_some();
                    let error = Error::new(ErrorKind::Timeout, "open consumer", "no connection in time");
                    self.failed(error, now, draining);
                    true
                }
                Poll::Ready(Err(error)) => {
                    let draining = self.shared.core().drain.is_some();
                    self.failed(error, now, draining);
                    true
                }
                Poll::Ready(Ok(opened)) => {
                    self.connected(opened, now);
                    true
                }
            },
        }
    }

    fn connected(&mut self, opened: OpenedConsumer<AnyReceiver, AnySettler>, now: Moment) {
        self.backoff.connected(now);
        self.connection = Connection::Stands;
        self.stopped = false;
        self.shared.core().settler = Some(opened.settler);
        self.shared.receiving().receiver = Some(opened.receiver);
        let channel = &self.shared.source.channel;
        self.shared.tell(&Event::Reconnected { channel, generation: self.generation });
        self.shared.waiters.wake(1);
    }

    /// Reads ahead while nobody is in `next()`: a lease may be running on what was handed out already.
    fn read(&mut self) -> bool {
        if self.shared.waiters.any() || !matches!(self.connection, Connection::Stands) {
            return false;
        }
        let demand = {
            let core = self.shared.core();
            if core.drain.is_some() { 0 } else { core.machine.demand() }
        };
        demand > 0 && self.shared.look(demand, None) == Look::Arrived
    }

    /// Leaves, once that was asked for and is possible or due; whether it is done.
    fn drain(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let Some(drain) = self.shared.core().drain else { return self.finish_if_gone() };
        self.stop_receiving();
        let mut core = self.shared.core();
        let due = drain.deadline <= now;
        let gone = matches!(self.connection, Connection::Gone) || core.settler.is_none();
        let drained = core.machine.is_drained() && self.storing.is_empty() && (self.stopped || gone);
        if !(drained || due || (gone && core.machine.running() == 0)) {
            return false;
        }
        let abandoned = core.machine.abandon();
        if let Some(settler) = &mut core.settler {
            let mut late = Vec::new();
            match settler.poll_close(cx, &mut late) {
                Poll::Pending if !due => return false,
                Poll::Ready(Err(error)) => self.error = self.error.take().or(Some(error)),
                _ => {}
            }
        }
        let released = core.machine.released_by_drain();
        core.disconnect();
        let late = std::mem::take(&mut core.late_draining);
        core.finished = Some(DrainReport { released, abandoned, late, error: self.error.take() });
        self.end(core);
        true
    }

    fn stop_receiving(&mut self) {
        if self.stopped {
            return;
        }
        let mut receiving = self.shared.receiving();
        let Receiving { receiver: Some(receiver), inbox } = &mut *receiving else {
            self.stopped = true;
            return;
        };
        let waker = &self.shared.pump_waker;
        let stopped = receiver.poll_stop(&mut Context::from_waker(waker), inbox);
        // What it still brought is given back. Where that is nothing the pump must not wake itself: it would spin until the
        // read under way ends.
        if !inbox.is_empty() {
            self.shared.take(inbox, None);
        }
        if stopped.is_ready() {
            self.stopped = true;
        }
    }

    /// A connection that is gone for good ends the consumer once its error was taken.
    fn finish_if_gone(&mut self) -> bool {
        if !matches!(self.connection, Connection::Gone) {
            return false;
        }
        let mut core = self.shared.core();
        if core.fatal.is_some() {
            return false;
        }
        core.finished = Some(DrainReport { error: self.error.take(), ..DrainReport::default() });
        self.end(core);
        true
    }

    fn end(&self, mut core: std::sync::MutexGuard<'_, super::core::Core>) {
        let after = core.aftermath(0);
        drop(core);
        self.shared.receiving().receiver = None;
        self.shared.after(super::core::Aftermath { pump: false, wake: usize::MAX, ..after });
        self.shared.progress.notify_waiters();
    }

    fn sleep_until(&mut self) -> Moment {
        let mut core = self.shared.core();
        let mut until = core.machine.next_deadline().min(self.flush_at).min(self.watch_at).min(core.flush_ends_by());
        if let Some(drain) = core.drain {
            until = until.min(drain.deadline);
        }
        if let Connection::Waits(at) | Connection::Connects(_, at) = self.connection {
            until = until.min(at);
        }
        core.armed_until = until;
        until
    }
}
