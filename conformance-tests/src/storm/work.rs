//! What is worked on: a channel of the profile's kind, and its sources.

use pontoon_core::driver::{AnyTransport, Transport};
use pontoon_core::{
    Capability, Channel, ChannelKind, ChannelName, DeadLetterPolicy, Order, Result, Source, Subscription,
};

/// A channel that keeps order where it can, with a dead-letter channel; a topic has two subscriptions.
pub(crate) struct Work {
    pub(crate) channel: Channel,
    pub(crate) sources: Vec<Source>,
    /// Whether messages have keys.
    pub(crate) keyed: bool,
}

impl Work {
    /// The one of this run. `what` begins its name.
    pub(crate) fn of(what: &str, kind: ChannelKind, transport: &AnyTransport, run: u64) -> Result<Self> {
        let name = format!("{what}.{run:x}");
        let mut channel = match kind {
            ChannelKind::Queue => Channel::queue(name.as_str())?,
            ChannelKind::Topic => Channel::topic(name.as_str())?,
        };
        channel.dead_letter = DeadLetterPolicy::To(ChannelName::new(format!("{name}.dead"))?);
        let keyed = transport.capabilities(&channel).has(Capability::OrderPerKey);
        channel.order = if keyed { Order::BLOCK } else { Order::Unordered };
        let sources = match kind {
            ChannelKind::Queue => vec![Source::new(channel.clone(), None)?],
            ChannelKind::Topic => ["one", "two"]
                .into_iter()
                .map(|name| Source::new(channel.clone(), Some(Subscription::new(name)?)))
                .collect::<Result<_>>()?,
        };
        Ok(Work { channel, sources, keyed })
    }
}
