//! [`Broker`]: one connection to one broker, and what can be opened on it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use pontoon_core::driver::{AnyTransport, DepthReport, Ensure, Transport};
use pontoon_core::engine::{self, Consumer, ConsumerOptions, Environment, PublisherOptions};
use pontoon_core::{Capabilities, Capability, Error, ErrorKind, EventHook, Result, Source};

use crate::channel::{Carries, Destination, Readable};
use crate::{DeadLetters, Publisher, Subscribe, Subscription, TracingHook};

/// A broker. Cheap to clone; clones are the same one.
///
/// Handles opened on it keep working until they, or the broker, are closed.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    transport: AnyTransport,
    environment: Environment,
    hook: Arc<dyn EventHook>,
    closed: AtomicBool,
    opened: Mutex<Opened>,
}

/// What was opened and is still held by somebody: closing the broker closes it first.
#[derive(Default)]
struct Opened {
    publishers: Vec<Weak<engine::Publisher>>,
    consumers: Vec<Weak<Consumer>>,
}

/// How long closing may take, unless said otherwise.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// What the transport may take to close when the deadline is over.
const LAST_WORD: Duration = Duration::from_millis(500);

impl Broker {
    /// The broker whose URL stands in this environment variable. There is no default: a program that forgets to
    /// configure its broker must not lose messages into memory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] when the variable is unset, empty, or not UTF-8; else as [`connect`](crate::connect).
    pub async fn from_env(variable: &str) -> Result<Broker> {
        let refuse = |what: &str| {
            Err(Error::new(ErrorKind::InvalidConfig, "connect", format!("the environment variable {variable} {what}"))
                .with_help(format!("set {variable} to the broker's URL, for instance {variable}=memory://")))
        };
        match std::env::var(variable) {
            Ok(url) if url.is_empty() => refuse("is empty"),
            Ok(url) => crate::connect(&url).await,
            Err(std::env::VarError::NotPresent) => refuse("is not set"),
            Err(std::env::VarError::NotUnicode(_)) => refuse("is not UTF-8"),
        }
    }

    /// A broker on a transport of your own, or on a wrapped one:
    /// `Broker::with_transport(wrap(pontoon::transport(url).await?))`.
    #[must_use]
    pub fn with_transport(transport: AnyTransport) -> Broker {
        Broker::builder().build(transport)
    }

    /// A broker with an event hook, a seed, or wrappers around its transport.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder { hook: None, seed: None, wrappers: Vec::new() }
    }

    /// Declares a channel as its constant says: its dead-letter channel, itself, and for
    /// [`Subscribed`](crate::Subscribed) the subscription. Doing so again changes nothing. Publishers and
    /// subscriptions do this when they are opened.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] or [`ErrorKind::InvalidConfig`] before anything is sent; [`ErrorKind::Conflict`] naming
    /// the field in which the broker's channel differs; [`ErrorKind::Permission`]; [`ErrorKind::NotFound`] for an
    /// `existing` channel that is not there.
    pub async fn ensure(&self, channel: &impl Carries) -> Result<()> {
        let ensure = crate::channel::sealed::Place::ensure_as(channel, None)?;
        self.open("ensure")?;
        if let Some(dead_letters) = ensure.channel.dead_letter_channel() {
            self.0.transport.ensure(&Ensure::new(dead_letters)).await?;
        }
        self.0.transport.ensure(&ensure).await
    }

    /// A publisher for this channel, with default bounds: 1,024 messages and 16 MiB unresolved, 30 s for each message.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure); [`ErrorKind::Unsupported`] naming what the channel requires and this broker does not
    /// offer.
    pub async fn publisher<Ch: Destination>(&self, channel: Ch) -> Result<Publisher<Ch::Payload, Ch::Codec>> {
        self.publisher_with(channel, PublisherOptions::default()).await
    }

    /// A publisher with bounds and policy of your own.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher).
    pub async fn publisher_with<Ch: Destination>(
        &self,
        channel: Ch,
        options: PublisherOptions,
    ) -> Result<Publisher<Ch::Payload, Ch::Codec>> {
        let declared = channel.channel()?;
        self.open("open publisher")?;
        let opened = engine::Publisher::open(&self.0.transport, declared, options, &self.0.environment).await?;
        let opened = Arc::new(opened);
        self.opened(|all| keep(&mut all.publishers, &opened));
        Ok(Publisher::new(opened, &channel))
    }

    /// A subscription to this queue, or to this subscription of a topic, with default options: the pull API.
    ///
    /// # Errors
    /// As [`publisher`](Self::publisher); [`ErrorKind::InvalidConfig`] when the channel does not say what happens to
    /// messages that cannot be handled.
    pub async fn subscribe<Ch: Readable>(&self, channel: Ch) -> Result<Subscription<Ch::Payload, Ch::Codec>> {
        self.subscription(channel).open().await
    }

    /// As [`subscribe`](Self::subscribe), with options: `broker.subscription(FLIGHTS).prefetch(16).open().await?`.
    pub fn subscription<Ch: Readable>(&self, channel: Ch) -> Subscribe<Ch> {
        Subscribe::new(self.clone(), channel)
    }

    /// The dead letters of this queue or subscription: to list, look at, and put back.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] when the channel declares no dead-letter channel; else as [`ensure`](Self::ensure).
    pub async fn dead_letters<Ch: Readable>(&self, channel: Ch) -> Result<DeadLetters> {
        let source = channel.source_as(None)?;
        self.ensure(&channel).await?;
        DeadLetters::new(self.clone(), source)
    }

    /// What this channel's profile can do, as far as the connection has learnt.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] or [`ErrorKind::InvalidConfig`] of the channel.
    pub fn capabilities(&self, channel: &impl Carries) -> Result<Capabilities> {
        Ok(self.0.transport.capabilities(&channel.channel()?))
    }

    /// How many messages a queue or subscription holds, as exactly as the broker can tell.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the transport cannot tell.
    pub async fn depth(&self, channel: &impl Readable) -> Result<DepthReport> {
        let source = channel.source_as(None)?;
        self.open("depth")?;
        match self.0.transport.extensions().depth {
            Some(depth) => depth.depth(&source).await,
            None => Err(self.unsupported("depth", Capability::Depth, &source)),
        }
    }

    /// Removes every message that is ready, never one that is being handled. How many went.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the transport cannot.
    pub async fn purge(&self, channel: &impl Readable) -> Result<u64> {
        let source = channel.source_as(None)?;
        self.open("purge")?;
        match self.0.transport.extensions().purge {
            Some(purge) => purge.purge(&source).await,
            None => Err(self.unsupported("purge", Capability::Purge, &source)),
        }
    }

    /// Closes everything that was opened here, within 30 s: [`close_within`](Self::close_within).
    ///
    /// # Errors
    /// As [`close_within`](Self::close_within).
    pub async fn close(&self) -> Result<()> {
        self.close_within(CLOSE_WITHIN).await
    }

    /// Drains the subscriptions, then waits for the outcomes of what was published, then closes the connections.
    /// Whatever was opened here is closed by then, a running [`Worker`](crate::Worker) included: using it is an
    /// [`ErrorKind::Closed`]. Closing twice is fine.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] with the numbers of deliveries and publishes that were given up at the deadline, the
    /// broker being closed all the same; else of the transport.
    pub async fn close_within(&self, within: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        let left = || deadline.saturating_duration_since(tokio::time::Instant::now());
        self.0.closed.store(true, Ordering::Release);
        let Opened { publishers, consumers } = self.opened(std::mem::take);
        let consumers: Vec<Arc<Consumer>> = consumers.iter().filter_map(Weak::upgrade).collect();
        let drained = join_all(consumers.iter().map(|consumer| consumer.drain(left()))).await;
        let publishers: Vec<Arc<engine::Publisher>> = publishers.iter().filter_map(Weak::upgrade).collect();
        let closed = join_all(publishers.iter().map(|publisher| publisher.close(left()))).await;
        // A transport sets no time-out of its own, and a silent broker must not hold up an exit.
        let transport = tokio::time::timeout(left().max(LAST_WORD), self.0.transport.close()).await;
        let deliveries: usize = drained.iter().map(|report| report.abandoned.len()).sum();
        let publishes: u64 = closed.iter().map(|report| report.abandoned).sum();
        if deliveries > 0 || publishes > 0 {
            return Err(Error::new(
                ErrorKind::Timeout,
                "close",
                "not everything was settled in time; the broker is closed",
            )
            .with("deliveries", deliveries)
            .with("publishes", publishes));
        }
        transport.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "close", "the broker did not answer; its connections are given up"))
        })
    }

    /// The transport beneath, wrappers included.
    #[must_use]
    pub fn transport(&self) -> &AnyTransport {
        &self.0.transport
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.0.environment
    }

    pub(crate) fn hook(&self) -> &Arc<dyn EventHook> {
        &self.0.hook
    }

    pub(crate) async fn consumer(
        &self,
        source: Source,
        options: ConsumerOptions,
        environment: &Environment,
    ) -> Result<Arc<Consumer>> {
        self.open("open consumer")?;
        let consumer = Arc::new(Consumer::open(&self.0.transport, source, options, environment).await?);
        self.opened(|all| keep(&mut all.consumers, &consumer));
        Ok(consumer)
    }

    fn opened<R>(&self, change: impl FnOnce(&mut Opened) -> R) -> R {
        change(&mut self.0.opened.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self, operation: &'static str) -> Result<()> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, operation, "the broker was closed"));
        }
        Ok(())
    }

    fn unsupported(&self, operation: &'static str, capability: Capability, source: &Source) -> Error {
        let profile = self.0.transport.capabilities(&source.channel);
        let profile = profile.profile();
        Error::new(ErrorKind::Unsupported, operation, format!("`{capability}` is absent on profile {profile}"))
            .with("channel", source)
            .with("capability", capability)
            .with("profile", profile)
            .with_help("ask the broker with its own tools")
    }
}

/// Remembers a handle, and forgets those that are gone.
fn keep<X>(all: &mut Vec<Weak<X>>, one: &Arc<X>) {
    all.retain(|other| other.strong_count() > 0);
    all.push(Arc::downgrade(one));
}

/// Says nothing of URLs, which may hold passwords.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("closed", &self.0.closed.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

/// What a broker is built with: see [`Broker::builder`].
#[must_use = "a builder connects nothing until `connect` or `build`"]
pub struct BrokerBuilder {
    hook: Option<Arc<dyn EventHook>>,
    seed: Option<u64>,
    wrappers: Vec<Wrapper>,
}

type Wrapper = Box<dyn FnOnce(AnyTransport) -> AnyTransport + Send>;

impl BrokerBuilder {
    /// Events go to this hook instead of [`TracingHook`].
    pub fn hook(mut self, hook: impl EventHook) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Ids and jitter derive from this seed and the order of opening: for tests that repeat.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Puts middleware around the transport. The wrapper added last is the outermost.
    pub fn wrap(mut self, wrapper: impl FnOnce(AnyTransport) -> AnyTransport + Send + 'static) -> Self {
        self.wrappers.push(Box::new(wrapper));
        self
    }

    /// Connects to the broker at this URL.
    ///
    /// # Errors
    /// As [`transport`](crate::transport).
    pub async fn connect(self, url: &str) -> Result<Broker> {
        Ok(self.build(crate::transport(url).await?))
    }

    /// A broker on this transport.
    #[must_use]
    pub fn build(self, transport: AnyTransport) -> Broker {
        let transport = self.wrappers.into_iter().fold(transport, |inner, wrap| wrap(inner));
        let hook = self.hook.unwrap_or_else(|| Arc::new(TracingHook));
        let mut environment = Environment::new().with_hook(hook.clone());
        if let Some(seed) = self.seed {
            environment = environment.seeded(seed);
        }
        Broker(Arc::new(Inner {
            transport,
            environment,
            hook,
            closed: AtomicBool::new(false),
            opened: Mutex::default(),
        }))
    }
}

impl fmt::Debug for BrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerBuilder")
            .field("hook", &self.hook.is_some())
            .field("seed", &self.seed)
            .field("wrappers", &self.wrappers.len())
            .finish()
    }
}
