//! [`Publisher`]: payloads in, one outcome each.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use pontoon_core::engine::{self, Pending, PublishError, Published, PublisherReport, PublisherStats};
use pontoon_core::{Bytes, Channel, Error, Message, Receipt, Result, Text};

use crate::channel::Destination;
use crate::channel::facts::KeyOf;
use crate::codec::{self, Codec, Json};
use crate::context;

/// Publishes payloads `T` to one channel. Cheap to clone; clones share bounds and order.
///
/// Each publish ends in exactly one of three ways: `Ok` (stored at the durability of the channel's profile),
/// [`PublishError::Rejected`] (certainly never visible to a consumer) or [`PublishError::Unknown`] (it may or may not be
/// there). Both errors hand the message back.
///
/// What is published by a handler, in the handler's own task, is tied to the message being handled: it inherits the
/// correlation (or the message's id), names the message as its causation, and carries its `traceparent` and
/// `tracestate`, unless it says otherwise itself.
pub struct Publisher<T, C = Json> {
    engine: Arc<engine::Publisher>,
    key: Option<KeyOf<T>>,
    type_name: Text,
    codec: PhantomData<fn() -> C>,
}

impl<T: Send + 'static, C: Codec<T>> Publisher<T, C> {
    pub(crate) fn new<Ch: Destination<Payload = T, Codec = C>>(engine: Arc<engine::Publisher>, channel: &Ch) -> Self {
        Publisher { engine, key: channel.key_of(), type_name: channel.wire_type(), codec: PhantomData }
    }

    /// The message that would be sent for this payload, without an id. To look at it, or to change it and send it with
    /// [`publish_message`](Self::publish_message).
    ///
    /// # Errors
    /// [`ErrorKind::Codec`](crate::ErrorKind::Codec).
    #[inline]
    pub fn message(&self, payload: &T) -> Result<Message> {
        let mut message = Message::new(Bytes::new());
        self.write(payload, &mut message)?;
        Ok(message)
    }

    /// Fills in an empty message, in place.
    #[inline]
    fn write(&self, payload: &T, message: &mut Message) -> Result<()> {
        message.body = codec::encode::<T, C>(payload)?;
        message.type_name = self.type_name.clone();
        message.content_type = Text::literal(C::CONTENT_TYPE);
        message.key = self.key.map(|find| find.key(payload));
        context::inherit(message);
        Ok(())
    }

    #[inline]
    fn encoded(&self, payload: &T) -> Result<Message, PublishError> {
        match self.message(payload) {
            Ok(message) => Ok(message),
            Err(error) => Err(self.unencoded(error)),
        }
    }

    #[cold]
    fn unencoded(&self, error: Error) -> PublishError {
        // Nothing could be written, so what is handed back is empty.
        let message = Box::new(Message::new("").with_type(self.type_name.clone()));
        PublishError::Rejected { error, message }
    }

    /// Publishes one payload and waits for its outcome. Concurrent calls share batches.
    ///
    /// Lazy: nothing happens before the first poll, and first polls are the order of issue. From then on dropping the
    /// future does not unsend the message.
    ///
    /// # Errors
    /// [`PublishError::Rejected`] or [`PublishError::Unknown`].
    pub async fn publish(&self, payload: &T) -> Result<Receipt, PublishError> {
        self.engine.publish_with(|message| self.write(payload, message).map_err(|error| self.unencoded(error))).await
    }

    /// Publishes one payload with more than the channel says about it:
    /// `publisher.publish_with(&flight, |message| message.with_header("tenant", "acme")).await?`.
    ///
    /// # Errors
    /// [`PublishError::Rejected`] or [`PublishError::Unknown`].
    pub async fn publish_with(
        &self,
        payload: &T,
        change: impl FnOnce(Message) -> Message,
    ) -> Result<Receipt, PublishError> {
        self.engine.publish(change(self.encoded(payload)?)).await
    }

    /// Publishes many payloads, pipelined, and waits for all outcomes: one for each, in order.
    pub async fn publish_all<I>(&self, payloads: I) -> Published
    where
        I: IntoIterator<Item: Borrow<T>>,
    {
        // A payload that cannot be encoded has its outcome at once; the others must not wait for it.
        let (mut at, mut unencoded) = (0, Vec::new());
        let write = |payload: I::Item, message: &mut Message| {
            at += 1;
            match self.write(payload.borrow(), message) {
                Ok(()) => true,
                Err(error) => {
                    unencoded.push((at - 1, self.unencoded(error)));
                    false
                }
            }
        };
        let published = self.engine.publish_each(payloads, write).await;
        if unencoded.is_empty() {
            return published;
        }
        let mut outcomes = published.into_outcomes();
        for (place, error) in unencoded {
            outcomes.insert(place, Err(error));
        }
        outcomes.into_iter().collect()
    }

    /// Waits only for room and returns a pending outcome. [`flush`](Self::flush) waits for all of them.
    ///
    /// # Errors
    /// [`PublishError::Rejected`] for a payload that cannot be encoded or sent at all, or without room until the
    /// message's deadline.
    pub async fn enqueue(&self, payload: &T) -> Result<Pending, PublishError> {
        self.engine.enqueue(self.encoded(payload)?).await
    }

    /// Publishes a message as it is: its type, key and content type are the caller's, not the channel's.
    ///
    /// # Errors
    /// [`PublishError::Rejected`] or [`PublishError::Unknown`].
    pub async fn publish_message(&self, message: Message) -> Result<Receipt, PublishError> {
        self.engine.publish(message).await
    }

    /// Waits until everything published or enqueued before has its outcome.
    pub async fn flush(&self) {
        self.engine.flush().await;
    }

    /// Waits for outcomes at most this long, then gives up the rest. Closing twice is fine; publishing afterwards is
    /// rejected with [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    pub async fn close(&self, within: Duration) -> PublisherReport {
        self.engine.close(within).await
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> PublisherStats {
        self.engine.stats()
    }

    /// The channel with its declared facts.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        self.engine.channel()
    }
}

impl<T, C> Clone for Publisher<T, C> {
    fn clone(&self) -> Self {
        Publisher { engine: self.engine.clone(), key: self.key, type_name: self.type_name.clone(), codec: PhantomData }
    }
}

impl<T, C> fmt::Debug for Publisher<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("type_name", &self.type_name).finish_non_exhaustive()
    }
}
