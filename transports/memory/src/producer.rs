//! The publishing half.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pontoon_core::driver::{Batch, Completions, OpenProducer, Producer, Ticket};
use pontoon_core::{BrokerId, Channel, Error, Message, PublishOutcome, Receipt, Rejection, Result};

use crate::clock::{Now, lock};
use crate::error;
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
    staged: Vec<(u64, Message)>,
    watched: Option<Waker>,
}

/// How far a batch came.
enum Progress {
    /// As far as it goes.
    Done,
    /// There is no such channel, or no more.
    NoChannel,
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
        while let Some((ticket, message)) = batch.peek() {
            if let Some(refused) = self.refusal(message) {
                self.outcomes.push((ticket, refused));
                batch.pop();
                continue;
            }
            if !make_room(&mut state, message.weight(), &mut now, &mut wakes) {
                if self.outcomes.is_empty() {
                    state.await_room(waker);
                }
                break;
            }
            let uid = state.take_uid();
            state.store(message.clone(), uid, Entry::Plain, &mut now, &mut wakes);
            self.outcomes.push((ticket, confirmed(uid, true)));
            batch.pop();
        }
        state.wake_ready(&mut wakes);
        drop(state);
        wakes.wake();
        Progress::Done
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
            let uid = inner.take_uid();
            if routed {
                self.staged.push((uid, message.clone()));
            }
            self.outcomes.push((ticket, confirmed(uid, routed)));
            batch.pop();
        }
        let full = self.outcomes.is_empty();
        for (_, queue) in &inner.subscriptions {
            let mut state = queue.lock();
            if full {
                state.await_room(waker);
            }
            for (uid, message) in &self.staged {
                state.store(message.clone(), *uid, Entry::Plain, &mut now, &mut wakes);
            }
            state.wake_ready(&mut wakes);
        }
        drop(inner);
        self.staged.clear();
        wakes.wake();
        Progress::Done
    }

    /// Why this message is refused, whatever there is room for.
    fn refusal(&self, message: &Message) -> Option<PublishOutcome> {
        let limit = self.server.config.max_body;
        (message.body.len() as u64 > limit)
            .then(|| refused(error::too_large(self.channel.name.as_str(), message.body.len(), limit)))
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
    if state.next_retirement() == crate::clock::NEVER {
        return false;
    }
    state.tick(now.get(), wakes);
    state.has_room(weight)
}

fn confirmed(uid: u64, routed: bool) -> PublishOutcome {
    PublishOutcome::Confirmed(Receipt { broker_id: BrokerId::Number(uid), routed: Some(routed) })
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
        if self.outcomes.is_empty() {
            self.link.watch(cx.waker());
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
