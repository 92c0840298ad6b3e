//! Opening a channel for publishing, the first time and after a loss.

use std::sync::Arc;
use std::time::Duration;

use super::PublisherOptions;
use super::machine::{Config, Machine};
use super::pump;
use super::shared::{Shared, Sink};
use crate::driver::{AnyProducer, AnyTransport, Completions, Ensure, Notices, OpenProducer, OpenedProducer, Transport};
use crate::engine::Environment;
use crate::{Channel, Error, ErrorKind, Event, EventHook, EventKind, Requirements, Result};

/// How a generation is opened.
pub(super) struct Opener {
    pub transport: AnyTransport,
    pub channel: Channel,
    pub max_messages: usize,
    pub deliver_within: Duration,
    pub notices: Notices,
}

impl Opener {
    /// Declares the channel and opens one generation of a producer.
    ///
    /// Also after a loss it is declared again: the broker may have come back without it, and a conflict is better
    /// reported than published into.
    pub(super) async fn open(&self, shared: Arc<Shared>, generation: u32) -> Result<OpenedProducer<AnyProducer>> {
        let channel = &self.channel;
        let required = Requirements::for_publisher(channel);
        required.check(&self.transport.capabilities(channel), channel)?;
        if let Some(dead_letter) = channel.dead_letter_channel() {
            self.transport.ensure(&Ensure::new(dead_letter)).await?;
        }
        // An existing channel is only looked for: better told here than by every publish.
        self.transport.ensure(&Ensure::new(channel.clone())).await?;
        let sink = Completions::new(Arc::new(Sink { shared, generation }));
        let mut how = OpenProducer::new(channel.clone(), generation, sink);
        how.max_in_flight = self.max_messages;
        how.deliver_within = self.deliver_within;
        how.notices = self.notices.clone();
        let opened = self.transport.open_producer(how).await?;
        required.check(&opened.capabilities, channel)?;
        Ok(opened)
    }
}

pub(super) async fn open(
    transport: &AnyTransport,
    channel: Channel,
    options: PublisherOptions,
    env: &Environment,
) -> Result<Arc<Shared>> {
    channel.validate()?;
    let runtime = tokio::runtime::Handle::try_current().map_err(|cause| {
        Error::new(ErrorKind::InvalidConfig, "open publisher", "there is no tokio runtime to drive it")
            .with_source(cause)
    })?;
    let machine = Machine::new(Config {
        channel: channel.clone(),
        max_messages: options.max_messages,
        max_bytes: options.max_bytes,
        deliver_within: options.deliver_within,
        resend: options.resend,
        seed: env.next_seed(),
        hook_published: env.hook_for(EventKind::Published),
        hook_failed: env.hook_for(EventKind::PublishFailed),
    });
    let capabilities = transport.capabilities(&channel);
    let volatile = options.allow_volatile.clone();
    let shared = Shared::new(channel.clone(), machine, capabilities, volatile, env.next_seed(), env.clock());
    let shared = Arc::new(shared);
    let opener = Opener {
        transport: transport.clone(),
        notices: degraded(&channel, env.hook_for(EventKind::Degraded)),
        channel,
        max_messages: options.max_messages.max(1),
        deliver_within: options.deliver_within,
    };
    let opened = opener.open(Arc::clone(&shared), 1).await?;
    shared.with(|lane| shared.install(lane, opened.producer, opened.capabilities, 1));
    let pump = pump::Pump::new(Arc::clone(&shared), opener, &options, env);
    runtime.spawn(pump.run());
    Ok(shared)
}

fn degraded(channel: &Channel, hook: Option<Arc<dyn EventHook>>) -> Notices {
    let Some(hook) = hook else { return Notices::none() };
    let channel = channel.clone();
    Notices::new(move |error| hook.on_event(&Event::Degraded { channel: &channel, error }))
}
