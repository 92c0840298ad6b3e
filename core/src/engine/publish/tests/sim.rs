//! A broker in memory with seeded faults, for the shell's tests. Faults are decided per message when it is taken.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::driver::*;
use crate::engine::publish::lock;
use crate::*;

/// How the broker behaves.
#[derive(Clone, Debug)]
pub(crate) struct Knobs {
    /// Takes at most this many per call.
    pub take: usize,
    /// Holds at most this many unanswered.
    pub window: usize,
    /// Answers within `poll_submit`.
    pub inline: bool,
    /// Answers from a thread of its own.
    pub foreign: bool,
    /// Answers after up to this time, out of order.
    pub delay: Duration,
    /// The share of confirmed messages, out of 1,000, that are taken whole and confirmed on the spot.
    pub at_once: u32,
    /// Shares of faults, out of 1,000.
    pub pending: u32,
    pub try_again: u32,
    pub refuse: u32,
    /// Unknown, and stored.
    pub unknown_stored: u32,
    /// Unknown, and not stored.
    pub unknown_lost: u32,
    /// Never answered; stored or not.
    pub silent: u32,
    /// The generation dies in `poll_submit`.
    pub die_submit: u32,
    /// The generation dies in `poll_drive`.
    pub die_drive: u32,
    /// Opening fails.
    pub fail_open: u32,
    /// No faults from then on.
    pub calm_after: Duration,
    pub behaviour: Behaviour,
}

impl Default for Knobs {
    fn default() -> Self {
        Knobs {
            take: usize::MAX,
            window: usize::MAX,
            inline: true,
            foreign: false,
            delay: Duration::ZERO,
            at_once: 0,
            pending: 0,
            try_again: 0,
            refuse: 0,
            unknown_stored: 0,
            unknown_lost: 0,
            silent: 0,
            die_submit: 0,
            die_drive: 0,
            fail_open: 0,
            calm_after: Duration::MAX,
            behaviour: Behaviour::default(),
        }
    }
}

/// What the broker keeps.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// Ids in the order they were stored, repetitions included, with their keys.
    pub log: Vec<(MessageId, Option<Key>)>,
    pub stored: HashSet<MessageId>,
    pub batches: Vec<usize>,
    /// The last message taken, and how many carried the mark of a possible duplicate.
    pub last: Option<Message>,
    pub marked: usize,
    /// Messages that came again without the mark.
    pub unmarked: usize,
    pub seen: HashSet<MessageId>,
    pub refused: HashSet<MessageId>,
    pub most_unanswered: usize,
    pub ensured: Vec<String>,
    pub opened: u32,
    pub closed: bool,
    /// No opening works.
    pub down: bool,
    /// The producer answers nothing and takes nothing.
    pub hang: bool,
    /// Of the running producer.
    pub waker: Option<Waker>,
}

#[derive(Clone)]
pub(crate) struct Sim {
    pub knobs: Knobs,
    pub store: Arc<Mutex<Store>>,
    pub capabilities: Capabilities,
    /// What is said before connecting, when it differs from what is found.
    pub promised: Option<Capabilities>,
    seed: u64,
    start: Instant,
    tracing: bool,
}

impl Sim {
    pub(crate) fn new(seed: u64, knobs: Knobs) -> Self {
        let mut capabilities = Capabilities::new("sim-1")
            .with(Capability::OrderPerKey, Level::Native)
            .with(Capability::FanOut, Level::Native);
        capabilities.behaviour = knobs.behaviour.clone();
        Sim {
            knobs,
            store: Arc::default(),
            capabilities,
            promised: None,
            seed,
            start: Instant::now(),
            tracing: std::env::var_os("PONTOON_TRACE").is_some(),
        }
    }

    pub(crate) fn any(&self) -> AnyTransport {
        AnyTransport::new(self.clone())
    }
}

impl Transport for Sim {
    type Producer = SimProducer;
    type Receiver = AnyReceiver;
    type Settler = AnySettler;

    fn capabilities(&self, _: &Channel) -> Capabilities {
        self.promised.as_ref().unwrap_or(&self.capabilities).clone()
    }
    async fn ensure(&self, what: &Ensure) -> Result<()> {
        lock(&self.store).ensured.push(what.channel.name.to_string());
        Ok(())
    }
    async fn open_producer(&self, how: OpenProducer) -> Result<OpenedProducer<SimProducer>> {
        tokio::time::sleep(Duration::from_millis(3)).await;
        let mut random = fastrand::Rng::with_seed(self.seed ^ u64::from(how.generation) << 32);
        let calm = self.start.elapsed() >= self.knobs.calm_after;
        let mut store = lock(&self.store);
        if store.down || (how.generation > 1 && !calm && random.u32(..1000) < self.knobs.fail_open) {
            return Err(Error::new(ErrorKind::Connection, "open producer", "the sim is down"));
        }
        store.opened = how.generation;
        drop(store);
        let foreign = self.knobs.foreign.then(|| {
            let (send, receive) = std::sync::mpsc::channel::<Vec<(Ticket, PublishOutcome)>>();
            let completions = how.completions.clone();
            std::thread::spawn(move || {
                for mut outcomes in receive {
                    completions.complete(&mut outcomes);
                }
            });
            send
        });
        let producer = SimProducer {
            sim: self.clone(),
            random,
            completions: how.completions,
            unanswered: VecDeque::new(),
            broken: HashSet::new(),
            sleep: None,
            due: None,
            scratch: Vec::new(),
            foreign,
            silent: 0,
        };
        Ok(OpenedProducer::new(producer, self.capabilities.clone()))
    }
    async fn open_consumer(&self, _: OpenConsumer) -> Result<OpenedConsumer<AnyReceiver, AnySettler>> {
        Err(Error::new(ErrorKind::Unsupported, "open consumer", "the sim only takes"))
    }
    fn extensions(&self) -> Extensions {
        Extensions::none()
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

pub(crate) struct SimProducer {
    sim: Sim,
    random: fastrand::Rng,
    completions: Completions,
    unanswered: VecDeque<(Instant, Ticket, PublishOutcome)>,
    /// Keys that failed: whatever was taken before the failure is answered fails too (the pipeline rule).
    broken: HashSet<Key>,
    sleep: Option<Pin<Box<Sleep>>>,
    due: Option<Instant>,
    scratch: Vec<(Ticket, PublishOutcome)>,
    foreign: Option<std::sync::mpsc::Sender<Vec<(Ticket, PublishOutcome)>>>,
    silent: usize,
}

impl SimProducer {
    fn error(words: &str) -> Error {
        Error::new(ErrorKind::Connection, "sim", words).with_status(crate::ErrorStatus::Temporary)
    }

    /// `None`: never answered.
    fn decide(&mut self, message: &Message) -> Option<PublishOutcome> {
        let knobs = self.sim.knobs.clone();
        let calm = self.sim.start.elapsed() >= knobs.calm_after;
        let again = || PublishOutcome::Rejected(Rejection::TryAgain(Self::error("busy")));
        let mut store = lock(&self.sim.store);
        store.last = Some(message.clone());
        store.marked += usize::from(message.history().maybe_duplicate);
        if !store.seen.insert(message.id.clone())
            && store.stored.contains(&message.id)
            && !message.history().maybe_duplicate
        {
            store.unmarked += 1;
        }
        if !knobs.behaviour.one_unresolved_per_key
            && let Some(key) = &message.key
            && self.broken.contains(key)
        {
            return Some(again());
        }
        let mut fate = if calm { 1000 } else { self.random.u32(..1000) };
        let mut is = |share: u32| {
            let hit = fate < share;
            fate = if hit { 1000 } else { fate - share };
            hit
        };
        let stored = |store: &mut Store| {
            store.log.push((message.id.clone(), message.key.clone()));
            store.stored.insert(message.id.clone());
        };
        if is(knobs.try_again) {
            if let Some(key) = &message.key {
                self.broken.insert(key.clone());
            }
            return Some(again());
        }
        if store.refused.contains(&message.id) || is(knobs.refuse) {
            store.refused.insert(message.id.clone());
            return Some(PublishOutcome::Rejected(Rejection::Refused(Error::new(
                ErrorKind::InvalidMessage,
                "sim",
                "no",
            ))));
        }
        if is(knobs.unknown_stored) {
            stored(&mut store);
            return Some(PublishOutcome::Unknown(Self::error("who knows")));
        }
        if is(knobs.unknown_lost) {
            if let Some(key) = &message.key {
                self.broken.insert(key.clone());
            }
            return Some(PublishOutcome::Unknown(Self::error("who knows")));
        }
        if is(knobs.silent) {
            if self.random.bool() {
                stored(&mut store);
            } else if let Some(key) = &message.key {
                self.broken.insert(key.clone());
            }
            return None;
        }
        stored(&mut store);
        let number = store.log.len() as u64;
        Some(PublishOutcome::Confirmed(Receipt { broker_id: BrokerId::Number(number), routed: None }))
    }

    fn answer(&mut self) {
        let mut outcomes = std::mem::take(&mut self.scratch);
        let now = Instant::now();
        while self.unanswered.front().is_some_and(|(due, ..)| *due <= now) {
            if let Some((_, ticket, outcome)) = self.unanswered.pop_front() {
                if self.sim.tracing {
                    println!("{:?} answer {ticket:?} {outcome:?}", self.sim.start.elapsed());
                }
                outcomes.push((ticket, outcome));
            }
        }
        if self.unanswered.is_empty() && self.silent == 0 {
            self.broken.clear();
        }
        if let Some(foreign) = &self.foreign {
            if !outcomes.is_empty() {
                foreign.send(outcomes).expect("the thread lives as long as we do");
            }
        } else {
            self.completions.complete(&mut outcomes);
            self.scratch = outcomes;
        }
    }
}

impl Producer for SimProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        let knobs = self.sim.knobs.clone();
        let calm = self.sim.start.elapsed() >= knobs.calm_after;
        {
            let mut store = lock(&self.sim.store);
            store.waker = Some(cx.waker().clone());
            if store.hang {
                return Poll::Pending;
            }
        }
        if !calm && self.random.u32(..1000) < knobs.die_submit {
            return Poll::Ready(Err(Self::error("died while submitting")));
        }
        if !calm && self.random.u32(..1000) < knobs.pending {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = knobs.window.saturating_sub(self.unanswered.len() + self.silent);
        let take = batch.len().min(knobs.take).min(room);
        if take == 0 {
            return Poll::Pending;
        }
        for _ in 0..take {
            let (ticket, message) = batch.peek().expect("a batch gives as many as it says");
            let (ticket, message) = (ticket, message.clone());
            let decided = self.decide(&message);
            if let Some(PublishOutcome::Confirmed(receipt)) = &decided
                && self.random.u32(..1000) < knobs.at_once
            {
                let owed = batch.store(|place| {
                    assert_eq!(place.take().expect("it is there").id, message.id);
                    receipt.clone()
                });
                if let Some((ticket, outcome)) = owed {
                    self.unanswered.push_front((Instant::now(), ticket, outcome));
                }
                continue;
            }
            batch.pop();
            if self.sim.tracing {
                println!("{:?} take {} as {ticket:?}: {decided:?}", self.sim.start.elapsed(), message.id);
            }
            match decided {
                Some(outcome) => {
                    let wait = knobs.delay.mul_f64(self.random.f64());
                    let due = Instant::now() + wait;
                    let place = self.unanswered.partition_point(|(other, ..)| *other <= due);
                    self.unanswered.insert(place, (due, ticket, outcome));
                }
                None => self.silent += 1,
            }
        }
        {
            let mut store = lock(&self.sim.store);
            store.batches.push(take);
            store.most_unanswered = store.most_unanswered.max(self.unanswered.len() + self.silent);
        }
        if knobs.inline {
            self.answer();
        } else {
            // Somebody must drive the answers.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        {
            let mut store = lock(&self.sim.store);
            store.waker = Some(cx.waker().clone());
            if store.hang {
                return Poll::Pending;
            }
        }
        let calm = self.sim.start.elapsed() >= self.sim.knobs.calm_after;
        if !calm && !self.unanswered.is_empty() && self.random.u32(..1000) < self.sim.knobs.die_drive {
            return Poll::Ready(Self::error("died while driving"));
        }
        self.answer();
        while let Some((due, ..)) = self.unanswered.front() {
            let due = *due;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if self.due != Some(due) {
                sleep.as_mut().reset(due);
                self.due = Some(due);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                break;
            }
            self.due = None;
            self.answer();
        }
        Poll::Pending
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        lock(&self.sim.store).closed = true;
        Poll::Ready(Ok(()))
    }
}
