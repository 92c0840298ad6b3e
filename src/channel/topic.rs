//! [`Topic`]: each message goes to every subscription.

use std::marker::PhantomData;

use pontoon_core::driver::Ensure;
use pontoon_core::{ChannelKind, ChannelName, Result, Source, Start, Subscription, Text};

use super::facts::{Facts, KeyOf, facts};
use super::{Carries, Destination, Readable, sealed};
use crate::codec::{Codec, Json};

/// A topic of payloads `T`, written as `C` (JSON unless said otherwise). It is read through its
/// [subscriptions](Topic::subscription).
///
/// ```
/// use pontoon::{Subscribed, prelude::*};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Departed { flight: String }
/// const DEPARTURES: Topic<Departed> = Topic::new("departures").dead_letter("departures.dead");
/// const BOARD: Subscribed<Departed> = DEPARTURES.subscription("board");
/// ```
///
/// The naming rule of [`Queue`](crate::Queue) applies to topics and subscriptions.
pub struct Topic<T, C = Json> {
    facts: Facts<T>,
    codec: PhantomData<fn() -> C>,
}

facts!(Topic);

impl<T, C> Topic<T, C> {
    /// A topic of this name, declared by pontoon when it is opened.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self::of(Facts::new(name, ChannelKind::Topic, false))
    }

    /// A topic that another program declared, under any name its broker allows; never declared or changed by pontoon.
    #[must_use]
    pub const fn existing(name: &'static str) -> Self {
        Self::of(Facts::new(name, ChannelKind::Topic, true))
    }

    /// The durable subscription of this name: what is subscribed to and handled. It gets every message published
    /// since it was first opened or ensured.
    #[must_use]
    pub const fn subscription(self, name: &'static str) -> Subscribed<T, C> {
        Subscribed { topic: self, name, start: Start::Latest }
    }
}

impl<T: Send + 'static, C: Codec<T>> sealed::Place<T> for Topic<T, C> {
    fn ensure_as(&self, name: Option<&str>) -> Result<Ensure> {
        Ok(Ensure::new(self.facts.channel(name)?))
    }
}

impl<T: Send + 'static, C: Codec<T>> Carries for Topic<T, C> {
    type Payload = T;
    type Codec = C;

    fn wire_type(&self) -> Text {
        self.facts.type_name.map_or_else(C::type_name, Text::literal)
    }
}

impl<T: Send + 'static, C: Codec<T>> sealed::Keyed<T> for Topic<T, C> {
    fn key_of(&self) -> Option<KeyOf<T>> {
        self.facts.key
    }
}
impl<T: Send + 'static, C: Codec<T>> Destination for Topic<T, C> {}

/// A subscription of a [`Topic`]: what is subscribed to and handled.
pub struct Subscribed<T, C = Json> {
    topic: Topic<T, C>,
    name: &'static str,
    start: Start,
}

impl<T, C> Subscribed<T, C> {
    /// When the subscription is new, it starts with the oldest message that the topic still holds, where the broker
    /// keeps them.
    #[must_use]
    pub const fn from_earliest(mut self) -> Self {
        self.start = Start::Earliest;
        self
    }

    /// The same subscription of a topic whose name is known only at run time.
    #[must_use]
    pub fn named(self, topic: impl Into<String>) -> crate::Named<Self> {
        crate::Named::new(self, topic.into())
    }

    fn subscription(&self) -> Result<Subscription> {
        Ok(Subscription { name: ChannelName::new(Text::literal(self.name))?, start: self.start })
    }
}

impl<T, C> Clone for Subscribed<T, C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T, C> Copy for Subscribed<T, C> {}

impl<T, C> std::fmt::Debug for Subscribed<T, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscribed({:?} of {:?})", self.name, self.topic)
    }
}

impl<T: Send + 'static, C: Codec<T>> sealed::Place<T> for Subscribed<T, C> {
    fn ensure_as(&self, name: Option<&str>) -> Result<Ensure> {
        Ok(Ensure::new(self.topic.facts.channel(name)?).with_subscription(self.subscription()?))
    }
}

impl<T: Send + 'static, C: Codec<T>> Carries for Subscribed<T, C> {
    type Payload = T;
    type Codec = C;

    fn wire_type(&self) -> Text {
        self.topic.wire_type()
    }
}

impl<T: Send + 'static, C: Codec<T>> sealed::Source<T> for Subscribed<T, C> {
    fn source_as(&self, name: Option<&str>) -> Result<Source> {
        Source::new(self.topic.facts.channel(name)?, Some(self.subscription()?))
    }
}
impl<T: Send + 'static, C: Codec<T>> Readable for Subscribed<T, C> {}
