//! Where a check works: a channel of its own, with a subscription where it is a topic.

use pontoon_core::{Channel, ChannelKind, ChannelName, DeadLetterPolicy, Order, Result, Source, Subscription};

/// A channel with a name of its own, and the subscription through which a topic is read.
#[derive(Clone, Debug)]
pub struct Place {
    /// The channel, with its facts.
    pub channel: Channel,
    /// Where it is a topic.
    pub subscription: Option<Subscription>,
}

impl Place {
    /// A channel of this kind with a dead-letter channel beside it.
    ///
    /// # Errors
    /// When a name breaks the naming rule.
    pub fn new(kind: ChannelKind, name: &str) -> Result<Self> {
        let mut channel = match kind {
            ChannelKind::Queue => Channel::queue(name.to_owned())?,
            ChannelKind::Topic => Channel::topic(name.to_owned())?,
        };
        channel.dead_letter = DeadLetterPolicy::To(ChannelName::new(format!("{name}.dead"))?);
        let subscription = match kind {
            ChannelKind::Queue => None,
            ChannelKind::Topic => Some(Subscription::new("one")?),
        };
        Ok(Place { channel, subscription })
    }

    /// With this order.
    #[must_use]
    pub fn ordered(mut self, order: Order) -> Self {
        self.channel.order = order;
        self
    }

    /// What cannot be handled is dropped with an event.
    #[must_use]
    pub fn discarding(mut self) -> Self {
        self.channel.dead_letter = DeadLetterPolicy::Discard;
        self
    }

    /// With this delivery ceiling.
    #[must_use]
    pub fn ceiling(mut self, ceiling: u32) -> Self {
        self.channel.delivery_ceiling = ceiling;
        self
    }

    /// The same channel through another subscription.
    ///
    /// # Errors
    /// When the name breaks the naming rule.
    pub fn through(&self, subscription: &str) -> Result<Self> {
        let subscription = Some(Subscription::new(subscription.to_owned())?);
        Ok(Place { channel: self.channel.clone(), subscription })
    }

    /// What a consumer reads.
    ///
    /// # Errors
    /// When the facts contradict each other.
    pub fn source(&self) -> Result<Source> {
        Source::new(self.channel.clone(), self.subscription.clone())
    }

    /// The dead-letter channel as a place of its own, where there is one.
    #[must_use]
    pub fn dead(&self) -> Option<Place> {
        self.channel.dead_letter_channel().map(|channel| Place { channel, subscription: None })
    }

    /// The name by which the history knows what is read.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.subscription {
            Some(subscription) => format!("{}/{}", self.channel.name, subscription.name),
            None => self.channel.name.to_string(),
        }
    }
}
