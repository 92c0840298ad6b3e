//! One hook for everything that happens beneath the API.

use std::time::Duration;

use crate::{Attempt, BrokerId, Channel, Error, MessageId, ReasonKind, Source};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The kinds of [`Event`], for a hook to choose from.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventKind { $($(#[$doc])* $name,)* }

        impl EventKind {
            /// All kinds.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$name,)*];
        }
    };
}

kinds! {
    /// A message was confirmed.
    Published,
    /// A publish was not confirmed: it is being sent again, or its end is known.
    PublishFailed,
    /// A delivery was handed to the application.
    Delivered,
    /// A delivery was acknowledged or released.
    Settled,
    /// A failed message will be tried again.
    Retried,
    /// A message is in the dead-letter channel.
    DeadLettered,
    /// A dead-letter copy, or a retry copy, could not be stored; the source stays unsettled.
    SuccessorFailed,
    /// A connection was lost.
    Disconnected,
    /// A connection stands again.
    Reconnected,
    /// A lease was lost while its message was being handled.
    LeaseLost,
    /// A settlement came too late.
    Stale,
    /// A running handler was given up at a deadline.
    Abandoned,
    /// A message was dropped by declared policy. Without a reason: at-most-once delivery could not establish that the
    /// message was settled, so its handler did not run.
    Dropped,
    /// A blocked key went over its channel's bound.
    OrderSpilled,
    /// A broker client reports trouble that it heals by itself.
    Degraded,
}

/// What happened. Borrowed: copy what you keep.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs)] // the fields say what they are; the variants are described by their kinds
pub enum Event<'a> {
    Published { channel: &'a Channel, id: &'a MessageId, broker_id: &'a BrokerId },
    PublishFailed { channel: &'a Channel, id: &'a MessageId, error: &'a Error, resend_in: Option<Duration> },
    Delivered { source: &'a Source, id: &'a MessageId, attempt: Attempt },
    Settled { source: &'a Source, id: &'a MessageId, released: bool },
    Retried { source: &'a Source, id: &'a MessageId, attempt: Attempt, after: Duration, error: &'a str },
    DeadLettered { source: &'a Source, id: &'a MessageId, reason: ReasonKind, attempt: Attempt },
    SuccessorFailed { source: &'a Source, id: &'a MessageId, error: &'a Error },
    Disconnected { channel: &'a Channel, error: &'a Error, retry_in: Duration },
    Reconnected { channel: &'a Channel, generation: u32 },
    LeaseLost { source: &'a Source, id: &'a MessageId },
    Stale { source: &'a Source, id: &'a MessageId },
    Abandoned { source: &'a Source, id: &'a MessageId },
    Dropped { source: &'a Source, id: &'a MessageId, reason: Option<ReasonKind> },
    OrderSpilled { source: &'a Source, id: &'a MessageId },
    Degraded { channel: &'a Channel, error: &'a Error },
}

impl Event<'_> {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Event::Published { .. } => EventKind::Published,
            Event::PublishFailed { .. } => EventKind::PublishFailed,
            Event::Delivered { .. } => EventKind::Delivered,
            Event::Settled { .. } => EventKind::Settled,
            Event::Retried { .. } => EventKind::Retried,
            Event::DeadLettered { .. } => EventKind::DeadLettered,
            Event::SuccessorFailed { .. } => EventKind::SuccessorFailed,
            Event::Disconnected { .. } => EventKind::Disconnected,
            Event::Reconnected { .. } => EventKind::Reconnected,
            Event::LeaseLost { .. } => EventKind::LeaseLost,
            Event::Stale { .. } => EventKind::Stale,
            Event::Abandoned { .. } => EventKind::Abandoned,
            Event::Dropped { .. } => EventKind::Dropped,
            Event::OrderSpilled { .. } => EventKind::OrderSpilled,
            Event::Degraded { .. } => EventKind::Degraded,
        }
    }
}

/// Receives events. Called on the path of messages, possibly under a lock: return at once, and do not call pontoon
/// from here.
pub trait EventHook: Send + Sync + 'static {
    /// Whether this kind is wanted: cheap, and always the same answer. What is not wanted is not told.
    fn wants(&self, kind: EventKind) -> bool;
    /// Something happened.
    fn on_event(&self, event: &Event<'_>);
}
