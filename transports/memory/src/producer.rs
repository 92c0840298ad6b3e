//! The publishing half.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use pontoon_core::driver::{Batch, Completions, OpenProducer, Producer, Ticket};
use pontoon_core::{BrokerId, Channel, Error, Message, PublishOutcome, Receipt, Rejection, Result};
use tokio::time::Sleep;

use crate::clock::{NEVER, Now, lock, nanos};
use crate::error;
use crate::faults::{Fault, Faults};
use crate::link::Link;
use crate::queue::{Entry, Queue, State};
use crate::server::Shared;
use crate::topology::{Route, Topic};
use crate::wakes::Wakes;

/// The publishing half of one generation. A message is stored, and its outcome known, when `poll_submit` returns.
#[derive(Debug)]
pub struct MemoryProducer {
    server: Arc<Shared>,
    link: Arc<Link>,
    channel: Channel,
    completions: Completions,
    route: Option<Route>,
    /// Kept for its memory.
    outcomes: Vec<(Ticket, PublishOutcome)>,
    /// Messages on their way to several subscriptions; kept for its memory.
    staged: Vec<(u64, Entry, Message)>,
    watched: Option<Waker>,
    /// Wakes a waiting producer when retention makes room: there may be no consumer to notice.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// What is to happen to one message, as the faults have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    stored: bool,
    /// Stored a second time.
    twice: bool,
    confirmed: bool,
    entry: Entry,
    /// The generation dies with it: nothing later is stored.
    dies: bool,
}

impl Plan {
    const WELL: Plan = Plan { stored: true, twice: false, confirmed: true, entry: Entry::Plain, dies: false };

    fn of(faults: &Faults, now: &mut Now) -> Self {
        let mut plan = Plan::WELL;
        if faults.strike(Fault::DropConnection) {
            // Lost on the way there, or on the way back.
            return Plan { stored: faults.below(2) == 0, dies: true, ..plan };
        }
        plan.confirmed = !faults.strike(Fault::LoseConfirm);
        plan.twice = faults.strike(Fault::Duplicate);
        if faults.strike(Fault::DelayDelivery) {
            plan.entry = Entry::HeldUntil(now.get().saturating_add(nanos(faults.delay())));
        }
        plan
    }
}

/// How far a batch came.
enum Progress {
    /// As far as it goes.
    Done,
    /// There is no such channel, or no more.
    NoChannel,
    /// The generation died on the way: a fault.
    Died,
}

impl MemoryProducer {
    pub(crate) fn new(server: Arc<Shared>, link: Arc<Link>, how: OpenProducer) -> Self {
        let OpenProducer { channel, completions, .. } = how;
        let route = server.route(channel.name.as_str());
        MemoryProducer {
            server,
            link,
            channel,
            completions,
            route,
            outcomes: Vec::new(),
            staged: Vec::new(),
            watched: None,
            sleep: None,
        }
    }

    fn submit(&mut self, route: Option<&Route>, batch: &mut Batch<'_>, waker: &Waker) -> Progress {
        match route {
            None => Progress::NoChannel,
            Some(Route::Queue(queue)) => self.submit_to_queue(queue, batch, waker),
            Some(Route::Topic(topic)) => self.submit_to_topic(topic, batch, waker),
        }
    }

    fn submit_to_queue(&mut self, queue: &Queue, batch: &mut Batch<'_>, waker: &Waker) -> Progress {
        let mut wakes = Wakes::default();
        let mut now = Now::of(queue.clock);
        let mut state = queue.lock();
        if state.is_gone() {
            return Progress::NoChannel;
        }
        let faults = &self.server.faults;
        let offered = batch.len();
        let mut progress = Progress::Done;
        while let Some((ticket, message)) = batch.peek() {
            if let Some(refused) = self.refusal(message) {
                self.outcomes.push((ticket, refused));
                batch.pop();
                continue;
            }
            if !make_room(&mut state, message.weight(), &mut now, &mut wakes) {
                if batch.len() == offered {
                    state.await_room(waker);
                }
                break;
            }
            if !faults.active() {
                // Nothing can go wrong any more: the message itself is taken.
                self.outcomes.extend(batch.store(|place| {
                    let uid = state.take_uid();
                    state.store(place, uid, Entry::Plain, &mut now, &mut wakes);
                    Receipt { broker_id: BrokerId::Number(uid), routed: Some(true) }
                }));
                continue;
            }
            if queue.takes_dead_letters.load(Ordering::Relaxed) && faults.strike(Fault::RefuseDeadLetter) {
                let error = error::dead_letters_refused(self.channel.name.as_str());
                self.outcomes.push((ticket, PublishOutcome::Rejected(Rejection::TryAgain(error))));
                batch.pop();
                continue;
            }
            let plan = Plan::of(faults, &mut now);
            let uid = state.take_uid();
            if plan.stored {
                state.store_copy(message, uid, plan.entry, &mut now, &mut wakes);
            }
            if plan.twice {
                let uid = state.take_uid();
                state.store_copy(message, uid, plan.entry, &mut now, &mut wakes);
            }
            batch.pop();
            if plan.dies {
                progress = Progress::Died;
                break;
            }
            self.outcomes.push((ticket, outcome(plan.confirmed, uid, true)));
        }
        state.wake_ready(&mut wakes);
        drop(state);
        wakes.wake();
        progress
    }

    /// The topic's lock keeps other publishers out, so room that was seen in every subscription stays.
    fn submit_to_topic(&mut self, topic: &Topic, batch: &mut Batch<'_>, waker: &Waker) -> Progress {
        let mut wakes = Wakes::default();
        let mut now = Now::of(self.server.clock);
        let mut inner = lock(&topic.inner);
        if inner.gone {
            return Progress::NoChannel;
        }
        // The tightest subscription decides for all: a message goes to every one or waits.
        let mut room = (usize::MAX, u64::MAX, true);
        for (_, queue) in &inner.subscriptions {
            let mut state = queue.lock();
            make_room(&mut state, usize::MAX, &mut now, &mut wakes);
            let (messages, bytes, empty) = state.room();
            room = (room.0.min(messages), room.1.min(bytes), room.2 && empty);
        }
        let routed = !inner.subscriptions.is_empty();
        let faults = &self.server.faults;
        let mut progress = Progress::Done;
        while let Some((ticket, message)) = batch.peek() {
            if let Some(refused) = self.refusal(message) {
                self.outcomes.push((ticket, refused));
                batch.pop();
                continue;
            }
            let weight = message.weight() as u64;
            let alone = room.2 && self.staged.is_empty();
            if !alone && (room.0 == 0 || room.1 < weight) {
                break;
            }
            room.0 = room.0.saturating_sub(1);
            room.1 = room.1.saturating_sub(weight);
            let plan = if faults.active() { Plan::of(faults, &mut now) } else { Plan::WELL };
            let uid = inner.take_uid();
            if routed && plan.stored {
                self.staged.push((uid, plan.entry, message.clone()));
            }
            if routed && plan.twice {
                let uid = inner.take_uid();
                self.staged.push((uid, plan.entry, message.clone()));
            }
            batch.pop();
            if plan.dies {
                progress = Progress::Died;
                break;
            }
            self.outcomes.push((ticket, outcome(plan.confirmed, uid, routed)));
        }
        let full = self.outcomes.is_empty() && matches!(progress, Progress::Done);
        for (name, queue) in &inner.subscriptions {
            let mut state = queue.lock();
            if full {
                state.await_room(waker);
            }
            for (uid, entry, message) in &self.staged {
                // A retry copy of one subscription is not news to the others.
                if message.history().only_for.as_deref().is_some_and(|only| only != name.as_str()) {
                    continue;
                }
                state.store_copy(message, *uid, *entry, &mut now, &mut wakes);
            }
            state.wake_ready(&mut wakes);
        }
        drop(inner);
        self.staged.clear();
        wakes.wake();
        progress
    }

    fn await_retirement(&mut self, cx: &mut Context<'_>) {
        let at = match &self.route {
            Some(Route::Queue(queue)) => queue.lock().next_retirement(),
            Some(Route::Topic(topic)) => {
                let topic = lock(&topic.inner);
                topic.subscriptions.iter().map(|(_, queue)| queue.lock().next_retirement()).min().unwrap_or(NEVER)
            }
            None => NEVER,
        };
        if at != NEVER && tokio::runtime::Handle::try_current().is_ok() {
            let sleep = self.sleep.insert(Box::pin(tokio::time::sleep_until(self.server.clock.instant(at))));
            if pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Why this message is refused, whatever there is room for.
    fn refusal(&self, message: &Message) -> Option<PublishOutcome> {
        let limit = self.server.config.max_body;
        (message.body.len() as u64 > limit)
            .then(|| refused(error::too_large(self.channel.name.as_str(), message.body.len(), limit)))
    }

    /// The connection breaks with the message just taken: some confirmations of this batch are lost with it, and what
    /// was sent behind it arrives nowhere. The next poll says so.
    fn die(&mut self, batch: &mut Batch<'_>) {
        let faults = &self.server.faults;
        self.outcomes.truncate(faults.below(self.outcomes.len() + 1));
        for _ in 0..faults.below(batch.len() + 1) {
            batch.pop();
        }
        self.completions.complete(&mut self.outcomes);
        self.link.cut(error::connection_lost("publish"));
    }

    fn refuse_all(&mut self, batch: &mut Batch<'_>) {
        while let Some((ticket, _)) = batch.peek() {
            let error = error::no_such_channel("publish", self.channel.name.as_str());
            self.outcomes.push((ticket, refused(error)));
            batch.pop();
        }
    }
}

/// Whether there is room; where there is none, after what retention no longer keeps was removed.
fn make_room(state: &mut State, weight: usize, now: &mut Now, wakes: &mut Wakes) -> bool {
    if state.has_room(weight) {
        return true;
    }
    if state.next_retirement() == NEVER {
        return false;
    }
    state.tick(now.get(), wakes);
    state.has_room(weight)
}

fn outcome(confirmed: bool, uid: u64, routed: bool) -> PublishOutcome {
    if confirmed {
        PublishOutcome::Confirmed(Receipt { broker_id: BrokerId::Number(uid), routed: Some(routed) })
    } else {
        PublishOutcome::Unknown(error::confirm_lost())
    }
}

fn refused(error: Error) -> PublishOutcome {
    PublishOutcome::Rejected(Rejection::Refused(error))
}

impl Producer for MemoryProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        if let Some(why) = self.link.dead() {
            return Poll::Ready(Err(why.clone()));
        }
        if batch.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let offered = batch.len();
        let route = self.route.take();
        let mut progress = self.submit(route.as_ref(), batch, cx.waker());
        self.route = route;
        if matches!(progress, Progress::NoChannel) {
            // Declared, or declared anew, since this producer was opened?
            let route = self.server.route(self.channel.name.as_str());
            progress = self.submit(route.as_ref(), batch, cx.waker());
            self.route = route;
        }
        if matches!(progress, Progress::NoChannel) {
            self.refuse_all(batch);
        }
        if matches!(progress, Progress::Died) {
            self.die(batch);
            return Poll::Ready(Ok(()));
        }
        if batch.len() == offered {
            self.link.watch(cx.waker());
            self.await_retirement(cx);
            // Cut before the waker was kept?
            return match self.link.dead() {
                Some(why) => Poll::Ready(Err(why.clone())),
                None => Poll::Pending,
            };
        }
        self.completions.complete(&mut self.outcomes);
        Poll::Ready(Ok(()))
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if !self.watched.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.watched = Some(cx.waker().clone());
            self.link.watch(cx.waker());
        }
        match self.link.dead() {
            Some(why) => Poll::Ready(why.clone()),
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        // Everything submitted had its outcome at once.
        self.link.cut(error::closed("publish"));
        Poll::Ready(Ok(()))
    }
}
