//! What the application requires, compared with what the profile can do when a channel opens.

use crate::{Capabilities, Capability, Channel, ChannelKind, Error, ErrorKind, Level, Order, Result};

/// What an application asks a subscription to guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DeliveryGuarantee {
    /// Settled after the handler: no loss, duplicates possible.
    #[default]
    AtLeastOnce,
    /// Settled for certain before the handler: no duplicates, a failure is an event and a drop.
    AtMostOnce,
    /// Effects happen once: only where an inbox or a transaction is configured.
    ExactlyOnce,
}

/// One thing required, why, and the way out when it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What is required.
    pub capability: Capability,
    /// Why, for the error.
    pub because: &'static str,
    /// What to change when it is missing, for the error.
    pub way_out: &'static str,
}

/// The requirements of one opening, and what the application allows by name.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    all: Vec<Requirement>,
    volatile_allowed: Vec<Capability>,
}

impl Requirements {
    /// What publishing to this channel requires.
    #[must_use]
    pub fn for_publisher(channel: &Channel) -> Self {
        let mut required = Requirements::default();
        required.channel(channel);
        required
    }

    /// What consuming from this channel requires; `delays` says whether failed messages must wait.
    #[must_use]
    pub fn for_consumer(channel: &Channel, guarantee: DeliveryGuarantee, delays: bool) -> Self {
        let mut required = Requirements::default();
        required.channel(channel);
        if guarantee == DeliveryGuarantee::AtMostOnce {
            required.add(
                Capability::AtMostOnce,
                "the subscription asks for at-most-once delivery",
                "use `DeliveryGuarantee::AtLeastOnce`",
            );
        } else if delays && !matches!(channel.order, Order::Block { .. }) {
            required.add(
                Capability::RetryDelay,
                "the retry policy waits between attempts",
                "use `Retry::never()`, an `Order::Block` profile, or allow the volatile form by name",
            );
        }
        required
    }

    fn channel(&mut self, channel: &Channel) {
        if channel.order.is_ordered() {
            self.add(Capability::OrderPerKey, "the channel is ordered by key", "declare it `Unordered`");
        }
        if channel.kind == ChannelKind::Topic {
            self.add(Capability::FanOut, "the channel is a topic", "use a queue");
        }
    }

    /// Adds a requirement.
    pub fn add(&mut self, capability: Capability, because: &'static str, way_out: &'static str) {
        self.all.push(Requirement { capability, because, way_out });
    }

    /// Lets the volatile form of a capability suffice.
    pub fn allow_volatile(&mut self, capability: Capability) {
        self.volatile_allowed.push(capability);
    }

    /// All requirements.
    pub fn iter(&self) -> impl Iterator<Item = &Requirement> {
        self.all.iter()
    }

    /// Compares.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] naming the first missing capability, the profile, and the way out.
    pub fn check(&self, capabilities: &Capabilities, channel: &Channel) -> Result<()> {
        for required in &self.all {
            let least =
                if self.volatile_allowed.contains(&required.capability) { Level::Volatile } else { Level::Emulated };
            let level = capabilities.level(required.capability);
            if level < least {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "open channel",
                    format!(
                        "`{}` is required because {}, and is {level} on profile {}",
                        required.capability,
                        required.because,
                        capabilities.profile()
                    ),
                )
                .with("channel", channel.name.as_str())
                .with("capability", required.capability)
                .with("profile", capabilities.profile())
                .with_help(required.way_out));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeadLetterPolicy;

    #[test]
    fn a_missing_capability_is_named_with_profile_and_way_out() {
        let mut channel = Channel::queue("q").unwrap();
        channel.order = Order::BLOCK;
        channel.dead_letter = DeadLetterPolicy::Discard;
        let poor = Capabilities::new("poor-1");
        let error = Requirements::for_publisher(&channel).check(&poor, &channel).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.context("capability"), Some("order per key"));
        assert_eq!(error.context("profile"), Some("poor-1"));
        assert!(error.help().unwrap().contains("Unordered"));
        let good = poor.with(Capability::OrderPerKey, Level::Emulated);
        assert!(Requirements::for_publisher(&channel).check(&good, &channel).is_ok());
    }

    #[test]
    fn volatile_must_be_allowed_by_name() {
        let channel = Channel::queue("q").unwrap();
        let volatile = Capabilities::new("p").with(Capability::RetryDelay, Level::Volatile);
        let mut required = Requirements::for_consumer(&channel, DeliveryGuarantee::AtLeastOnce, true);
        assert!(required.check(&volatile, &channel).is_err());
        required.allow_volatile(Capability::RetryDelay);
        assert!(required.check(&volatile, &channel).is_ok());
        assert!(required.check(&Capabilities::new("none"), &channel).is_err());
    }

    #[test]
    fn topics_and_at_most_once_are_required() {
        let channel = Channel::topic("t").unwrap();
        let required = Requirements::for_consumer(&channel, DeliveryGuarantee::AtMostOnce, false);
        let names: Vec<_> = required.iter().map(|r| r.capability).collect();
        assert_eq!(names, [Capability::FanOut, Capability::AtMostOnce]);
    }
}
