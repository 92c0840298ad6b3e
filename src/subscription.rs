//! The pull API: a stream of typed deliveries, settled by whoever takes them.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pontoon_core::driver::Settled;
use pontoon_core::engine::{self, Consumer, ConsumerOptions, DrainReport, FlushReport, Lease, Position, ReleasePace};
use pontoon_core::{Attempt, BrokerId, Capability, DeliveryGuarantee, Message, ReasonKind, Result, Retry, Source};

use crate::channel::Readable;
use crate::codec::{Codec, Json};
use crate::{Action, Broker, Outcome, context};

/// How a subscription is opened: see [`Broker::subscription`].
#[must_use = "nothing is opened until `open`"]
pub struct Subscribe<Ch> {
    broker: Broker,
    channel: Ch,
    options: ConsumerOptions,
}

impl<Ch: Readable> Subscribe<Ch> {
    pub(crate) fn new(broker: Broker, channel: Ch) -> Self {
        Subscribe { broker, channel, options: ConsumerOptions::default() }
    }

    /// The most deliveries that are outstanding at once, in messages; 256 unless said otherwise.
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.options.prefetch = messages;
        self
    }

    /// How often, and how far apart, a message may fail.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.retry = retry;
        self
    }

    /// What the subscription guarantees; at least once unless said otherwise.
    pub fn guarantee(mut self, guarantee: DeliveryGuarantee) -> Self {
        self.options.guarantee = guarantee;
        self
    }

    /// The volatile form of this capability is good enough: what it keeps is gone with the process.
    pub fn allow_volatile(mut self, capability: Capability) -> Self {
        self.options.allow_volatile.push(capability);
        self
    }

    /// How fast one message may be released again and again; 100 ms doubling to 5 s unless said otherwise.
    pub fn release_pace(mut self, pace: ReleasePace) -> Self {
        self.options.release_pace = pace;
        self
    }

    /// Every option at once, for those that have no method here.
    pub fn options(mut self, options: ConsumerOptions) -> Self {
        self.options = options;
        self
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`Broker::subscribe`].
    pub async fn open(self) -> Result<Subscription<Ch::Payload, Ch::Codec>> {
        let source = self.channel.source_as(None)?;
        let consumer = self.broker.consumer(source, self.options, self.broker.environment()).await?;
        Ok(Subscription { consumer, position: Position::default(), carries: PhantomData })
    }
}

impl<Ch: fmt::Debug> fmt::Debug for Subscribe<Ch> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe").field("channel", &self.channel).field("options", &self.options).finish()
    }
}

/// Deliveries of payloads `T`: a [`Stream`], and [`next`](Self::next) for many tasks at once. Clones read the same
/// subscription, each delivery going to one of them.
///
/// A body that cannot be read as `T` is dead-lettered as `undecodable` and not shown.
pub struct Subscription<T, C = Json> {
    consumer: Arc<Consumer>,
    /// This clone's place in line, as a stream.
    position: Position,
    carries: PhantomData<fn() -> (T, C)>,
}

impl<T: Send + 'static, C: Codec<T>> Subscription<T, C> {
    /// The next delivery; `None` once the subscription was drained. Dropping the future loses nothing, and many may
    /// wait at once.
    ///
    /// # Errors
    /// When the subscription ended for good, for instance because its queue was deleted; the next call gives `None`.
    pub async fn next(&self) -> Option<Result<Delivery<T>>> {
        let mut next = None;
        loop {
            match self.consumer.next_into(&mut next).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
            let Some(inner) = next.take() else { continue };
            match C::decode(&inner.message().body) {
                Ok(payload) => return Some(Ok(Delivery { payload, inner })),
                Err(error) => undecodable(inner, &error),
            }
        }
    }

    /// Waits for a delivery, then takes what else is ready, at most `max` in all. Appends to `into`, and says how many;
    /// 0 once the subscription was drained.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_batch(&self, max: usize, into: &mut Vec<Delivery<T>>) -> Result<usize> {
        let before = into.len();
        while into.len() == before {
            let Some(batch) = self.consumer.next_batch(max).await? else { return Ok(0) };
            if batch.is_empty() {
                return Ok(0);
            }
            into.reserve(batch.len());
            for inner in batch {
                match C::decode(&inner.message().body) {
                    Ok(payload) => into.push(Delivery { payload, inner }),
                    Err(error) => undecodable(inner, &error),
                }
            }
        }
        Ok(into.len() - before)
    }

    /// Waits until every settlement recorded before is final.
    pub async fn flush(&self) -> FlushReport {
        self.consumer.flush().await
    }

    /// Ends the subscription: fetches nothing more, releases what was not taken, waits at most this long for deliveries
    /// in hand to be settled, flushes, closes. Draining twice is fine.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        self.consumer.drain(within).await
    }

    /// The queue or subscription it reads.
    #[must_use]
    pub fn source(&self) -> &Source {
        self.consumer.source()
    }
}

impl<T, C> Clone for Subscription<T, C> {
    fn clone(&self) -> Self {
        Subscription { consumer: self.consumer.clone(), position: Position::default(), carries: PhantomData }
    }
}

impl<T: Send + 'static, C: Codec<T>> Stream for Subscription<T, C> {
    type Item = Result<Delivery<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match this.consumer.poll_next(&mut this.position, cx) {
                Poll::Ready(Some(Ok(delivery))) => {
                    if let Some(typed) = Delivery::decode::<C>(delivery) {
                        return Poll::Ready(Some(Ok(typed)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T, C> fmt::Debug for Subscription<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// One hand-over of a message, with its payload. Settling consumes it, so that settling twice does not compile.
///
/// [`ack`](Self::ack), [`retry`](Self::retry), [`release`](Self::release) and [`reject`](Self::reject) record at once
/// and become final in batches: [`Subscription::flush`] waits for that. Dropped unsettled, it is released.
#[must_use = "a delivery dropped unsettled is released and comes again"]
pub struct Delivery<T> {
    payload: T,
    inner: engine::Delivery,
}

impl<T> Delivery<T> {
    /// Reads the payload; a body that cannot be read is dead-lettered.
    fn decode<C: Codec<T>>(inner: engine::Delivery) -> Option<Delivery<T>> {
        match C::decode(&inner.message().body) {
            Ok(payload) => Some(Delivery { payload, inner }),
            Err(error) => {
                undecodable(inner, &error);
                None
            }
        }
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &T {
        &self.payload
    }

    /// The payload by value, and the delivery to settle without it.
    pub fn take(self) -> (T, engine::Delivery) {
        (self.payload, self.inner)
    }

    /// The message: id, type name, key, headers, body and the rest.
    #[must_use]
    pub fn message(&self) -> &Message {
        self.inner.message()
    }

    /// Which attempt this is, as a range.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.inner.attempt()
    }

    /// What the broker calls the message.
    #[must_use]
    pub fn broker_id(&self) -> &BrokerId {
        self.inner.broker_id()
    }

    /// The queue or subscription it was read from.
    #[must_use]
    pub fn source(&self) -> &Source {
        self.inner.source()
    }

    /// The delivery's own controls, for code that handles it but does not settle it.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.inner.lease()
    }

    /// Runs a future whose publishes are tied to this delivery, as a handler's are.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F, T> {
        context::within(self.message().clone(), future)
    }

    /// Done: never again.
    pub fn ack(self) -> Settled {
        self.inner.ack()
    }

    /// Acknowledges many at once, which costs less for each; empties the vector, keeping its room. How many of them
    /// were stale: those come again.
    pub fn ack_all(deliveries: &mut Vec<Delivery<T>>) -> usize {
        engine::Delivery::ack_all_in(deliveries, |delivery| &mut delivery.inner)
    }

    /// Done, and waits until the broker has it for good, which costs a round trip of its own. A log may have to wait
    /// for earlier positions.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`](crate::ErrorKind::Stale) when the lease was lost; status unknown when the connection was
    /// lost before the answer.
    pub async fn ack_confirmed(self) -> Result<()> {
        self.inner.ack_confirmed().await
    }

    /// Failed: counts, and comes again after the policy's wait, or the one given; beyond the policy's attempts it is
    /// dead-lettered as `max-attempts`. The error's text is kept, at most 1,024 bytes of it.
    pub fn retry(self, after: Option<Duration>, error: &str) -> Settled {
        self.inner.retry(after, error)
    }

    /// Given back without fault: uncounted, and paced.
    pub fn release(self) -> Settled {
        self.inner.release()
    }

    /// Dead-lettered now, with this reason (at most 1,024 bytes of it).
    pub fn reject(self, reason: &str) -> Settled {
        self.inner.reject(reason)
    }

    /// Settles as a handler's outcome says.
    pub fn settle(self, outcome: Outcome) -> Settled {
        settle(self.inner, outcome)
    }
}

impl<T: fmt::Debug> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("inner", &self.inner).field("payload", &self.payload).finish()
    }
}

/// One mapping from outcomes to settlements, for workers and the pull API.
#[cold]
fn undecodable(delivery: engine::Delivery, error: &pontoon_core::Error) {
    // Stale means that it comes again, here or elsewhere, and is dead-lettered then.
    let _ = delivery.dead_letter(ReasonKind::Undecodable, error.to_string());
}

pub(crate) fn settle(delivery: engine::Delivery, outcome: Outcome) -> Settled {
    match outcome {
        Ok(_) => delivery.ack(),
        Err(failure) => match failure.action() {
            Action::Retry { after } => delivery.retry(after, &failure.to_string()),
            Action::DeadLetter(reason) => delivery.dead_letter(reason, failure.to_string()),
            Action::Release => delivery.release(),
        },
    }
}
