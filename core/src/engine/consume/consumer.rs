//! The consumer: opening, taking deliveries, flushing and draining.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::batch::Batch;
use super::core::{Core, Drain};
use super::delivery::Delivery;
use super::machine::{Config, Machine, RetryBy};
use super::note::Wants;
use super::pump::Pump;
use super::shared::{Shared, Waiting};
use super::want::Want;
use super::{ConsumerOptions, DrainReport, FlushReport};
use crate::driver::{AnyTransport, Ensure, OpenConsumer, OpenedConsumer, Transport};
use crate::engine::Environment;
use crate::{
    Capabilities, Capability, DeadLetterPolicy, DeliveryGuarantee, Error, ErrorKind, Level, Moment, Order,
    Requirements, Result, Source,
};

/// Takes deliveries from a queue or a subscription. Cheap to clone; clones share one stream of deliveries.
///
/// When the last clone is dropped, prefetched messages are given back; deliveries in the application's hands can still
/// be settled.
#[derive(Clone)]
pub struct Consumer {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    capabilities: Capabilities,
}

impl Drop for Handle {
    fn drop(&mut self) {
        begin_drain(&self.shared, Moment::NEVER);
    }
}

fn begin_drain(shared: &Shared, deadline: Moment) {
    let now = shared.clock.now();
    let mut core = shared.core();
    let deadline = core.drain.map_or(deadline, |drain| drain.deadline.min(deadline));
    core.note_late();
    core.drain = Some(Drain { deadline });
    core.machine.begin_drain(now);
    core.apply();
    let mut after = core.aftermath(0);
    after.wake = usize::MAX;
    drop(core);
    shared.after(after);
}

impl Consumer {
    /// Opens a consumer: checks the facts, compares what is required with what the profile can, declares the channel
    /// with its dead-letter channel (unless it exists already by its own right), and connects.
    ///
    /// Must be called within a tokio runtime; one task per consumer is spawned on it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for facts or options that contradict each other, [`ErrorKind::Unsupported`] naming
    /// a missing capability, and whatever the transport reports on declaring and opening.
    pub async fn open(
        transport: &AnyTransport,
        source: Source,
        options: ConsumerOptions,
        env: &Environment,
    ) -> Result<Consumer> {
        check(&source, &options)?;
        let required = required(&source, &options);
        required.check(&transport.capabilities(&source.channel), &source.channel)?;
        declare(transport, &source).await?;
        let opened = transport.open_consumer(how(&source, &options, 1, env)).await?;
        let OpenedConsumer { receiver, settler, capabilities, lease } = opened;
        required.check(&capabilities, &source.channel)?;
        let config = config(&source, &options, &capabilities, lease, env)?;
        let machine = Machine::new(config, env.next_seed());
        let core = Core::new(machine, settler, source.channel.clone(), source.channel.dead_letter_channel());
        let shared = Arc::new(Shared::new(source, env, core, receiver, capabilities.has(Capability::AckConfirmed)));
        tokio::spawn(Pump::new(shared.clone(), transport.clone(), options, env.clone()).run());
        Ok(Consumer { handle: Arc::new(Handle { shared, capabilities }) })
    }

    /// What is read.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.handle.shared.source
    }

    /// What the profile turned out to be when the consumer opened.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.handle.capabilities
    }

    /// The next delivery; `None` once the consumer is drained. Dropping the future loses nothing. Any number of
    /// callers may wait at once.
    ///
    /// An error is permanent, such as revoked rights; after it comes `None`. Lost connections are made anew beneath.
    #[must_use = "a future does nothing unless awaited"]
    pub fn next(&self) -> Next<'_> {
        Next { shared: &self.handle.shared, waiting: Waiting::default() }
    }

    /// The same, put where the caller wants it, for a delivery is large; what was there is dropped. `false` once the
    /// consumer is drained.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_into(&self, place: &mut Option<Delivery>) -> Result<bool> {
        *place = None;
        let shared = &self.handle.shared;
        let mut next = Next { shared, waiting: Waiting::default() };
        match poll_fn(|cx| shared.poll_take(&mut next.waiting, cx, Want::One(place))).await {
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(error),
            None => Ok(false),
        }
    }

    /// The same by polling, for a stream: `position` keeps the caller's place in line between calls.
    pub fn poll_next(&self, position: &mut Position, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery>>> {
        position.shared.get_or_insert_with(|| self.handle.shared.clone());
        poll_one(&self.handle.shared, &mut position.waiting, cx)
    }

    /// Takes up to `max` deliveries at once: waits for the first, then adds what is there. `None` once the consumer is
    /// drained. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_batch(&self, max: usize) -> Result<Option<Batch>> {
        let shared = &self.handle.shared;
        let mut batch = Batch::new(shared);
        if max == 0 {
            return Ok(Some(batch));
        }
        let mut next = Next { shared, waiting: Waiting::default() };
        let more = poll_fn(|cx| shared.poll_take(&mut next.waiting, cx, Want::Many(max, &mut batch))).await;
        more.transpose().map(|more| more.map(|()| batch))
    }

    /// Waits until everything that was settled so far is final; what since the last flush did not end as recorded.
    pub async fn flush(&self) -> FlushReport {
        let shared = &self.handle.shared;
        let number = shared.core().machine.last_number();
        shared.flushed(number).await;
        let mut core = shared.core();
        core.note_late();
        std::mem::take(&mut core.late_total)
    }

    /// Stops fetching, gives back what was not started, waits for what runs to be settled, flushes and closes; by the
    /// deadline at the latest, after which the report names what was abandoned. Draining twice is fine; the earlier
    /// deadline counts.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let shared = &self.handle.shared;
        begin_drain(shared, shared.clock.now() + within);
        loop {
            let progress = shared.progress.notified();
            if let Some(report) = shared.core().finished.clone() {
                return report;
            }
            progress.await;
        }
    }

    /// How many deliveries are in the application's hands.
    #[must_use]
    pub fn running(&self) -> usize {
        self.handle.shared.core().machine.running()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("source", &self.source().to_string()).finish()
    }
}

/// A place in line for [`Consumer::poll_next`].
#[derive(Default)]
pub struct Position {
    shared: Option<Arc<Shared>>,
    waiting: Waiting,
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Position")
    }
}

impl Drop for Position {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            self.waiting.give_up(shared);
        }
    }
}

/// The future of [`Consumer::next`].
#[must_use = "a future does nothing unless awaited"]
pub struct Next<'a> {
    shared: &'a Arc<Shared>,
    waiting: Waiting,
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

impl Future for Next<'_> {
    type Output = Option<Result<Delivery>>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        poll_one(this.shared, &mut this.waiting, cx)
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        self.waiting.give_up(self.shared);
    }
}

fn poll_one(shared: &Arc<Shared>, waiting: &mut Waiting, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery>>> {
    let mut one = None;
    shared
        .poll_take(waiting, cx, Want::One(&mut one))
        .map(|taken| taken.and_then(|taken| taken.map(|()| one).transpose()))
}

/// Declares the channel, its dead-letter channel and its subscription.
pub(super) async fn declare(transport: &AnyTransport, source: &Source) -> Result<()> {
    if let Some(dead_letters) = source.channel.dead_letter_channel() {
        transport.ensure(&Ensure::new(dead_letters)).await?;
    }
    let mut ensure = Ensure::new(source.channel.clone());
    ensure.subscriptions.extend(source.subscription.clone());
    transport.ensure(&ensure).await
}

pub(super) fn how(source: &Source, options: &ConsumerOptions, generation: u32, env: &Environment) -> OpenConsumer {
    let parked = if source.channel.order.is_ordered() { options.max_parked } else { 0 };
    let mut how = OpenConsumer::new(source.clone(), generation);
    how.prefetch = options.prefetch + parked;
    how.guarantee = options.guarantee;
    how.longest_read = options.longest_read;
    if let Some(hook) = env.hook_for(crate::EventKind::Degraded) {
        let channel = source.channel.clone();
        how.notices = crate::driver::Notices::new(move |error| {
            hook.on_event(&crate::Event::Degraded { channel: &channel, error });
        });
    }
    how
}

fn waits(options: &ConsumerOptions) -> bool {
    options.retry.max_attempts() > 1 && !options.retry.longest_wait().is_zero()
}

fn required(source: &Source, options: &ConsumerOptions) -> Requirements {
    let mut required = Requirements::for_consumer(&source.channel, options.guarantee, waits(options));
    for capability in &options.allow_volatile {
        required.allow_volatile(*capability);
    }
    required
}

/// What can be refused without asking the transport.
fn check(source: &Source, options: &ConsumerOptions) -> Result<()> {
    source.channel.validate()?;
    let refuse = |kind, message: &str, help: &'static str| {
        Err(Error::new(kind, "open consumer", message)
            .with("channel", source.channel.name.as_str())
            .with_help(crate::Text::literal(help)))
    };
    if options.prefetch == 0 {
        return refuse(ErrorKind::InvalidConfig, "a prefetch of 0 would never receive anything", "use at least 1");
    }
    match options.guarantee {
        DeliveryGuarantee::AtLeastOnce => {
            if source.channel.dead_letter == DeadLetterPolicy::Undeclared {
                return refuse(
                    ErrorKind::InvalidConfig,
                    "nothing says where messages go that cannot be handled",
                    "add `.dead_letter(\"…\")` to the channel, or `.discard_failed()` to drop them with an event",
                );
            }
        }
        DeliveryGuarantee::AtMostOnce => {
            if matches!(source.channel.dead_letter, DeadLetterPolicy::To(_)) || options.retry.max_attempts() > 1 {
                return refuse(
                    ErrorKind::InvalidConfig,
                    "at-most-once delivery settles before handling: nothing can be retried or dead-lettered after it",
                    "use `Retry::never()` on a channel without a dead-letter channel, or at-least-once delivery",
                );
            }
        }
        DeliveryGuarantee::ExactlyOnce => {
            return refuse(
                ErrorKind::Unsupported,
                "exactly-once effects need an inbox or a transaction, and none is configured",
                "use at-least-once delivery with repeatable effects",
            );
        }
    }
    Ok(())
}

fn config(
    source: &Source,
    options: &ConsumerOptions,
    capabilities: &Capabilities,
    lease: Option<Duration>,
    env: &Environment,
) -> Result<Config> {
    let channel = &source.channel;
    let extend = capabilities.has(Capability::LeaseExtension);
    if lease.is_some() && !extend && matches!(channel.order, Order::Block { .. }) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "open consumer",
            "a blocked key needs `lease extension`, which is absent",
        )
        .with("channel", channel.name.as_str())
        .with("capability", Capability::LeaseExtension)
        .with("profile", capabilities.profile())
        .with_help("use `Order::FallBehind` or an unordered channel"));
    }
    let copies = capabilities.has(Capability::PublishDelay) || !waits(options);
    // A broker that delays without counting is second best: its deliveries still count towards the ceiling.
    let native = capabilities.level(Capability::RetryDelay) == Level::Native;
    let retry_by = if native && (capabilities.behaviour.counts_failures || !copies) {
        RetryBy::Broker
    } else if copies {
        RetryBy::Copy
    } else {
        RetryBy::Holding
    };
    Ok(Config {
        order: channel.order,
        delivery_ceiling: channel.delivery_ceiling,
        dead_letter: matches!(channel.dead_letter, DeadLetterPolicy::To(_)),
        retry: options.retry,
        retry_by,
        at_most_once: options.guarantee == DeliveryGuarantee::AtMostOnce,
        prefetch: options.prefetch,
        max_parked: if channel.order.is_ordered() { options.max_parked } else { 0 },
        pace: options.release_pace,
        give_back: capabilities.has(Capability::UncountedRelease),
        replace: capabilities.has(Capability::AtomicReplace),
        lease,
        extend,
        wants: Wants::of(env),
        wall_start_ms: env.clock().wall_ms(Moment::ZERO),
        channel: channel.name.text().clone(),
        subscription: source.subscription.as_ref().map(|s| s.name.text().clone()),
    })
}
