//! What a schedule is going to do.

use std::fmt;
use std::time::Duration;

use pontoon_core::driver::Transport;
use pontoon_core::engine::{ConsumerOptions, PublisherOptions, Reconnect, ReleasePace};
use pontoon_core::{
    Capabilities, Capability, Channel, ChannelKind, ChannelName, DeadLetterPolicy, Order, Result, Retry, Source,
    Subscription,
};

use super::trouble::{self, Phase};
use super::{Stage, source_of};
use crate::checker::Promises;

/// A schedule before it runs.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) channel: Channel,
    /// None for a queue.
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) profile: Capabilities,
    pub(super) retry: Retry,
    pub(super) publishers: usize,
    /// By each publisher.
    pub(super) messages: usize,
    pub(super) keys: u64,
    /// Of each source.
    pub(super) consumers: usize,
    /// Of each consumer.
    pub(super) handlers: usize,
    pub(super) prefetch: usize,
    pub(super) phases: Vec<Phase>,
}

impl Plan {
    pub(super) fn draw(stage: &Stage, random: &mut fastrand::Rng) -> Result<Self> {
        let kinds = [ChannelKind::Queue, ChannelKind::Topic];
        let orders = [Order::Unordered, Order::BLOCK, Order::FallBehind];
        let (mut kind, mut order) = (kinds[random.usize(..2)], orders[random.usize(..3)]);
        let plain = Self::channel(stage, kind, order)?;
        let can = |capability| stage.transport.capabilities(&plain).has(capability);
        if !can(Capability::FanOut) {
            kind = ChannelKind::Queue;
        }
        if !can(Capability::OrderPerKey) {
            order = Order::Unordered;
        }
        let channel = Self::channel(stage, kind, order)?;
        let subscriptions = match kind {
            ChannelKind::Queue => Vec::new(),
            ChannelKind::Topic => vec![Subscription::new("one")?, Subscription::new("two")?],
        };
        let profile = stage.transport.capabilities(&channel);
        Ok(Plan {
            channel,
            subscriptions,
            profile,
            retry: Retry::exponential(stage.ms(5), stage.ms(40)).attempts(random.u32(2..6)),
            publishers: random.usize(1..4),
            messages: random.usize(6..25),
            keys: random.u64(1..5),
            consumers: random.usize(1..4),
            handlers: random.usize(1..4),
            prefetch: random.usize(1..9),
            phases: trouble::draw(stage, random),
        })
    }

    fn channel(stage: &Stage, kind: ChannelKind, order: Order) -> Result<Channel> {
        let name = format!("{}work", stage.prefix);
        let mut channel = match kind {
            ChannelKind::Queue => Channel::queue(name)?,
            ChannelKind::Topic => Channel::topic(name)?,
        };
        channel.order = order;
        channel.dead_letter = DeadLetterPolicy::To(ChannelName::new(format!("{}dead", stage.prefix))?);
        Ok(channel)
    }

    pub(super) fn sources(&self) -> Result<Vec<Source>> {
        if self.subscriptions.is_empty() {
            return Ok(vec![source_of(self, None)?]);
        }
        self.subscriptions.iter().map(|subscription| source_of(self, Some(subscription))).collect()
    }

    pub(super) fn can(&self, capability: Capability) -> bool {
        self.profile.has(capability)
    }

    pub(super) fn publisher_options(&self, stage: &Stage) -> PublisherOptions {
        let mut options = PublisherOptions::default();
        options.reconnect = Reconnect::new(stage.ms(5), stage.ms(50));
        options
    }

    pub(super) fn consumer_options(&self, stage: &Stage) -> ConsumerOptions {
        let mut options = ConsumerOptions::default();
        options.prefetch = self.prefetch;
        options.retry = self.retry;
        options.reconnect = Reconnect::new(stage.ms(5), stage.ms(50));
        options.release_pace = ReleasePace { first: stage.ms(5), cap: stage.ms(20) };
        options
    }

    pub(super) fn promises(&self, stage: &Stage) -> Promises {
        let mut promises = Promises::of(&self.channel, &self.profile, &self.retry);
        promises.notice = stage.ms(100);
        promises.late_by = Some(stage.ms(10_000));
        // In the client it waits behind others of its key, with all their tries.
        promises.expired_by = stage.ms(10_000);
        promises.stall_after = Some(stage.ms(5_000));
        promises.confirmed_share = 0.5;
        // A record gives no two events one time: where the clock is paused, later ones are a little late.
        promises.early_by = Duration::from_micros(10);
        promises
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { publishers, messages, keys, consumers, handlers, prefetch, .. } = self;
        let order = match self.channel.order {
            Order::Unordered => "unordered",
            Order::Block { .. } => "blocking",
            Order::FallBehind => "falling behind",
        };
        let kind = if self.subscriptions.is_empty() { "queue" } else { "topic" };
        write!(f, "{order} {kind}, {publishers} publishers of {messages} messages with {keys} keys, ")?;
        write!(f, "{consumers} consumers of {handlers} handlers with prefetch {prefetch}, faults ")?;
        f.debug_list()
            .entries(self.phases.iter().map(|phase| phase.faults.iter().map(|(kind, _)| *kind).collect::<Vec<_>>()))
            .finish()
    }
}
