//! Publishing one message.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::machine::{Entry, Machine, Place};
use super::outcome::{Outcome, PublishError};
use super::shared::{Claim, Lane, Shared};
use super::slots::Owner;
use crate::{Bytes, Error, Message, Receipt};

/// A publish under way, made by [`Publisher::publish`](super::Publisher::publish).
///
/// Lazy: the message is issued at the first poll. Once it is accepted, which is at once unless the publisher's bounds are
/// reached, dropping the future does not unsend it.
#[must_use = "a publish does nothing until it is awaited"]
pub struct Publish<'a> {
    /// Until it is issued.
    message: Option<Message>,
    way: Way<'a>,
}

/// The outcome of a message that was accepted by [`Publisher::enqueue`](super::Publisher::enqueue). Dropping it is fine.
pub struct Pending {
    shared: Arc<Shared>,
    place: Option<Place>,
    /// When it was confirmed at once.
    receipt: Option<Receipt>,
}

/// What became of a message that was issued.
enum Issued<R> {
    /// It was confirmed at once.
    Confirmed(Receipt),
    /// It is on its way.
    Under(R),
}

/// One direct message.
struct One {
    receipt: Option<Receipt>,
    owner: Option<Owner<Waker>>,
    place: Option<Place>,
}

impl Claim for One {
    #[inline]
    fn confirmed(&mut self, _: &mut Machine<Waker>, receipt: Receipt) {
        self.receipt = Some(receipt);
    }

    fn owner(&mut self, _: &mut Machine<Waker>, place: Place) -> Owner<Waker> {
        self.place = Some(place);
        self.owner.take().unwrap_or(Owner::Nobody)
    }
}

/// Issues a message, unless it can never be sent; then, still under the lane, looks at what became of it.
#[inline]
fn issue<R>(
    shared: &Shared,
    message: &mut Option<Message>,
    owner: Owner<Waker>,
    then: impl FnOnce(&mut Lane, Place) -> R,
) -> Result<Issued<R>, Error> {
    match message {
        Some(fresh) => fresh.validate()?,
        None => panic!("a publish was polled after it was ready"),
    }
    let now = shared.clock.now();
    shared.with(|lane| {
        let wall_ms = shared.clock.wall_ms(now);
        if let Some(fresh) = message {
            lane.check(fresh, wall_ms)?;
            lane.stamp(fresh, wall_ms);
        }
        let alone = lane.machine.unresolved() == 0;
        let deadline = now + lane.machine.deliver_within();
        let mut one = One { receipt: None, owner: Some(owner), place: None };
        if alone {
            shared.submit_direct(lane, deadline, now, std::slice::from_mut(message), &mut one);
            if let Some(receipt) = one.receipt {
                *message = None;
                return Ok(Issued::Confirmed(receipt));
            }
            if let Some(place) = one.place {
                return Ok(Issued::Under(then(lane, place)));
            }
        }
        let place = lane.machine.issue(message, deadline, one.owner.unwrap_or(Owner::Nobody));
        // An idle publisher does not wait for the pump; a busy one leaves the message to the next batch.
        if alone {
            shared.submit(lane, now);
            shared.empty_inbox(lane);
        }
        Ok(Issued::Under(then(lane, place)))
    })
}

impl<'a> Publish<'a> {
    pub(super) fn new(shared: &'a Shared, message: Message) -> Self {
        Publish { message: Some(message), way: Way { shared, place: None } }
    }
}

impl Future for Publish<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        this.way.poll(&mut this.message, cx)
    }
}

/// Publishes a message from where it was made: it is large, and does not move.
pub(super) async fn publish_from(shared: &Shared, message: &mut Option<Message>) -> Outcome {
    let mut way = Way { shared, place: None };
    poll_fn(|cx| way.poll(message, cx)).await
}

/// How far a publish is.
struct Way<'a> {
    shared: &'a Shared,
    /// Once it is issued, until it is ready.
    place: Option<Place>,
}

impl Way<'_> {
    #[inline]
    fn poll(&mut self, message: &mut Option<Message>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let looked = match self.place {
            Some(place) => Ok((place, self.shared.with(|lane| lane.take_or_wait(place, cx)))),
            None => {
                let issued =
                    issue(self.shared, message, Owner::One(None), |lane, place| (place, lane.take_or_wait(place, cx)));
                match issued {
                    Ok(Issued::Confirmed(receipt)) => return Poll::Ready(Ok(receipt)),
                    Ok(Issued::Under(looked)) => Ok(looked),
                    Err(error) => Err(error),
                }
            }
        };
        match looked {
            Ok((_, (Some(outcome), _))) => {
                self.place = None;
                Poll::Ready(outcome)
            }
            Ok((place, (None, _old_waker))) => {
                self.place = Some(place);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(refused(error, message))),
        }
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let _old_waker = self.shared.with(|lane| lane.machine.detach(place));
        }
    }
}

/// Hands back a message that was not issued.
fn refused(error: Error, message: &mut Option<Message>) -> PublishError {
    PublishError::rejected(error, message.take().unwrap_or_else(|| Message::new(Bytes::new())))
}

impl Lane {
    /// The outcome, or the waker that `cx` replaces.
    #[inline]
    fn take_or_wait(&mut self, place: Place, cx: &Context<'_>) -> (Option<Outcome>, Option<Waker>) {
        match self.machine.take(place) {
            Some(outcome) => (Some(outcome), None),
            None => (None, self.machine.rewake(place, cx.waker().clone())),
        }
    }
}

fn poll_outcome(shared: &Shared, place: Place, cx: &Context<'_>) -> Poll<Outcome> {
    let (outcome, _old_waker) = shared.with(|lane| lane.take_or_wait(place, cx));
    outcome.map_or(Poll::Pending, Poll::Ready)
}

/// Waits for room, then gives the outcome to come.
pub(super) async fn enqueue(shared: &Arc<Shared>, message: Message) -> Result<Pending, PublishError> {
    let mut message = Some(message);
    let issued = issue(shared, &mut message, Owner::Entering(None), |_, place| place);
    let place = match issued.map_err(|error| refused(error, &mut message))? {
        Issued::Confirmed(receipt) => {
            return Ok(Pending { shared: Arc::clone(shared), place: None, receipt: Some(receipt) });
        }
        Issued::Under(place) => place,
    };
    // From here on dropping this future drops the place, as dropping the outcome would.
    let mut pending = Pending { shared: Arc::clone(shared), place: Some(place), receipt: None };
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
        if let Some(receipt) = self.receipt.take() {
            return Poll::Ready(Ok(receipt));
        }
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
