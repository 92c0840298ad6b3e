//! Typed channels: constants that say what a channel carries and which facts are declared at the broker.

pub(crate) mod facts;
mod named;
mod queue;
mod topic;

pub use named::Named;
pub use queue::Queue;
pub use topic::{Subscribed, Topic};

use crate::codec::Codec;
use pontoon_core::{Channel, Result, Text};

/// What carries messages of one payload type: a [`Queue`], a [`Topic`], a [`Subscribed`], or one of them [`Named`].
pub trait Carries: sealed::Place<Self::Payload> {
    /// What its messages carry.
    type Payload: Send + 'static;
    /// How payloads become bytes.
    type Codec: Codec<Self::Payload>;

    /// The name by which the payload type is known on the wire; empty for [`Raw`](crate::Raw) bodies.
    fn wire_type(&self) -> Text;

    /// The channel with its declared facts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName) stating the naming rule;
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for facts that contradict each other.
    fn channel(&self) -> Result<Channel> {
        Ok(self.ensure_as(None)?.channel)
    }
}

/// What can be published to: a [`Queue`] or a [`Topic`], [`Named`] or not.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be published to",
    label = "not a queue or topic",
    note = "publish to a `Queue` or a `Topic`; a subscription is only read"
)]
pub trait Destination: Carries + sealed::Keyed<Self::Payload> {}

/// What can be subscribed to and handled: a [`Queue`], or a [subscription](Topic::subscription) of a [`Topic`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from",
    label = "not a queue or a subscription",
    note = "a topic is read through a subscription: `TOPIC.subscription(\"name\")`"
)]
pub trait Readable: Carries + sealed::Source<Self::Payload> {}

/// Which types these traits have is part of the contract: other crates cannot add one.
pub(crate) mod sealed {
    use pontoon_core::Result;
    use pontoon_core::driver::Ensure;

    pub trait Place<T>: Send + Sync + 'static {
        /// What is declared, under this name instead of the channel's own.
        fn ensure_as(&self, name: Option<&str>) -> Result<Ensure>;
    }

    pub trait Keyed<T> {
        fn key_of(&self) -> Option<super::facts::KeyOf<T>>;
    }

    pub trait Source<T> {
        fn source_as(&self, name: Option<&str>) -> Result<pontoon_core::Source>;
    }
}
