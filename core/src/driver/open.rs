//! What opening a channel says, and what it brings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Completions;
use crate::{Capabilities, Channel, DeliveryGuarantee, Error, Source, Subscription};

/// What is to be declared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ensure {
    /// The channel with its facts.
    pub channel: Channel,
    /// Subscriptions of a topic.
    pub subscriptions: Vec<Subscription>,
}

impl Ensure {
    /// Declares a channel.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Ensure { channel, subscriptions: Vec::new() }
    }

    /// Declares a subscription with it.
    #[must_use]
    pub fn with_subscription(mut self, subscription: Subscription) -> Self {
        self.subscriptions.push(subscription);
        self
    }
}

/// How to open a producer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenProducer {
    /// The channel with its facts; it has been ensured.
    pub channel: Channel,
    /// Which generation this is: 1, then one more with each reconnect.
    pub generation: u32,
    /// Where outcomes go.
    pub completions: Completions,
    /// The most messages that will be unresolved at once.
    pub max_in_flight: usize,
    /// For clients that keep and resend by themselves: how long they may try.
    pub deliver_within: Duration,
    /// Where trouble that heals by itself is reported.
    pub notices: Notices,
}

impl OpenProducer {
    /// For the engine, wrappers and tests.
    #[must_use]
    pub fn new(channel: Channel, generation: u32, completions: Completions) -> Self {
        OpenProducer {
            channel,
            generation,
            completions,
            max_in_flight: 1024,
            deliver_within: Duration::from_secs(30),
            notices: Notices::none(),
        }
    }
}

/// A producer, and what its profile turned out to be.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedProducer<P> {
    /// The producer.
    pub producer: P,
    /// What was found: version and queue attributes are known only now.
    pub capabilities: Capabilities,
}

impl<P> OpenedProducer<P> {
    /// A producer with its capabilities.
    #[must_use]
    pub fn new(producer: P, capabilities: Capabilities) -> Self {
        OpenedProducer { producer, capabilities }
    }
}

/// How to open a consumer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenConsumer {
    /// What to read; it has been ensured.
    pub source: Source,
    /// Which generation this is: 1, then one more with each reconnect.
    pub generation: u32,
    /// The most messages that will be outstanding at once.
    pub prefetch: usize,
    /// What the application asks for.
    pub guarantee: DeliveryGuarantee,
    /// The longest a single read may wait at the server, so that stopping stays short.
    pub longest_read: Duration,
    /// Where trouble that heals by itself is reported.
    pub notices: Notices,
}

impl OpenConsumer {
    /// For the engine, wrappers and tests.
    #[must_use]
    pub fn new(source: Source, generation: u32) -> Self {
        OpenConsumer {
            source,
            generation,
            prefetch: 256,
            guarantee: DeliveryGuarantee::AtLeastOnce,
            longest_read: Duration::from_secs(5),
            notices: Notices::none(),
        }
    }
}

/// The two halves of a consumer, and what its profile turned out to be.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenedConsumer<R, S> {
    /// The receiving half.
    pub receiver: R,
    /// The settling half.
    pub settler: S,
    /// What was found.
    pub capabilities: Capabilities,
    /// How long a lease lasts before it must be extended; `None` where the broker has none.
    pub lease: Option<Duration>,
}

impl<R, S> OpenedConsumer<R, S> {
    /// The two halves of a consumer without leases.
    #[must_use]
    pub fn new(receiver: R, settler: S, capabilities: Capabilities) -> Self {
        OpenedConsumer { receiver, settler, capabilities, lease: None }
    }

    /// Names the length of a lease.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }
}

/// Where a transport reports trouble that it, or its client, heals by itself. Death of a generation is not reported
/// here but returned.
#[derive(Clone)]
pub struct Notices(Option<Arc<Sink>>);

type Sink = dyn Fn(&Error) + Send + Sync;

impl Notices {
    /// Reports go nowhere.
    #[must_use]
    pub fn none() -> Self {
        Notices(None)
    }

    /// Reports go here.
    #[must_use]
    pub fn new(sink: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Notices(Some(Arc::new(sink)))
    }

    /// Something is wrong, and heals.
    pub fn degraded(&self, error: &Error) {
        if let Some(sink) = &self.0 {
            sink(error);
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}
