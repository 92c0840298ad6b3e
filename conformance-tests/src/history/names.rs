//! What things are called in a history.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use pontoon_core::Source;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds since the run's start, on a monotonic clock.
pub type Nanos = u64;

/// A name or short text. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name(text.into())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Name(text.into())
    }
}

/// Any bytes, such as a key: what is not printable ASCII is escaped.
impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        bytes.escape_ascii().to_string().into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One message as its publisher issued it: which publisher of the run, and the how-manieth message of it. The counter
/// follows the issue order. Submissions of one message, by the engine or by the application again, share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId {
    /// The publisher; unique in the run.
    pub publisher: u32,
    /// Its count, from 0.
    pub counter: u64,
}

/// One lease of one delivery; unique in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which partition or shard.
    pub partition: u32,
    /// Where in it.
    pub offset: u64,
}

/// A publisher or a consumer of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handle {
    /// The publisher of this number.
    Publisher(u32),
    /// The consumer of this number.
    Consumer(u32),
}

/// What consumers read from: a queue, or one subscription of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName {
    /// The channel.
    pub channel: Name,
    /// The subscription, for a topic.
    pub subscription: Option<Name>,
}

impl SourceName {
    /// A queue.
    #[must_use]
    pub fn queue(channel: impl Into<Name>) -> Self {
        SourceName { channel: channel.into(), subscription: None }
    }

    /// A subscription of a topic.
    #[must_use]
    pub fn subscription(channel: impl Into<Name>, subscription: impl Into<Name>) -> Self {
        SourceName { channel: channel.into(), subscription: Some(subscription.into()) }
    }
}

impl From<&Source> for SourceName {
    fn from(source: &Source) -> Self {
        SourceName {
            channel: source.channel.name.as_str().into(),
            subscription: source.subscription.as_ref().map(|subscription| subscription.name.as_str().into()),
        }
    }
}

impl fmt::Display for PublishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.publisher, self.counter)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.offset, self.partition)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Handle::Publisher(number) => write!(f, "publisher {number}"),
            Handle::Consumer(number) => write!(f, "consumer {number}"),
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subscription {
            Some(subscription) => write!(f, "{}/{subscription}", self.channel),
            None => write!(f, "{}", self.channel),
        }
    }
}

fn pair<A: FromStr, B: FromStr>(text: &str, between: char) -> Option<(A, B)> {
    let (first, second) = text.split_once(between)?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

impl FromStr for PublishId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (publisher, counter) =
            pair(text, '.').ok_or_else(|| format!("`{text}` is not PUBLISHER.COUNTER, such as 2.17"))?;
        Ok(PublishId { publisher, counter })
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (offset, partition) = pair(text, '@').ok_or_else(|| format!("`{text}` is not OFFSET@PARTITION"))?;
        Ok(Position { partition, offset })
    }
}

impl FromStr for Handle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |rest: &str| rest.parse().map_err(|_| format!("`{text}` does not end in a number"));
        match text.split_once(' ') {
            Some(("publisher", rest)) => number(rest).map(Handle::Publisher),
            Some(("consumer", rest)) => number(rest).map(Handle::Consumer),
            _ => Err(format!("`{text}` is neither `publisher N` nor `consumer N`")),
        }
    }
}

impl FromStr for SourceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once('/') {
            Some((channel, subscription)) => SourceName::subscription(channel, subscription),
            None => SourceName::queue(text),
        })
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(PublishId, Position, Handle, SourceName);

impl Serialize for LeaseId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for LeaseId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        u64::deserialize(from).map(LeaseId)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Name::from)
    }
}
