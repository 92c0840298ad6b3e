//! The handle.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::outcome::{PublishError, Published, PublisherReport, PublisherStats};
use super::shared::{Phase, Shared};
use super::{Pending, Publish, PublisherOptions, many, one, open};
use crate::driver::AnyTransport;
use crate::engine::Environment;
use crate::{Bytes, Capabilities, Channel, Message, Moment, Receipt, Result};

/// Publishes to one channel. Cheap to clone; clones share bounds, order and connection.
///
/// Every accepted message has exactly one outcome: confirmed, or [`PublishError::Rejected`], or
/// [`PublishError::Unknown`]. The order in which messages of one key are issued through one publisher and its clones is
/// the order in which they are first stored, where the channel asks for order. When the last clone is dropped, what was
/// accepted is still sent.
#[derive(Clone)]
pub struct Publisher(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody can publish any more; every accepted message has its own deadline.
        self.shared.with(|lane| {
            if lane.phase == Phase::Open {
                lane.phase = Phase::Closing(Moment::NEVER);
            }
        });
    }
}

impl Publisher {
    /// Opens a channel for publishing: checks its facts, compares what it requires with what the profile can do (before
    /// and after connecting), declares it and its dead-letter channel, and opens the first connection. A channel that
    /// another program declared is used as it is.
    ///
    /// Must be called within a tokio runtime with time enabled; it drives the publisher.
    ///
    /// # Errors
    /// Contradicting facts, a missing capability by name, and whatever the transport reports.
    pub async fn open(
        transport: &AnyTransport,
        channel: Channel,
        options: PublisherOptions,
        env: &Environment,
    ) -> Result<Publisher> {
        let shared = open::open(transport, channel, options, env).await?;
        Ok(Publisher(Arc::new(Handle { shared })))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.shared().channel
    }

    /// What the channel's profile can do, as found by the current connection.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.shared().with(|lane| lane.capabilities.clone())
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> PublisherStats {
        self.shared().with(|lane| lane.machine.stats())
    }

    /// What was done so far, without taking care of anything meanwhile.
    #[cfg(test)]
    pub(super) fn stats_unattended(&self) -> PublisherStats {
        self.shared().stats_unattended()
    }

    /// Publishes one message: the future gives its outcome. The message is issued at the first poll; from its acceptance
    /// on dropping the future does not unsend it.
    pub fn publish(&self, message: Message) -> Publish<'_> {
        Publish::new(self.shared(), message)
    }

    /// The same for a message that is made in place: `write` fills in an empty one.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); and whatever `write` refuses, before anything is sent.
    pub async fn publish_with(
        &self,
        write: impl FnOnce(&mut Message) -> std::result::Result<(), PublishError>,
    ) -> std::result::Result<Receipt, PublishError> {
        let mut message = Some(Message::new(Bytes::new()));
        if let Some(message) = &mut message {
            write(message)?;
        }
        one::publish_from(self.shared(), &mut message).await
    }

    /// Publishes one message and waits only for room; what is returned gives the outcome, and may be dropped.
    ///
    /// # Errors
    /// Rejected, when the message can never be sent, when the publisher is closed, or when there was no room until the
    /// deadline.
    pub async fn enqueue(&self, message: Message) -> std::result::Result<Pending, PublishError> {
        one::enqueue(self.shared(), message).await
    }

    /// Publishes many messages in order, pipelined, and waits for all outcomes. The iterator is read as far as there is
    /// room. When the future is dropped, what was accepted is still sent, the rest is not.
    pub async fn publish_all<I>(&self, messages: I) -> Published
    where
        I: IntoIterator<Item = Message>,
    {
        let write = |message, place: &mut Message| {
            *place = message;
            true
        };
        many::publish_all(self.shared(), messages.into_iter(), write).await
    }

    /// The same for items of which messages are to be made: `write` fills in an empty one for each, in place, and says
    /// whether it is to be sent. An item that is not has no outcome.
    pub async fn publish_each<I>(&self, items: I, write: impl FnMut(I::Item, &mut Message) -> bool) -> Published
    where
        I: IntoIterator,
    {
        many::publish_all(self.shared(), items.into_iter(), write).await
    }

    /// Waits until everything accepted before has its outcome.
    pub async fn flush(&self) {
        let shared = self.shared();
        let mut waiting = Flush { shared, id: None };
        let until = shared.with(|lane| lane.machine.flush_until());
        poll_fn(|cx| {
            let (done, _old_waker) = shared.with(|lane| {
                let old = waiting.id.take().and_then(|id| lane.machine.flushes.give_up(id));
                let done = lane.machine.flushed(until);
                if !done {
                    waiting.id = Some(lane.machine.flushes.wait(until, cx.waker().clone()));
                }
                (done, old)
            });
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Refuses new messages, waits for the outcomes of those accepted, closes the connection. What has no outcome when
    /// the time is over is given up: Unknown when it was sent, Rejected when it never was. Closing twice is fine; dropping
    /// the future does not stop it.
    pub async fn close(&self, within: Duration) -> PublisherReport {
        let shared = self.shared();
        let by = shared.clock.now() + within;
        shared.with(|lane| {
            lane.phase = match lane.phase {
                Phase::Open => Phase::Closing(by),
                Phase::Closing(earlier) => Phase::Closing(earlier.min(by)),
                Phase::Closed => Phase::Closed,
            };
            lane.machine.close_queue();
        });
        shared.signal.raise();
        loop {
            let closed = shared.closed.notified();
            let mut closed = std::pin::pin!(closed);
            // Registered before looking, so that the notice cannot slip through between.
            closed.as_mut().enable();
            if let Some(report) = shared.with(|lane| lane.report) {
                return report;
            }
            closed.await;
        }
    }
}

/// A waiting flush, given up when its future is dropped.
struct Flush<'a> {
    shared: &'a Shared,
    id: Option<u64>,
}

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let _old_waker = self.shared.with(|lane| lane.machine.flushes.give_up(id));
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("channel", &self.channel().name).field("stats", &self.stats()).finish()
    }
}
