//! Publishing one message.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::machine::{Entry, Place};
use super::outcome::{Outcome, PublishError};
use super::shared::Shared;
use super::slots::Owner;
use crate::Message;

/// A publish under way, made by [`Publisher::publish`](super::Publisher::publish).
///
/// Lazy: the message is issued at the first poll. Once it is accepted, which is at once unless the publisher's bounds are
/// reached, dropping the future does not unsend it.
#[must_use = "a publish does nothing until it is awaited"]
pub struct Publish<'a> {
    shared: &'a Shared,
    stage: Stage,
}

enum Stage {
    Fresh(Message),
    Issued(Place),
    Done,
}

/// The outcome of a message that was accepted by [`Publisher::enqueue`](super::Publisher::enqueue). Dropping it is fine.
pub struct Pending {
    shared: Arc<Shared>,
    place: Option<Place>,
}

/// Issues a message, unless it can never be sent.
fn issue(shared: &Shared, mut message: Message, owner: Owner<std::task::Waker>) -> Result<Place, PublishError> {
    if let Err(error) = message.validate() {
        return Err(PublishError::rejected(error, message));
    }
    let now = shared.clock.now();
    shared.with(|lane| {
        if let Err(error) = lane.check(&message) {
            return Err(PublishError::rejected(error, message));
        }
        lane.stamp(&mut message, shared.clock.wall_ms(now));
        let alone = lane.machine.unresolved() == 0;
        let deadline = now + lane.machine.deliver_within();
        let place = lane.machine.issue(message, deadline, owner);
        // An idle publisher does not wait for the pump; a busy one leaves the message to the next batch.
        if alone {
            shared.submit(lane, now);
        }
        Ok(place)
    })
}

impl<'a> Publish<'a> {
    pub(super) fn new(shared: &'a Shared, message: Message) -> Self {
        Publish { shared, stage: Stage::Fresh(message) }
    }
}

impl Future for Publish<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let shared = self.shared;
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Fresh(message) => match issue(shared, message, Owner::One(None)) {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(place) => self.stage = Stage::Issued(place),
            },
            Stage::Issued(place) => self.stage = Stage::Issued(place),
            Stage::Done => panic!("`Publish` was polled after it was ready"),
        }
        let Stage::Issued(place) = self.stage else { return Poll::Pending };
        let polled = poll_outcome(shared, place, cx);
        if polled.is_ready() {
            self.stage = Stage::Done;
        }
        polled
    }
}

fn poll_outcome(shared: &Shared, place: Place, cx: &Context<'_>) -> Poll<Outcome> {
    let (outcome, _old_waker) = shared.with(|lane| match lane.machine.take(place) {
        Some(outcome) => (Some(outcome), None),
        None => (None, lane.machine.rewake(place, cx.waker().clone())),
    });
    outcome.map_or(Poll::Pending, Poll::Ready)
}

impl Drop for Publish<'_> {
    fn drop(&mut self) {
        if let Stage::Issued(place) = self.stage {
            let _old_waker = self.shared.with(|lane| lane.machine.detach(place));
        }
    }
}

/// Waits for room, then gives the outcome to come.
pub(super) async fn enqueue(shared: &Arc<Shared>, message: Message) -> Result<Pending, PublishError> {
    let place = issue(shared, message, Owner::Entering(None))?;
    // From here on dropping this future drops the place, as dropping the outcome would.
    let mut pending = Pending { shared: Arc::clone(shared), place: Some(place) };
    poll_fn(|cx| {
        let (entry, _old_waker) = shared.with(|lane| match lane.machine.entry(place) {
            Entry::Queued => (Entry::Queued, lane.machine.rewake(place, cx.waker().clone())),
            entry => (entry, None),
        });
        match entry {
            Entry::Queued => Poll::Pending,
            Entry::Accepted => Poll::Ready(Ok(())),
            Entry::Refused => Poll::Ready(match poll_outcome(shared, place, cx) {
                Poll::Ready(Err(error)) => {
                    pending.place = None;
                    Err(error)
                }
                _ => Ok(()),
            }),
        }
    })
    .await?;
    Ok(pending)
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(place) = self.place else { panic!("`Pending` was polled after it was ready") };
        let polled = poll_outcome(&self.shared, place, cx);
        if polled.is_ready() {
            self.place = None;
        }
        polled
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let _old_waker = self.shared.with(|lane| lane.machine.detach(place));
        }
    }
}

impl fmt::Debug for Publish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Publish")
    }
}
impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
