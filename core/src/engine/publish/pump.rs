//! The one task of a publisher: drives the producer, keeps the timer, reconnects, closes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use super::PublisherOptions;
use super::open::Opener;
use super::outcome::PublisherReport;
use super::policy;
use super::shared::{Phase, Shared};
use crate::driver::{AnyProducer, BoxFuture, OpenedProducer};
use crate::engine::{ANSWER_WITHIN, Backoff, Environment};
use crate::{Error, ErrorKind, Event, EventHook, EventKind, Moment, Result};

/// Batches per pass: after them the lane is let go, so that publishers are not kept waiting.
const BATCHES_PER_PASS: usize = 4;
/// How long a producer may take to close after everything has its outcome, when nobody said.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Pump {
    shared: Arc<Shared>,
    opener: Arc<Opener>,
    link: Link,
    backoff: Backoff,
    random: fastrand::Rng,
    generation: u32,
    woken: Vec<Waker>,
    timer: Timer,
    hook_lost: Option<Arc<dyn EventHook>>,
    hook_back: Option<Arc<dyn EventHook>>,
    finished: bool,
}

/// The state of the connection.
enum Link {
    Up,
    /// To be tried again then.
    Waiting(Moment),
    /// Being tried, until then.
    Connecting(BoxFuture<'static, Result<OpenedProducer<AnyProducer>>>, Moment),
}

/// One sleep for everything.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Moment,
}

enum Woken {
    Called,
    Connected(Result<OpenedProducer<AnyProducer>>),
}

impl Pump {
    pub(super) fn new(shared: Arc<Shared>, opener: Opener, options: &PublisherOptions, env: &Environment) -> Self {
        let mut backoff = Backoff::new(options.reconnect);
        backoff.connected(shared.clock.now());
        Pump {
            shared,
            opener: Arc::new(opener),
            link: Link::Up,
            backoff,
            random: fastrand::Rng::with_seed(env.next_seed()),
            generation: 1,
            woken: Vec::new(),
            timer: Timer::default(),
            hook_lost: env.hook_for(EventKind::Disconnected),
            hook_back: env.hook_for(EventKind::Reconnected),
            finished: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            // First what is known already: it wakes publishers, whose next messages then share the batch.
            let more = self.pass(false);
            if self.reap() || self.close_if_due().await {
                if self.finished {
                    return;
                }
                continue;
            }
            if more {
                tokio::task::yield_now().await;
                self.pass(true);
                if self.reap() {
                    continue;
                }
            }
            // A producer that wakes itself all the time must not keep others from running.
            tokio::task::consume_budget().await;
            if let Woken::Connected(result) = self.wait().await {
                self.connected(result);
            }
        }
    }

    /// Drives the producer and does what is due; with `submit` also offers messages. Whether there is something to offer.
    fn pass(&mut self, submit: bool) -> bool {
        let shared = &*self.shared;
        let now = shared.clock.now();
        shared.with_as_pump(&mut self.woken, |lane| {
            lane.awake = true;
            lane.full = false;
            shared.drive(lane);
            shared.empty_inbox(lane);
            if let Err(stuck) = lane.machine.tick(now)
                && lane.producer.is_some()
            {
                shared.lose(lane, stuck);
            }
            if submit {
                let mut batches = 0;
                while batches < BATCHES_PER_PASS && shared.submit(lane, now) {
                    batches += 1;
                }
                shared.empty_inbox(lane);
            }
            lane.machine.sendable() > 0 && lane.producer.is_some() && !lane.full
        })
    }

    /// Takes leave of a producer that died, and begins to replace it. Whether there was one.
    fn reap(&mut self) -> bool {
        let Some((producer, error)) = self.shared.with(|lane| lane.dead.take()) else { return false };
        // A client's drop may take its time: not under the lane.
        drop(producer);
        self.disconnected(&error);
        true
    }

    fn disconnected(&mut self, error: &Error) {
        let now = self.shared.clock.now();
        let retry_in = self.backoff.failed(now, self.random.f64());
        self.link = Link::Waiting(now + retry_in);
        if let Some(hook) = &self.hook_lost {
            hook.on_event(&Event::Disconnected { channel: &self.shared.channel, error, retry_in });
        }
    }

    fn connected(&mut self, result: Result<OpenedProducer<AnyProducer>>) {
        match result {
            Ok(opened) => {
                self.link = Link::Up;
                let (shared, generation) = (&*self.shared, self.generation);
                self.backoff.connected(shared.clock.now());
                shared.with(|lane| shared.install(lane, opened.producer, opened.capabilities, generation));
                if let Some(hook) = &self.hook_back {
                    hook.on_event(&Event::Reconnected { channel: &shared.channel, generation });
                }
            }
            Err(error) => self.disconnected(&error),
        }
    }

    /// Waits for a call, the timer, or the connection.
    async fn wait(&mut self) -> Woken {
        poll_fn(|cx| {
            let now = self.shared.clock.now();
            if let Link::Waiting(until) = self.link
                && until <= now
            {
                self.generation += 1;
                let (opener, shared) = (Arc::clone(&self.opener), Arc::clone(&self.shared));
                let generation = self.generation;
                let attempt = Box::pin(async move { opener.open(shared, generation).await });
                self.link = Link::Connecting(attempt, now + ANSWER_WITHIN);
            }
            let link_timer = match &mut self.link {
                Link::Up => Moment::NEVER,
                Link::Waiting(until) => *until,
                Link::Connecting(attempt, until) => {
                    if let Poll::Ready(result) = attempt.as_mut().poll(cx) {
                        return Poll::Ready(Woken::Connected(result));
                    }
                    if *until <= now {
                        let error = Error::new(ErrorKind::Timeout, "open producer", "no connection in time");
                        return Poll::Ready(Woken::Connected(Err(error)));
                    }
                    *until
                }
            };
            if self.shared.signal.poll(cx).is_ready() {
                return Poll::Ready(Woken::Called);
            }
            let Some(armed) = self.shared.rest() else { return Poll::Ready(Woken::Called) };
            let due = armed.min(link_timer);
            if self.timer.poll(&self.shared, due, cx).is_ready() { Poll::Ready(Woken::Called) } else { Poll::Pending }
        })
        .await
    }

    /// When closing, and everything has its outcome or the time is over: ends. Whether it did.
    async fn close_if_due(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        let close_by = shared.with(|lane| match lane.phase {
            Phase::Closing(by) if lane.machine.unresolved() == 0 || by <= now => Some(by),
            _ => None,
        });
        let Some(by) = close_by else { return false };
        let abandoned = shared.with(|lane| lane.machine.abandon_all(now, &policy::closing()));
        let by = if by == Moment::NEVER { now + CLOSE_WITHIN } else { by };
        // A connection that failed to close is gone all the same.
        let _ = poll_fn(|cx| {
            let closed = shared.with(|lane| shared.poll_close(lane));
            if closed.is_ready() || shared.clock.now() >= by {
                return Poll::Ready(());
            }
            while shared.signal.poll(cx).is_ready() {
                if shared.with(|lane| shared.poll_close(lane)).is_ready() {
                    return Poll::Ready(());
                }
            }
            self.timer.poll(&shared, by, cx)
        })
        .await;
        self.finish(abandoned);
        true
    }

    /// Ends the publisher: gives up what is left, lets go of the producer, reports.
    fn finish(&mut self, abandoned: usize) {
        self.finished = true;
        let shared = &*self.shared;
        let now = shared.clock.now();
        let producers = shared.with_as_pump(&mut self.woken, |lane| {
            lane.phase = Phase::Closed;
            let abandoned = (abandoned + lane.machine.abandon_all(now, &policy::closing())) as u64;
            lane.report = Some(PublisherReport { stats: lane.machine.stats(), abandoned });
            (lane.producer.take(), lane.dead.take())
        });
        drop(producers);
        shared.closed.notify_waiters();
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // The runtime ends before the publisher: nobody may wait for ever.
        if !self.finished {
            self.finish(0);
        }
    }
}

impl Timer {
    fn poll(&mut self, shared: &Shared, at: Moment, cx: &mut std::task::Context<'_>) -> Poll<()> {
        if at == Moment::NEVER {
            return Poll::Pending;
        }
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if self.at != at {
                    sleep.as_mut().reset(shared.clock.instant(at));
                }
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(shared.clock.instant(at)))),
        };
        self.at = at;
        sleep.as_mut().poll(cx)
    }
}
