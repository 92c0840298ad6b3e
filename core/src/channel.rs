//! Channels and subscriptions: the durable facts that publisher and worker must agree on.

use std::fmt;
use std::time::Duration;

use crate::{Error, ErrorKind, Result, Text};

/// The longest channel or subscription name, in characters.
pub const MAX_NAME: usize = 60;
/// The longest native name, in bytes; brokers may allow less.
pub const MAX_NATIVE_NAME: usize = 255;
/// The delivery ceiling of a channel that names none.
pub const DEFAULT_DELIVERY_CEILING: u32 = 100;

const NAME_RULE: &str = "a name is 1 to 60 ASCII letters, digits, `-`, `_` or `.`, begins and ends with a letter or \
                         digit, and has no two separators in a row";

/// A name that every broker can carry: 1–60 ASCII letters, digits, `-`, `_`, `.`, beginning and ending with a letter
/// or digit, no two separators in a row.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Text);

impl ChannelName {
    /// Checks the rule.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] stating the rule.
    pub fn new(name: impl Into<Text>) -> Result<Self> {
        let name = name.into();
        if follows_rule(&name) {
            Ok(ChannelName(name))
        } else {
            Err(Error::new(
                ErrorKind::InvalidName,
                "name channel",
                format!("{:?} is not a name: {NAME_RULE}", shown(&name)),
            )
            .with_help("use another name, or `existing` for a channel that another program declared"))
        }
    }

    /// A name of a channel that another program declared; never declared by us.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] when empty, longer than [`MAX_NATIVE_NAME`] bytes, or holding NUL.
    pub fn native(name: impl Into<Text>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() || name.len() > MAX_NATIVE_NAME || name.contains('\0') {
            return Err(Error::new(
                ErrorKind::InvalidName,
                "name channel",
                format!("{:?} is not a native name: 1 to {MAX_NATIVE_NAME} bytes without NUL", shown(&name)),
            ));
        }
        Ok(ChannelName(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a [`Text`].
    #[must_use]
    pub fn text(&self) -> &Text {
        &self.0
    }
}

/// A name in an error must not flood the log.
fn shown(name: &str) -> String {
    let mut short: String = name.chars().take(80).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}

fn follows_rule(name: &str) -> bool {
    let bytes = name.as_bytes();
    let separator = |b: u8| matches!(b, b'-' | b'_' | b'.');
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.len() <= MAX_NAME
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || separator(b))
        && !bytes.windows(2).any(|pair| separator(pair[0]) && separator(pair[1]))
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Whether one consumer or every subscription gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// Each message goes to one of the competing consumers.
    Queue,
    /// Each message goes to every subscription.
    Topic,
}

/// What happens to a message that blocks its key too long, or when too many keys are blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spill {
    /// It goes to the dead-letter channel as `order-spill`.
    DeadLetter,
    /// It goes to the tail of the channel; its key's order is broken there, with an event.
    FallBehind,
}

/// Whether, and how, a channel keeps order per key while a message is in retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// No order is kept.
    Unordered,
    /// The key of a message in retry waits; other keys flow.
    Block {
        /// The most keys that may be blocked at once.
        max_blocked_keys: u32,
        /// The longest a key may be blocked by one message.
        longest_wait: Duration,
        /// What happens beyond either bound.
        spill: Spill,
    },
    /// A failed message goes to the tail of the channel; its key has one lease at a time all the while.
    FallBehind,
}

impl Order {
    /// The default of an ordered channel: at most 1,000 blocked keys and 10 minutes, then dead-letter.
    pub const BLOCK: Order =
        Order::Block { max_blocked_keys: 1_000, longest_wait: Duration::from_secs(600), spill: Spill::DeadLetter };

    /// Whether first deliveries of a key keep their order.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        !matches!(self, Order::Unordered)
    }
}

/// Where messages go that cannot be handled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DeadLetterPolicy {
    /// Not said: opening a consumer is refused, since a message could otherwise vanish.
    Undeclared,
    /// To this queue, confirmed there before it is settled here.
    To(ChannelName),
    /// They are dropped, each with an event.
    Discard,
}

/// How long the channel keeps messages that nobody has handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retention {
    /// Until they are settled.
    UntilSettled,
    /// At most this long: unread messages may be removed, which the application accepts by saying so.
    For(Duration),
}

/// A named place that messages go to, with the durable facts that are declared at the broker.
///
/// Publisher and consumer declare from the same value, so that they cannot differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Queue or topic.
    pub kind: ChannelKind,
    /// Order per key.
    pub order: Order,
    /// How many shards carry an ordered channel where the broker needs them; `None` takes the transport's default.
    pub shards: Option<u16>,
    /// Where messages go that cannot be handled.
    pub dead_letter: DeadLetterPolicy,
    /// How long unhandled messages are kept.
    pub retention: Retention,
    /// How many failures and lost deliveries one message may have: the net against crash loops.
    pub delivery_ceiling: u32,
    /// Declared by another program: used as it is, never declared by us.
    pub existing: bool,
}

impl Channel {
    fn of(name: ChannelName, kind: ChannelKind, existing: bool) -> Self {
        Channel {
            name,
            kind,
            order: Order::Unordered,
            shards: None,
            dead_letter: DeadLetterPolicy::Undeclared,
            retention: Retention::UntilSettled,
            delivery_ceiling: DEFAULT_DELIVERY_CEILING,
            existing,
        }
    }

    /// An unordered queue.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`].
    pub fn queue(name: impl Into<Text>) -> Result<Self> {
        Ok(Self::of(ChannelName::new(name)?, ChannelKind::Queue, false))
    }

    /// An unordered topic.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`].
    pub fn topic(name: impl Into<Text>) -> Result<Self> {
        Ok(Self::of(ChannelName::new(name)?, ChannelKind::Topic, false))
    }

    /// A queue or topic that another program declared, under any name its broker allows.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`].
    pub fn existing(name: impl Into<Text>, kind: ChannelKind) -> Result<Self> {
        Ok(Self::of(ChannelName::native(name)?, kind, true))
    }

    /// The dead-letter queue of this channel as a channel of its own.
    #[must_use]
    pub fn dead_letter_channel(&self) -> Option<Channel> {
        match &self.dead_letter {
            DeadLetterPolicy::To(name) => {
                let mut channel = Self::of(name.clone(), ChannelKind::Queue, false);
                channel.dead_letter = DeadLetterPolicy::Discard;
                Some(channel)
            }
            _ => None,
        }
    }

    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for facts that contradict each other: a ceiling of zero, shards on an unordered
    /// channel, a channel that is its own dead-letter channel, or a spill to a dead-letter channel that is not declared.
    pub fn validate(&self) -> Result<()> {
        let refuse = |rule: &str| {
            Err(Error::new(ErrorKind::InvalidConfig, "open channel", rule).with("channel", self.name.as_str()))
        };
        if self.delivery_ceiling == 0 {
            return refuse("a delivery ceiling of 0 would dead-letter every message; use at least 1");
        }
        if self.shards == Some(0) {
            return refuse("a channel has at least one shard");
        }
        if self.shards.is_some() && !self.order.is_ordered() {
            return refuse("shards belong to ordered channels; add an order or leave them out");
        }
        if matches!(&self.dead_letter, DeadLetterPolicy::To(name) if *name == self.name) {
            return refuse("a channel cannot be its own dead-letter channel; name another one");
        }
        if let Order::Block { max_blocked_keys, longest_wait, spill } = self.order {
            if max_blocked_keys == 0 || longest_wait.is_zero() {
                return refuse(
                    "order bounds of zero would spill every failure; use larger ones or `Order::FallBehind`",
                );
            }
            if spill == Spill::DeadLetter && self.dead_letter == DeadLetterPolicy::Undeclared {
                return refuse(
                    "an ordered channel spills to its dead-letter channel, and none is declared; add \
                     `.dead_letter(\"…\")`, or choose another spill",
                );
            }
        }
        if self.retention == Retention::For(Duration::ZERO) {
            return refuse("a retention of zero would keep nothing");
        }
        Ok(())
    }
}

/// Where a new subscription starts on a topic that already holds messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Start {
    /// With messages published from now on.
    #[default]
    Latest,
    /// With the oldest message the topic still holds, where the profile keeps them.
    Earliest,
}

/// A durable, named subscription to a topic: it keeps its own position and settlements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// Its name: the naming rule of channels applies.
    pub name: ChannelName,
    /// Where it starts when it is new.
    pub start: Start,
}

impl Subscription {
    /// A subscription that starts with messages published from now on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`].
    pub fn new(name: impl Into<Text>) -> Result<Self> {
        Ok(Subscription { name: ChannelName::new(name)?, start: Start::Latest })
    }
}

/// What a consumer reads from: a queue, or a subscription of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The channel.
    pub channel: Channel,
    /// The subscription, for a topic.
    pub subscription: Option<Subscription>,
}

impl Source {
    /// Pairs a channel with its subscription.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a topic without a subscription, a queue with one, or facts of the channel that
    /// contradict each other.
    pub fn new(channel: Channel, subscription: Option<Subscription>) -> Result<Self> {
        channel.validate()?;
        match (channel.kind, &subscription) {
            (ChannelKind::Topic, None) => {
                Err(Error::new(ErrorKind::InvalidConfig, "open consumer", "a topic is read through a subscription")
                    .with("channel", channel.name.as_str())
                    .with_help("name one: `.subscription(\"…\")`"))
            }
            (ChannelKind::Queue, Some(_)) => {
                Err(Error::new(ErrorKind::InvalidConfig, "open consumer", "a queue has no subscriptions")
                    .with("channel", channel.name.as_str()))
            }
            _ => Ok(Source { channel, subscription }),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subscription {
            Some(subscription) => write!(f, "{}/{}", self.channel.name, subscription.name),
            None => fmt::Display::fmt(&self.channel.name, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "flights", "a.b-c_d", "0", "flights.dead", &"a".repeat(60)] {
            assert!(ChannelName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "..",
            ".",
            "a/b",
            "a:b{c}",
            "a..b",
            "a.-b",
            "-a",
            "a-",
            "ä",
            "a b",
            "a\0",
            &"a".repeat(61),
            &"x".repeat(300),
        ] {
            let error = ChannelName::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{bad}");
            assert!(error.to_string().contains("1 to 60"), "{error}");
        }
        assert!(ChannelName::native("a/b:{c}").is_ok());
        assert!(ChannelName::native("").is_err());
        assert!(ChannelName::native("a\0b").is_err());
    }

    #[test]
    fn contradicting_facts_are_refused() {
        let mut channel = Channel::queue("q").unwrap();
        assert!(channel.validate().is_ok());
        channel.order = Order::BLOCK;
        assert!(channel.validate().unwrap_err().to_string().contains("dead_letter"));
        channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("q").unwrap());
        assert!(channel.validate().unwrap_err().to_string().contains("its own"));
        channel.dead_letter = DeadLetterPolicy::Discard;
        assert!(channel.validate().is_ok());
        channel.delivery_ceiling = 0;
        assert!(channel.validate().is_err());
        let mut sharded = Channel::queue("q").unwrap();
        sharded.shards = Some(4);
        assert!(sharded.validate().is_err());
        assert!(Source::new(Channel::topic("t").unwrap(), None).is_err());
        assert!(Source::new(Channel::queue("q").unwrap(), Some(Subscription::new("s").unwrap())).is_err());
    }
}
